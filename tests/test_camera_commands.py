"""`mesh camera …`: what it answers, what it refuses, and what it leaves in the registry."""

import json
import logging
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mesh import codec, setups
from mesh.cli.main import app
from mesh.client import NoFrame, connect
from mesh.errors import ConfigError, MeshError
from mesh.registry import Registry, open_registry
from mesh.registry.records import CameraRecord
from tests.capture.sources.support import picture
from tests.capture.test_decision import camera
from tests.support.mjpeg_server import MjpegServer

SECRET = "rtsp://viewer:hunter2@192.0.2.7/door"
Run = Callable[..., Result]


@pytest.fixture
def registry() -> Iterator[Registry]:
    with open_registry(f"memory:{secrets.token_hex(4)}") as made:
        yield made


@pytest.fixture
def run(registry: Registry) -> Run:
    """Runs a `mesh` command at this registry, in this process."""

    def call(*arguments: str, at: str = registry.url) -> Result:
        return CliRunner().invoke(app, arguments, env={"MESH_REGISTRY": at})

    return call


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command sets up logging for its process, which here is everybody's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def _refused(result: Result, code: int = 2) -> str:
    """The one line that a command ends with."""
    assert isinstance(result.exception, MeshError), result
    assert result.exception.exit_code == code
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_add_set_and_remove(run: Run, registry: Registry) -> None:
    added = run(
        "camera", "add", "door", "synthetic:", "--fps", "5", "--size", "640x480", "--label", "site=gate"
    )
    assert (added.exit_code, added.stdout) == (0, "camera door is configured\n")
    assert setups.setups(registry) == [camera("door", fps=5, size="640x480", label="site=gate")]
    assert run("camera", "set", "door", "--fps", "none", "--label", "none", "--loop").exit_code == 0
    assert setups.setups(registry) == [camera("door", size="640x480", loop=True)]
    assert run("camera", "set", "door", "--no-loop", "--size", "none").exit_code == 0
    assert setups.setups(registry) == [camera("door")]
    assert run("camera", "disable", "door").exit_code == 0
    assert setups.setups(registry) == [camera("door", enabled=False)]
    assert run("camera", "enable", "door").exit_code == 0
    assert run("camera", "remove", "door").exit_code == 0
    assert setups.setups(registry) == []


def test_what_is_wrong_is_refused_in_a_line_and_nothing_is_written(run: Run, registry: Registry) -> None:
    setups.add(registry, camera("door"))
    assert "configured already" in _refused(run("camera", "add", "door", "synthetic:"))
    assert "no such kind of source" in _refused(run("camera", "add", "gate", "gopher://x"))
    assert "is not a name" in _refused(run("camera", "add", "The Gate", "synthetic:"))
    assert "size: " in _refused(run("camera", "add", "gate", "synthetic:", "--size", "big"))
    assert "record: 'often' is no choice" in _refused(run("camera", "set", "door", "--record", "often"))
    assert "--hwaccel 'abacus'" in _refused(run("camera", "set", "door", "--hwaccel", "abacus"))
    assert "not to both" in _refused(run("camera", "set", "door", "--node", "a", "--label", "b=c"))
    assert "nothing to change" in _refused(run("camera", "set", "door"))
    for command in (["set", "yard", "--loop"], ["show", "yard"], ["remove", "yard"], ["test", "yard"]):
        assert "no camera 'yard' is configured; configured are: door" in _refused(run("camera", *command))
    assert setups.setups(registry) == [camera("door")]


def test_what_was_set_is_unset_with_none(run: Run, registry: Registry) -> None:
    values = {"--quality": "50", "--stall": "3", "--give-up": "9", "--partitions": "4", "--pace": "max"}
    values |= {"--record": "events,pre=3,label=person"}
    given = [word for pair in values.items() for word in pair]
    assert run("camera", "add", "door", "synthetic:", *given).exit_code == 0
    assert setups.setups(registry) == [
        camera(
            "door",
            quality=50,
            stall_s=3,
            give_up_s=9,
            partitions=4,
            pace="max",
            record="events,pre=3,label=person",
        )
    ]
    none = [word for option in values for word in (option, "none")]
    unset = run("camera", "set", "door", *none)
    assert unset.exit_code == 0
    assert unset.stdout.endswith("as collectors say; --record off records nothing\n")
    assert setups.setups(registry) == [camera("door")]
    assert "quality: " in _refused(run("camera", "set", "door", "--quality", "good"))


def test_the_node_comes_before_what_it_is_asked(run: Run) -> None:
    assert "write `mesh ctl gate drain`" in _refused(run("ctl", "drain", "gate"))


def test_a_malformed_entry_can_be_removed(run: Run, registry: Registry) -> None:
    registry.put("config/cameras/bad", {"url": 5})
    assert run("camera", "remove", "bad").exit_code == 0
    assert registry.list("config/") == []


@pytest.mark.parametrize("command", ["show", "enable", "disable", "remove"])
def test_a_url_where_a_name_is_wanted_is_not_repeated(run: Run, command: str) -> None:
    for refused in (run("camera", command, SECRET), run("camera", "add", SECRET, "door")):
        assert "a camera's name is wanted, and a URL was given" in _refused(refused)
        assert "hunter2" not in refused.output


def test_passwords_show_nowhere_and_go_to_no_other_machine(run: Run, registry: Registry) -> None:
    refused = run("camera", "add", "door", SECRET, at="tcp://192.0.2.1:7700")
    assert "{DOOR_PASSWORD}" in _refused(refused)
    assert run("camera", "add", "door", SECRET).exit_code == 0
    assert setups.setups(registry)[0].url == SECRET
    assert run("camera", "add", "gate", "rtsp://u:{GATE_PASSWORD}@192.0.2.7/").exit_code == 0
    assert "a placeholder can stand for" in _refused(run("camera", "set", "gate", "--url", "rtsp://{HOST}/"))
    answers = [run("camera", *command) for command in (["list"], ["list", "--json"], ["show", "door"])]
    answers += [run("ls"), run("ls", "--json"), refused]
    assert all("hunter2" not in answer.output + repr(answer.exception) for answer in answers)
    assert all("viewer:***@192.0.2.7" in answer.stdout for answer in answers[:-1])
    assert "{GATE_PASSWORD}" in answers[0].stdout


def test_list_and_show_tell_what_is_configured_and_what_is(run: Run, registry: Registry) -> None:
    setups.add(registry, camera("door", fps=5))
    setups.add(registry, camera("gate", enabled=False))
    lease = registry.grant(60)
    live = CameraRecord(
        name="door", source="synthetic:", node="a", codec="mjpeg", width=64, height=48, fps=4.9
    )
    registry.put(live.key, {**live.value(), "state": "online"}, lease=lease)
    lines = [line.split("\t")[1:] for line in run("camera", "list").stdout.splitlines()]
    assert lines == [
        ["door", "online", "a", "synthetic:", "fps=5.0", "mjpeg", "64x48", "4.9"],
        ["gate", "waiting: disabled", "", "synthetic:", "enabled=no", "", "", ""],
    ]
    rows: list[dict[str, Any]] = json.loads(run("camera", "list", "--json").stdout)["cameras"]
    assert [(row["name"], row["state"], row["setup"]["enabled"]) for row in rows] == [
        ("door", "online", True),
        ("gate", "waiting", False),
    ]
    assert json.loads(run("camera", "show", "door", "--json").stdout) == rows[0]
    assert "setup\tfps\t5.0" in run("camera", "show", "door").stdout
    listed = json.loads(run("ls", "--json").stdout)["cameras"]
    assert [(row["name"], row["state"], row["why"]) for row in listed] == [
        ("door", "online", ""),
        ("gate", "waiting", "disabled"),
    ]


def test_a_source_is_opened_here(run: Run, registry: Registry, tmp_path: Path) -> None:
    jpegs = [codec.encode(picture(k, 160, 120), 90) for k in range(3)]
    with MjpegServer(jpegs) as server:
        setups.add(registry, camera("door", url=server.url))
        file = tmp_path / "door.jpg"
        result = run("camera", "test", "door", "--save", str(file), "--json", "--seconds", "0.3")
    found = json.loads(result.stdout)
    assert (found["codec"], found["width"], found["height"]) == ("mjpeg", 160, 120)
    assert (found["fps"] > 0) == (found["frames"] > 1)  # a busy machine may come to one picture alone
    assert file.read_bytes() in jpegs
    still = run("camera", "test", "synthetic:?size=64x48&fps=5")
    assert "source\tfps\t5.0" in still.stdout
    assert "no such file" in _refused(run("camera", "test", str(tmp_path / "none.mp4")), code=1)
    assert "ends in .jpg" in _refused(run("camera", "test", "synthetic:", "--save", "x.png"))


def test_import_says_what_it_does_and_is_all_or_nothing(run: Run, registry: Registry, tmp_path: Path) -> None:
    setups.add(registry, camera("door"))
    setups.add(registry, camera("yard"))
    file = tmp_path / "cameras.csv"
    file.write_text("name,url,fps\ndoor,synthetic:,5\nyard,synthetic:,\ngate,synthetic:,1\n")
    told = {"door": "changed", "yard": "same", "gate": "added"}
    dry = run("camera", "import", str(file), "--dry-run", "--json")
    assert json.loads(dry.stdout)["cameras"] == told
    assert setups.setups(registry) == [camera("door"), camera("yard")]
    done = run("camera", "import", str(file))
    assert [line.split("\t") for line in done.stdout.splitlines()] == [
        ["cameras", name, change] for name, change in told.items()
    ]
    assert [s.fps for s in setups.setups(registry)] == [5, 1, None]
    file.write_text("name,url,fps\nnew,synthetic:,5\nwrong,gopher:,\n")
    assert "camera wrong: " in _refused(run("camera", "import", str(file)))
    assert len(setups.setups(registry)) == 3


def test_a_camera_that_nobody_captures_is_told_to_who_waits_for_a_frame(registry: Registry) -> None:
    setups.add(registry, camera("door"))
    with connect(registry.url) as mesh, pytest.raises(NoFrame) as refused:
        mesh.snapshot("door", timeout=0.01)
    assert str(refused.value).startswith("nobody captures camera 'door': no capture node runs")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--record", "door"), "--record 'door': 'door' is no choice"),
        (("--record", "door=motion,pre=x"), "--record 'door=motion,pre=x': pre=x: give a number"),
        (("--post-roll", "90000"), "--post-roll=90000.0: give a number from 0 to 86400"),
    ],
)
def test_a_collector_refuses_what_is_no_choice_before_anything_is_made(
    tmp_path: Path, given: tuple[str, str], told: str
) -> None:
    done = CliRunner().invoke(app, ("node", "collect", "--into", str(tmp_path / "into"), *given))
    assert isinstance(done.exception, ConfigError)
    assert told in str(done.exception)
    assert not (tmp_path / "into").exists()
