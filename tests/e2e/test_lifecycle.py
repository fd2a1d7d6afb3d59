"""How nodes stop: they drain, they answer signals by their exit codes, and one that dies dies alone."""

import signal
import time
from pathlib import Path

import pytest

from mesh.signals import TOGETHER_S
from tests.e2e.site import LASTING, SMALL, Site, check_recording
from tests.support.processes import Process
from tests.support.waiting import wait_for

SLOW = """
import threading

class Slow:
    '''Takes its time over every frame.'''
    def __init__(self, seconds: float = 0.02) -> None:
        self.seconds = seconds
    def __call__(self, frame):
        threading.Event().wait(self.seconds)
        return frame
"""


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A folder with a module `slow`, whose class `Slow` is a processor."""
    (tmp_path / "slow.py").write_text(SLOW)
    return tmp_path


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_every_kind_of_node_answers_a_signal(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with Site(tmp_path, lasting=True) as site:
        nodes = [site.capture(f"door={SMALL}"), site.node("process", "passthrough"), site.collect()]
        site.wait_recorded("door", "passthrough")
        assert {node.name: node.stop(number) for node in nodes} == {node.name: code for node in nodes}
        assert {record.id: record.state for record in site.mesh.nodes()} == {n.name: "ended" for n in nodes}
        assert not site.mesh.streams()
        assert site.registry.stop(number) == code


def test_what_was_suspended_when_it_was_told_to_end_does_so_once_it_goes_on(tmp_path: Path) -> None:
    """The signal may go to any thread then, and Python handles it on the main one."""
    with Site(tmp_path, lasting=True) as site:
        nodes = [site.capture(f"door={SMALL}"), site.node("process", "passthrough"), site.collect()]
        site.wait_recorded("door", "passthrough")
        for process in (*nodes, site.registry):
            process.suspend()
            process.send(signal.SIGTERM)
            assert process.stop(signal.SIGCONT) == 0


def test_signals_that_come_together_are_one_the_second_hurries_and_the_third_ends_it(slow: Path) -> None:
    """A camera drains until a script that takes nothing has all, and a processor hangs."""
    with Site(slow, lasting=True) as site:
        process = site.node("process", "slow:Slow:seconds=1000", "--drain", 600, cwd=slow)
        site.wait_nodes("process")
        capture = site.capture(f"door={SMALL}", options=("--lossless", "--pace", "max", "--drain", 600))
        with site.mesh.subscribe("raw", "door", "lossless"):
            site.wait_for(lambda: site.group("door", "slow")["in_flight"] > 0, "the processor has a frame")
            for node in (capture, process):
                node.send_together(signal.SIGINT, signal.SIGTERM)
            for node in (capture, process):
                _await_next(node, " is draining")
                assert "told again" not in node.log
                node.send(signal.SIGINT)
            assert capture.wait() in (0, 130)  # which of the first two came first is not told
        _await_next(process, "told again to end: it waits for nothing any more; once more ends the process")
        process.send(signal.SIGTERM)
        assert process.wait() == 1
        assert "the process is ended: what it had in memory is lost" in process.log.splitlines()[-1]


def test_a_node_that_waits_for_a_registry_can_be_stopped(tmp_path: Path) -> None:
    with Site(tmp_path, registry=False) as site:
        node = site.node("process", "passthrough", "--log-level", "debug")
        site.wait_for(lambda: _catches_signals(node.popen.pid), "the node has begun to wait")
        assert node.stop() == 0


def test_nodes_can_be_stopped_when_the_registry_has_gone_first(tmp_path: Path) -> None:
    with Site(tmp_path, lasting=True) as site:
        nodes = [site.capture(f"door={SMALL}"), site.node("process", "passthrough"), site.collect()]
        site.wait_recorded("door", "passthrough")
        assert site.registry.stop() == 0
        for node in nodes:
            node.send(signal.SIGTERM)
        assert [node.wait() for node in nodes] == [0, 0, 0]
        check_recording(site, "door", "passthrough")


def test_a_process_node_that_is_stopped_finishes_what_it_took(slow: Path) -> None:
    with Site(slow, lasting=True) as site:
        site.collect()
        process = site.node("process", "slow:Slow", "--stage", "slow", "--policy", "fifo", cwd=slow)
        site.wait_nodes("collect", "process")
        capture = site.capture(f"door={SMALL}&frames=100", options=("--pace", "max"))
        assert capture.wait() == 0
        site.wait_for(lambda: site.group("door", "slow")["processed"] > 5, "some are processed")
        assert process.stop() == 0
        group = site.stats()["door"]["groups"]["slow"]
        assert group["in_flight"] == 0
        assert "abandoned" not in group["dropped"]
        assert group["processed"] == group["results"] == group["delivered"] > 5
        site.wait_recorded("door", "slow", group["processed"])
        assert site.stats()["door"]["recorded"]["slow"] == group["processed"]


def test_results_wait_for_a_collector_that_is_restarted(tmp_path: Path) -> None:
    with Site(tmp_path, lasting=True) as site:
        first = site.collect(name="first")
        site.node("process", "passthrough", "--policy", "fifo", "--depth", 2000)
        site.wait_nodes("first", "process")
        capture = site.capture(f"door={SMALL}")
        site.wait_recorded("door", "passthrough", 10)
        assert first.stop() == 0
        recorded = site.count("door")["recorded"]["passthrough"]
        site.wait_for(lambda: site.group("door", "passthrough")["processed"] > recorded + 10, "more are made")
        second = site.collect(name="second")
        site.wait_recorded("door", "passthrough", recorded + 20)
        assert capture.stop() == 0
        site.wait_settled("door")
        assert second.stop() == 0
        door = site.stats()["door"]
        group, frames = door["groups"]["passthrough"], door["captured"]
        missed = group["dropped"].get("before_join", 0)  # the camera does not wait for its first subscriber
        assert group["results"] == group["delivered"] == door["recorded"]["passthrough"] == frames - missed
        assert (group["lost"], door["unaccounted"]) == (0, 0)
        lines = check_recording(site, "door", "passthrough")
    assert [line["seq"] for line in lines] == list(range(missed, frames))


def test_a_process_node_that_is_killed_takes_nobody_along(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        others = [
            site.capture(f"door={SMALL}", options=LASTING),
            site.node("process", "passthrough", *LASTING, name="kept"),
            site.collect(*LASTING),
        ]
        victim = site.node("process", "passthrough", "--stage", "gone", name="victim")
        site.wait_recorded("door", "gone")
        site.wait_recorded("door", "passthrough")
        victim.kill()
        before = site.count("door")["recorded"]["passthrough"]
        site.wait_for(lambda: "victim" not in {node.id for node in site.mesh.nodes()}, "the lease has lapsed")
        listing = site.ls()
        assert {row["id"] for row in listing["nodes"]} == {"capture", "kept", "collect"}
        assert not [row for row in listing["streams"] if row["node"] == "victim"]
        site.wait_recorded("door", "passthrough", before + 10)
        assert [node.stop() for node in others] == [0, 0, 0]


def _await_next(node: Process, line: str) -> None:
    """Wait until a node has said so, and as long as what comes then belongs to what had it say so."""
    wait_for(lambda: line in node.log, f"{node.name} says: {line}")
    said = time.monotonic()
    wait_for(lambda: time.monotonic() - said > TOGETHER_S)


def _catches_signals(pid: int) -> bool:
    """Whether a process has a handler of its own for SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)
