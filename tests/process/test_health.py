"""What a process node tells of how it is, and of how much it could take."""

from mesh.registry.records import NodeState
from nodes.process.health import DEGRADED_AFTER, Effort, Health


def told(effort: Effort, frames: int, seconds: float, of: int, since: float) -> float:
    """The capacity after so many seconds of `frames` a second that each took `seconds`."""
    for second in range(of):
        for _ in range(frames):
            effort.worked(seconds)
        capacity = effort.capacity(since + second)
    return capacity


def test_capacity_is_what_the_workers_could_take_once_it_is_known() -> None:
    effort = Effort(workers=2)
    assert effort.capacity(0.0) == 0.0
    assert told(effort, 10, 0.02, 5, 0.0) == 0.0, "not before it has been so for a while"
    assert 80 < told(effort, 10, 0.02, 10, 5.0) < 125  # two workers of 50 frames a second


def test_an_idle_node_keeps_what_it_told_for_a_minute() -> None:
    effort = Effort(workers=1)
    capacity = told(effort, 10, 0.05, 15, 0.0)
    assert capacity > 0
    assert effort.capacity(70.0) == capacity
    assert effort.capacity(80.0) == 0.0


def test_a_node_that_rests_is_paused_whatever_goes_wrong_meanwhile() -> None:
    shown: list[tuple[NodeState, str]] = []
    health = Health(lambda state, why: shown.append((state, why)))
    health.rests(True)
    for second in range(DEGRADED_AFTER):
        health.unwell("it broke", float(second))
    health.lacks("nothing comes")
    assert {state for state, _ in shown} == {NodeState.PAUSED}
    health.rests(False)
    assert shown[-1] == (NodeState.DEGRADED, "it broke")
    health.well()
    health.lacks("")
    assert shown[-1] == (NodeState.RUNNING, "")
