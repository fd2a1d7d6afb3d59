"""Process nodes of one group share the work; who joins, leaves or dies changes who has what, and no more."""

from collections import Counter
from pathlib import Path

from mesh.registry.records import GroupRecord
from tests.e2e.site import Site, check_recording
from tests.faults.settled import wait_accounted
from tests.support.processes import ROOT, Process

STAGE = "passthrough"
TAKE = "tests.faults.processors:Take"
PATIENT = ("--drain", 60, "--lease", 6)  # for who is not killed, where a registry that forgets all is
CAMERAS = ("door", "hall", "roof", "yard")
Holds = dict[str, tuple[int, int, int] | tuple[()]]
ALL = {*(f"{camera}/0" for camera in CAMERAS), *(f"wide/{number}" for number in range(4))}


def worker(site: Site, name: str, *options: object, take: str = STAGE) -> Process:
    queue = ("--policy", "fifo", "--depth", 2000)
    return site.node("process", take, "--stage", STAGE, *queue, *options, name=name, cwd=ROOT)


def shares(site: Site) -> dict[str, Holds]:
    """What each member of the group lists."""
    records = map(GroupRecord.of, site.mesh.registry.list(f"groups/{STAGE}/"))
    return {record.node: dict(record.holds) for record in records}


def wait_shared(site: Site, *names: str, keys: set[str] = ALL) -> dict[str, Holds]:
    """Wait until these members, and nobody else, have each of `keys` once."""

    def shared() -> dict[str, Holds] | None:
        found = shares(site)
        held = Counter(key for holds in found.values() for key in holds)
        alone = set(found) == set(names) and all(found.values())
        return found if alone and held == Counter(dict.fromkeys(keys, 1)) else None

    found = site.wait_for(shared, f"{names} share {len(keys)} partitions")
    assert found is not None
    return found


def capture(site: Site) -> list[Process]:
    source = "synthetic:?size=160x120&fps=20"
    return [
        site.capture(*(f"{camera}={source}" for camera in CAMERAS), name="four"),
        site.capture(f"wide={source}", name="wide", options=("--partitions", 4)),
    ]


def missing(site: Site, camera: str, before: int) -> set[int]:
    """What a camera captured until then, since the group came to it, and is not recorded."""
    first = site.group(camera, STAGE)["dropped"].get("before_join", 0)
    return set(range(first, before)) - {line["seq"] for line in site.lines(camera, STAGE)}


def test_members_share_cameras_and_partitions_as_they_join_drain_and_die(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.collect()
        first, second = worker(site, "one"), worker(site, "two")
        site.wait_nodes("collect", "one", "two")
        captures = capture(site)
        wait_shared(site, "one", "two")
        worker(site, "three")
        wait_shared(site, "one", "two", "three")
        before = {camera: site.count(camera)["captured"] for camera in (*CAMERAS, "wide")}
        assert first.stop() == 0
        wait_shared(site, "two", "three")
        for camera, seen in before.items():
            site.wait_for(
                lambda camera=camera, seen=seen: not missing(site, camera, seen),  # type: ignore[misc]
                f"all that {camera} had captured until one drained is recorded",
            )
        second.kill()
        wait_shared(site, "three")
        assert [node.stop() for node in captures] == [0, 0]
        for camera in before:
            wait_accounted(site, camera)
        for camera in before:
            count = site.count(camera)
            assert count["unaccounted"] == 0
            assert set(count["groups"][STAGE]["dropped"]) <= {"before_join", "died"}, camera
            seqs = [line["seq"] for line in check_recording(site, camera, STAGE)]
            assert len(set(seqs)) == len(seqs), "each once"


def test_a_drain_and_a_registry_that_restarts_cost_a_lossless_stream_nothing(tmp_path: Path) -> None:
    keys = {f"door/{number}" for number in range(4)}
    with Site(tmp_path) as site:
        site.collect()
        first, second = (worker(site, name, *PATIENT, take=f"{TAKE}:ms=10") for name in ("one", "two"))
        site.wait_nodes("collect", "one", "two")
        options = (*PATIENT, "--lossless", "--partitions", 4, "--pace", "max")
        capture = site.capture("door=synthetic:?size=160x120", options=options)
        before = wait_shared(site, "one", "two", keys=keys)
        site.restart_registry()
        assert wait_shared(site, "one", "two", keys=keys) == before, "nothing has moved"
        seen = site.count("door")["captured"]
        assert first.stop() == 0
        assert wait_shared(site, "two", keys=keys)
        site.wait_recorded("door", STAGE, seen + 100)  # it goes on all the while
        assert capture.stop() == 0
        wait_accounted(site, "door")
        door = site.stats()["door"]
        frames = door["captured"]
        assert (door["recorded"], door["unaccounted"]) == ({STAGE: frames}, 0)
        assert door["groups"][STAGE]["dropped"] == {}
        assert sorted(door["groups"][STAGE]["members"]) == ["one", "two"]
        assert second.stop() == 0
        lines = check_recording(site, "door", STAGE)
    assert [line["seq"] for line in lines] == list(range(frames))


def test_a_lossless_camera_goes_on_with_those_who_take_over_from_one_that_was_killed(tmp_path: Path) -> None:
    """The publisher does not wait for it until its silence tells; only what it had itself is missing."""
    keys = {f"door/{number}" for number in range(4)}
    with Site(tmp_path) as site:
        site.collect()
        worker(site, "one", take=f"{TAKE}:ms=20")
        second = worker(site, "two", take=f"{TAKE}:ms=20")
        site.wait_nodes("collect", "one", "two")
        options = ("--drain", 60, "--lossless", "--partitions", 4, "--pace", "max")
        capture = site.capture("door=synthetic:?size=160x120", options=options)
        wait_shared(site, "one", "two", keys=keys)
        second.kill()
        site.wait_for(lambda: site.counters("capture")["passed_on"], "its part is passed on")
        taken = site.group("door", STAGE)["processed"]
        site.wait_for(lambda: site.group("door", STAGE)["processed"] > taken + 100, "it goes on")
        assert capture.stop() == 0
        assert site.counters("capture").get("cut_off", 0) == 0
        site.wait_for(lambda: site.group("door", STAGE)["ended"], "the one that is left had all")
        door = site.count("door")
        group = door["groups"][STAGE]
        assert (door["unaccounted"], group["lost"]) == (0, 0)
        assert set(group["dropped"]) <= {"before_join", "died"}, "what the killed one had, told of or not"


def test_who_makes_something_else_is_refused_in_one_line(tmp_path: Path) -> None:
    with Site(tmp_path, lasting=True) as site:
        worker(site, "one", "--group", "night")
        site.wait_for(lambda: site.listed("one").group == "night", "it is in the group")
        other = site.node("process", "motion", "--group", "night", name="two")
        assert other.wait() == 2
        assert other.log.strip().splitlines()[-1] == (
            "mesh: group 'night' makes stage 'passthrough' of 'raw' (node 'one'), "
            "this node 'motion' of 'raw': give it another --group"
        )
