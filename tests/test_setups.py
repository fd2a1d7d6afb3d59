"""Cameras as configuration: what is stored, who was first, what nobody captures."""

import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import setups
from mesh.errors import ConfigError, Conflict, RegistryError
from mesh.registry import Registry, open_registry
from mesh.registry.records import CameraRecord
from mesh.registry.server import RegistryServer
from mesh.registry.setups import CameraSetup
from nodes.capture.setup import print_of
from tests.capture.test_decision import camera, member
from tests.support.waiting import PATIENCE_S


@pytest.fixture
def registry() -> Iterator[Registry]:
    with open_registry(f"memory:{secrets.token_hex(4)}") as made:
        yield made


def test_only_what_differs_is_stored_and_comes_back(registry: Registry) -> None:
    setup = camera("door", size="640x480", fps=5, label="site=gate", enabled=False)
    setups.add(registry, setup)
    entry = registry.get("config/cameras/door")
    assert entry is not None
    assert entry.lease == 0
    assert entry.value == {
        "url": "synthetic:",
        "size": "640x480",
        "fps": 5.0,
        "label": "site=gate",
        "enabled": False,
    }
    assert setups.setups(registry) == [setup]
    assert setup.size == (640, 480)


def test_a_name_is_given_once(registry: Registry) -> None:
    setups.add(registry, camera("door"))
    with pytest.raises(ConfigError, match="mesh camera set door"):
        setups.add(registry, camera("door", fps=1))
    assert setups.setups(registry) == [camera("door")]


def test_two_people_do_not_overwrite_each_other(registry: Registry) -> None:
    setups.add(registry, camera("door"))
    mine, revision = setups.find(registry, "door")
    setups.change(registry, camera("door", fps=1), revision)
    with pytest.raises(Conflict, match="by somebody else meanwhile"):
        setups.change(registry, setups.changed(mine, {"fps": 2}), revision)
    with pytest.raises(Conflict, match="by somebody else meanwhile"):
        setups.remove(registry, "door", revision)
    assert setups.setups(registry) == [camera("door", fps=1)]


def test_only_what_is_given_changes_and_none_unsets() -> None:
    before = camera("door", fps=5, size="64x48", quality=50)
    assert setups.changed(before, {"fps": None, "quality": 60}) == camera("door", size="64x48", quality=60)


def test_importing_says_what_it_changed(registry: Registry) -> None:
    told = [
        setups.put(registry, camera("door", fps=fps), dry_run=dry) for fps, dry in [(1, True), (1, False)]
    ]
    told += [setups.put(registry, camera("door", fps=fps)) for fps in (1, 2)]
    assert told == ["added", "added", "same", "changed"]


def test_one_that_is_not_there_is_refused_and_those_that_are_named(registry: Registry) -> None:
    setups.add(registry, camera("gate"))
    with pytest.raises(ConfigError, match="no camera 'door' is configured; configured are: gate"):
        setups.find(registry, "door")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"size": "640"}, "size: give WIDTHxHEIGHT"),
        ({"size": "0x4"}, "size: "),
        ({"fps": "fast"}, "fps: "),
        ({"fps": 0}, "fps: "),
        ({"quality": 101}, "quality: "),
        ({"pace": "slow"}, "pace: "),
        ({"partitions": 65}, "partitions: "),
        ({"label": "gate"}, "label: give NAME=VALUE"),
        ({"colour": "red"}, "there is no option 'colour'"),
    ],
)
def test_what_is_wrong_is_told_without_the_url(values: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match="camera door: ") as refused:
        CameraSetup.made("door", {"url": "rtsp://u:hunter2@h/", **values})
    assert told in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_malformed_entry_hides_itself_only(registry: Registry) -> None:
    registry.put("config/cameras/bad", {"url": "rtsp://u:hunter2@h/", "fps": "fast"})
    setups.add(registry, camera("door"))
    assert setups.setups(registry) == [camera("door")]
    with pytest.raises(RegistryError, match="malformed: fps") as refused:
        setups.find(registry, "bad")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("record", ["sometimes", "motion,when=night", 5, None, ["motion"]])
def test_what_is_to_be_recorded_and_is_no_choice_costs_nobody_the_camera(
    registry: Registry, record: object
) -> None:
    """It may be a newer collector's choice; who changes the camera has to put it right."""
    registry.put("config/cameras/door", {"url": "synthetic:", "fps": 5, "record": record})
    setup, _ = setups.find(registry, "door")
    assert (setup.fps, setup.record) == (5, str(record))
    with pytest.raises(ConfigError, match=r"camera door: record: .*is no"):
        setups.changed(setup, {"fps": 7})
    assert setups.changed(setup, {"fps": 7, "record": "motion"}).record == "motion"


def test_what_nobody_captures_and_why() -> None:
    captured = CameraRecord(name="door", source="synthetic:", node="a")
    configured = [
        camera("door"),
        camera("off", enabled=False),
        camera("usb", node="z"),
        camera("gate", label="site=gate"),
        camera("next"),
    ]
    why = setups.waiting(configured, [captured], [member("a")])
    assert why == {
        "off": "disabled",
        "usb": "it is pinned to node z, and no such capture node runs",
        "gate": "it is pinned to a node with the label site=gate, and no such capture node runs",
        "next": "node a is to take it",
    }
    assert "no capture node runs" in setups.waiting(configured, [captured], [])["next"]


def test_what_is_kept_on_disk_is_its_users_alone(tmp_path: Path) -> None:
    with open_registry(f"file:{tmp_path / 'mesh.toml'}") as registry:
        setups.add(registry, camera("door", url="rtsp://u:hunter2@h/"))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    state = tmp_path / "state"
    with (
        RegistryServer(bind="tcp://127.0.0.1:*", state=state) as server,
        open_registry(server.url, timeout=PATIENCE_S) as remote,
    ):
        setups.add(remote, camera("door", url="rtsp://u:hunter2@h/"))
        modes |= {f.name: stat.S_IMODE(f.stat().st_mode) for f in state.glob("registry*")}
    assert set(modes) >= {"mesh.toml", "mesh.toml.live", "registry.sqlite", "registry.sqlite-wal"}
    assert set(modes.values()) == {0o600}


def test_a_file_that_is_written_over_a_camera_leaves_it_paused(registry: Registry) -> None:
    setups.add(registry, camera("door", paused=True))
    assert setups.put(registry, camera("door")) == "same"
    assert setups.put(registry, camera("door", fps=2)) == "changed"
    assert setups.put(registry, camera("gate", paused=True)) == "added"  # no file pauses a camera
    assert setups.setups(registry) == [camera("door", fps=2, paused=True), camera("gate")]
    assert setups.changed(camera("door", paused=True), {"fps": 2}).paused


def test_a_pause_and_what_is_recorded_are_none_of_the_captures(registry: Registry) -> None:
    door = camera("door", fps=2)
    paused = door.model_copy(update={"paused": True, "record": "motion"})
    assert paused.capture == door.capture
    assert print_of(paused) == print_of(door)
