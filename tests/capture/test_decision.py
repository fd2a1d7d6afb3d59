"""What a member of the capture fleet starts and stops."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from mesh.registry.records import NodeKind, NodeRecord, NodeState
from mesh.registry.setups import CameraSetup
from mesh.setups import FLEET, is_member, shares
from nodes.capture.decision import decide

Here = dict[str, CameraSetup]


def member(name: str, **fields: object) -> NodeRecord:
    return NodeRecord.model_validate(
        {"id": name, "kind": NodeKind.CAPTURE, "group": FLEET, "host": "here", "pid": 1, **fields}
    )


def camera(name: str, **options: object) -> CameraSetup:
    return CameraSetup.made(name, {"url": "synthetic:", **options})


def by_name(*setups: CameraSetup) -> dict[str, CameraSetup]:
    return {setup.name: setup for setup in setups}


ALONE = member("a")


def test_what_is_configured_is_started_and_what_is_removed_is_stopped() -> None:
    assert decide(ALONE, [], by_name(camera("door")), {}).start == (camera("door"),)
    assert decide(ALONE, [], {}, by_name(camera("door"))).stop == {"door"}


def test_a_disabled_camera_is_stopped() -> None:
    plan = decide(ALONE, [], by_name(camera("door", enabled=False)), by_name(camera("door")))
    assert plan.stop == {"door"}
    assert plan.start == ()


def test_a_changed_camera_is_stopped_first_and_started_once_it_has_let_go() -> None:
    faster = by_name(camera("door", fps=5))
    assert decide(ALONE, [], faster, by_name(camera("door"))).stop == {"door"}
    assert decide(ALONE, [], faster, by_name(camera("door"))).start == ()
    assert decide(ALONE, [], faster, {}).start == (camera("door", fps=5),)


def test_what_does_not_matter_to_its_capture_starts_no_camera_anew() -> None:
    pinned = by_name(camera("door", node="a"))
    assert not decide(ALONE, [], pinned, by_name(camera("door"))).stop
    labelled = by_name(camera("door", label="site=gate"))
    assert not decide(member("a", labels={"site": "gate"}), [], labelled, by_name(camera("door"))).stop


def test_pins_and_labels_say_who_may_capture() -> None:
    nodes = [member("a"), member("b", labels={"site": "gate"}), member("c", labels={"site": "yard"})]
    found = shares(
        [
            camera("pinned", node="c"),
            camera("labelled", label="site=gate"),
            camera("nobody", label="site=roof"),
            camera("elsewhere", node="z"),
        ],
        nodes,
    )
    assert found == {"pinned": "c", "labelled": "b"}


def test_only_live_nodes_of_the_fleet_take_cameras() -> None:
    assert is_member(member("a"))
    assert is_member(member("a", state=NodeState.DEGRADED))
    assert not is_member(member("a", state=NodeState.DRAINING))
    assert not is_member(member("a", state=NodeState.ENDED))
    assert not is_member(member("a", group=""))  # it was told its cameras
    assert not is_member(member("a", kind=NodeKind.PROCESS))


def test_a_registry_that_has_forgotten_this_node_does_not_stop_its_cameras() -> None:
    assert not decide(ALONE, [], by_name(camera("door")), by_name(camera("door"))).stop


def test_what_has_ended_stays_with_its_node_while_that_is_there_and_then_goes_to_who_is_named() -> None:
    clips = [camera(f"clip{number}") for number in range(8)]
    before, wanted = shares(clips, [member("a")]), by_name(*clips)
    assert decide(ALONE, [member("b")], wanted, wanted, before).stop == frozenset()
    for state, started in ((NodeState.DRAINING, 0), (NodeState.ENDED, 8)):
        nodes = [member("a", state=state), member("b")]
        assert len(decide(member("b"), nodes, wanted, {}, before).start) == started
    off = by_name(*(clip.model_copy(update={"enabled": False}) for clip in clips))
    assert decide(ALONE, [], off, wanted, before).stop == wanted.keys()


names = st.sampled_from([f"cam{number}" for number in range(12)])
setups = st.dictionaries(
    names,
    st.fixed_dictionaries(
        {"fps": st.sampled_from([1, 5]), "enabled": st.booleans()},
        optional={"node": st.sampled_from("abcz"), "label": st.sampled_from(["site=x", "site=y"])},
    ),
).map(lambda drawn: by_name(*(camera(name, **options) for name, options in drawn.items())))
fleets = st.dictionaries(
    st.sampled_from("abcd"),
    st.fixed_dictionaries(
        {"state": st.sampled_from([NodeState.RUNNING, NodeState.DRAINING])},
        optional={"labels": st.sampled_from([{"site": "x"}, {"site": "y"}])},
    ),
    min_size=1,
).map(lambda drawn: {name: member(name, **fields) for name, fields in drawn.items()})


def _settled(nodes: Mapping[str, NodeRecord], wanted: Here, here: dict[str, Here]) -> dict[str, Here]:
    """What each member has once all have done what they decided, twice: to let go, and to take."""
    for _ in range(2):
        after: dict[str, Here] = {}
        for name, node in nodes.items():
            plan = decide(node, nodes.values(), wanted, here.get(name, {}))
            assert not plan.stop & {setup.name for setup in plan.start}
            kept = {camera: s for camera, s in here.get(name, {}).items() if camera not in plan.stop}
            after[name] = kept | by_name(*plan.start)
        here = after
    return here


@given(fleets, setups, fleets, setups)
def test_each_camera_is_on_the_one_node_that_placement_names(
    nodes: dict[str, NodeRecord], wanted: Here, after: dict[str, NodeRecord], then: Here
) -> None:
    first = _settled(nodes, wanted, {})
    second = _settled(after, then, first)
    placed = shares(then.values(), after.values())
    found = {camera: name for name, here in second.items() for camera in here}
    assert found == placed
    assert sum(map(len, second.values())) == len(placed)
    for name, here in second.items():
        assert all(here[camera].capture == then[camera].capture for camera in here)
        plan = decide(after[name], after.values(), then, here)
        assert (plan.stop, plan.start) == (frozenset(), ())


@given(fleets, setups)
def test_what_is_where_it_belongs_and_did_not_change_is_left_alone(
    nodes: dict[str, NodeRecord], wanted: Here
) -> None:
    here = _settled(nodes, wanted, {})
    others = {**wanted, "new": camera("new")}
    placed = shares(others.values(), nodes.values())
    for name, node in nodes.items():
        stays = {camera for camera in here[name] if placed.get(camera) == name}
        assert not decide(node, nodes.values(), others, here[name]).stop & stays
