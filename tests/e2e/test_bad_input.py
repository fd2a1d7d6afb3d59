"""Bad input through the real command line: one line that says what and what to do, and an exit code.

2 is for what the command line itself has wrong, 1 for what the world has.
"""

import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.capture.sources.support import CLIP, needs_clip
from tests.e2e.site import SMALL, Site
from tests.support import rtsp_server
from tests.support.mjpeg_server import MjpegServer
from tests.support.processes import Done

BATCH = 4  # commands that run at the same time
JPEG = b"\xff\xd8\xff\xd9"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A registry and a running node `taken` with a camera `taken`."""
    with Site(tmp_path_factory.mktemp("site"), lasting=True) as site:
        site.capture(f"taken={SMALL}", name="taken")
        site.wait_camera("taken")
        yield site


@pytest.fixture(scope="module")
def closed_port() -> Iterator[int]:
    """A port that nobody listens on, and nobody else can take."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def check_refusal(done: Done, code: int, *words: str) -> None:
    """The exit code; one line that begins with "mesh: ", the last one, with these words in it."""
    assert done.code == code, done.err
    assert "Traceback" not in done.out + done.err
    assert done.last_line.startswith("mesh: "), done.err
    assert sum(line.startswith("mesh: ") for line in done.err.splitlines()) == 1, done.err
    assert not [word for word in words if word not in done.last_line], done.last_line


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]


CAPTURE = ("node", "capture")
PROCESS = ("node", "process")
COLLECT = ("node", "collect")

# What is wrong before anything starts: the arguments, and words of the answer.
WRONG = {
    "a camera without =": ((*CAPTURE, "--camera", "door"), ("NAME=URL", "rtsp://")),
    "a camera without a URL": ((*CAPTURE, "--camera", "door="), ("NAME=URL",)),
    "a camera's option without a camera": ((*CAPTURE, "--fps", "5"), ("--camera", "mesh camera set")),
    "secrets that are not there": ((*CAPTURE, "--secrets", "none"), ("--secrets none", "No such file")),
    "secrets for a given camera": (
        (*CAPTURE, "--camera", "a=synthetic:", "--secrets", "none"),
        ("--secrets", "configured cameras"),
    ),
    "a camera's configuration that is wrong": (
        ("camera", "add", "door", "synthetic:?fps=fast"),
        ("camera door", "fps=fast"),
    ),
    "a file of cameras that is not there": (("camera", "import", "none.toml"), ("none.toml", "No such file")),
    "a bad camera name": ((*CAPTURE, "--camera", "Door 1=synthetic:"), ("'Door 1'", "a-z")),
    "a bad node name": ((*CAPTURE, "--camera", "a=synthetic:", "--name", "N/1"), ("'N/1'", "a-z")),
    "a camera given twice": (
        (*CAPTURE, "--camera", "a=synthetic:", "--camera", "a=synthetic:"),
        ("'a'", "given twice"),
    ),
    "an unknown scheme": ((*CAPTURE, "--camera", "a=gopher://x/"), ("gopher://x/", "rtsp://", "synthetic:")),
    "an unknown source option": ((*CAPTURE, "--camera", "a=synthetic:?colour=red"), ("'colour'", "objects")),
    "a bad source option": ((*CAPTURE, "--camera", "a=synthetic:?fps=fast"), ("fps=fast", "a number")),
    "a bad --size": ((*CAPTURE, "--camera", "a=synthetic:", "--size", "big"), ("--size 'big'", "640x480")),
    "a bad --pace": ((*CAPTURE, "--camera", "a=synthetic:", "--pace", "slow"), ("realtime or max",)),
    "a bad --hwaccel": (
        (*CAPTURE, "--camera", "a=synthetic:", "--hwaccel", "magic"),
        ("--hwaccel 'magic'", "none, auto"),
    ),
    "a bad --log-level": ((*CAPTURE, "--camera", "a=synthetic:", "--log-level", "loud"), ("debug, info",)),
    "a public address": ((*CAPTURE, "--camera", "a=synthetic:", "--bind", "0.0.0.0"), ("--insecure",)),
    "an address that is none": (
        (*CAPTURE, "--camera", "a=synthetic:", "--bind", "no host"),
        ("--bind 'no host'",),
    ),
    "a public registry": (("registry", "--bind", "tcp://0.0.0.0:7799"), ("--insecure",)),
    "a registry's bind that is none": (("registry", "--bind", "7700"), ("tcp://HOST:PORT",)),
    "an unknown processor": ((*PROCESS, "magic"), ("'magic'", "motion", "passthrough", "MODULE:CLASS")),
    "a module that is not there": ((*PROCESS, "nowhere:Thing"), ("'nowhere'", "installed packages")),
    "an unknown option": ((*PROCESS, "motion:zeal=1"), ("'zeal'", "sensitivity", "min_area")),
    "a bad option value": ((*PROCESS, "motion:sensitivity=lots"), ("sensitivity", "lots")),
    "a bad --policy": ((*PROCESS, "motion", "--policy", "random"), ("latest or fifo",)),
    "a stage that is its input": (
        (*PROCESS, "passthrough", "--input", "a", "--stage", "a"),
        ("'a'", "--stage"),
    ),
    "a bad stage name": ((*PROCESS, "passthrough", "--stage", "A B"), ("'A B'", "a-z")),
    "a bad input name": ((*PROCESS, "passthrough", "--input", "A B"), ("'A B'", "a-z")),
    "an input given twice": (
        (*COLLECT, "--into", "rec", "--input", "raw", "--input", "raw"),
        ("given twice",),
    ),
    "a registry URL that is none": (
        (*COLLECT, "--into", "rec", "--registry", "udp://x"),
        ("tcp://HOST:PORT",),
    ),
    "a registry URL without a port": (("ls", "--registry", "tcp://127.0.0.1"), ("tcp://HOST:PORT", "port")),
    "a picture of no kind": (("snapshot", "door", "door.gif"), (".jpg", ".png")),
    "a stream without a slash": (("view", "door"), ("STAGE/CAMERA", "raw/door")),
    "no display": (("view", "raw/door"), ("no display", "--save")),
    "--watch with --json": (("ls", "--watch", "--json"), ("--watch", "--json")),
    "a demo's video that is not there": (("demo", "--video", "nowhere.mp4"), ("nowhere.mp4", "no such file")),
}


class Answers:
    """What each wrong command line was answered, and the folder that it ran in: when one is asked for, a few
    are run at the same time."""

    def __init__(self, site: Site, folder: Path) -> None:
        self._site, self._folder = site, folder
        self._found: dict[str, tuple[Done, Path]] = {}

    def of(self, what: str) -> tuple[Done, Path]:
        if what not in self._found:
            names = list(WRONG)
            at = names.index(what) // BATCH * BATCH
            self._run(names[at : at + BATCH])
        return self._found[what]

    def _run(self, names: list[str]) -> None:
        folders = {name: self._folder / name.replace(" ", "-") for name in names}
        for folder in folders.values():
            folder.mkdir()
        arguments = [(WRONG[name][0], folders[name]) for name in names]
        for name, done in zip(names, run_together(self._site, arguments), strict=True):
            self._found[name] = done, folders[name]


def run_together(site: Site, commands: Iterable[tuple[Iterable[object], Path]]) -> list[Done]:
    """Run commands at the same time, each in a folder."""
    running = [site.processes.start(*each, cwd=cwd, MESH_REGISTRY=site.url) for each, cwd in commands]
    return [Done(process.wait(), process.out, process.log) for process in running]


@pytest.fixture(scope="module")
def answers(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return Answers(site, tmp_path_factory.mktemp("wrong"))


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_command_line_is_refused_in_one_line(answers: Answers, what: str) -> None:
    done, folder = answers.of(what)
    check_refusal(done, 2, *WRONG[what][1])
    assert not files_in(folder)


@pytest.mark.parametrize(
    "arguments",
    [("node", "capture", "--colour", "red"), ("nothing",), ("node", "collect"), ("demo", "--seconds", "0")],
    ids=["unknown option", "unknown command", "missing option", "value out of range"],
)
def test_a_usage_error_ends_with_2(site: Site, arguments: tuple[str, ...]) -> None:
    done = site.processes.run(*arguments)
    assert done.code == 2
    assert done.err.strip()
    assert "Traceback" not in done.out + done.err


def test_without_a_registry_it_is_said_how_to_start_one(site: Site, tmp_path: Path, closed_port: int) -> None:
    url = f"tcp://127.0.0.1:{closed_port}"
    commands: tuple[tuple[str, ...], ...] = (
        (*CAPTURE, "--camera", "a=synthetic:", "--registry-wait", "0.3"),
        (*PROCESS, "passthrough", "--registry-wait", "0.3"),
        ("ls",),
        ("ls", "--json"),
        ("stats",),
        ("snapshot", "door", "door.jpg"),
        ("view", "raw/door", "--save", "pictures"),
    )
    running = [site.processes.start(*each, cwd=tmp_path, MESH_REGISTRY=url) for each in commands]
    for process in running:
        done = Done(process.wait(), process.out, process.log)
        check_refusal(done, 1, url, f"mesh registry --bind {url}")
    assert not files_in(tmp_path)


def _capture(site: Site, url: str, *options: object) -> Done:
    return site.run(*CAPTURE, "--camera", f"bad={url}", "--give-up", 0, *options)


def test_a_file_that_is_not_there_or_no_video_or_not_to_be_read(site: Site, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a video\n" * 100)
    check_refusal(_capture(site, str(tmp_path / "none.mp4")), 1, "camera bad", "none.mp4", "no such file")
    check_refusal(_capture(site, str(text)), 1, "text.mp4", "not a video")
    check_refusal(_capture(site, "/proc/self/mem"), 1, "/proc/self/mem")
    check_refusal(_capture(site, f"images:{tmp_path / 'nowhere'}"), 1, "nowhere")


def test_a_camera_that_refuses_the_connection(site: Site, closed_port: int) -> None:
    for url in (f"http://127.0.0.1:{closed_port}/x", f"rtsp://127.0.0.1:{closed_port}/x"):
        check_refusal(_capture(site, url), 1, "camera bad", url, "refused the connection")


def test_wrong_credentials_over_http(site: Site) -> None:
    with MjpegServer([JPEG], authorization="Basic dTpw") as server:
        done = _capture(site, server.url_as("u", "wr0ng-secret"))
        check_refusal(done, 1, "camera bad", "another user or password")
        assert "wr0ng-secret" not in done.err


@pytest.mark.skipif(bool(rtsp_server.unavailable()), reason=rtsp_server.unavailable())
def test_wrong_credentials_over_rtsp(site: Site) -> None:
    with rtsp_server.RtspServer() as server:
        done = _capture(site, server.url("secret", "viewer", "wr0ng-secret"))
        check_refusal(done, 1, "camera bad", "another user or password")
        assert "wr0ng-secret" not in done.err


def test_names_that_are_taken(site: Site, tmp_path: Path) -> None:
    node = site.run(*PROCESS, "passthrough", "--name", "taken")
    check_refusal(node, 2, "'taken'", "--name")
    camera = site.run(*CAPTURE, "--camera", f"taken={SMALL}", "--name", "second")
    check_refusal(camera, 2, "camera 'taken'", "node 'taken'")
    assert not [record for record in site.mesh.nodes() if record.id == "second" and record.state != "ended"]
    assert site.camera("taken").node == "taken"
    assert site.camera("taken").state == "online"


def test_a_registry_whose_port_is_taken(site: Site) -> None:
    check_refusal(site.processes.run("registry", "--bind", site.url), 1, site.url)


@pytest.mark.parametrize("into", ["file", "file/below", "/proc/recordings"])
def test_folders_that_cannot_be_written(site: Site, tmp_path: Path, into: str) -> None:
    file, folder = tmp_path / "file", str(tmp_path / into)
    file.write_text("here first")
    commands: dict[tuple[object, ...], tuple[str, ...]] = {
        (*COLLECT, "--into", folder): (folder,),
        ("view", "raw/taken", "--save", folder): (folder, "another place"),
        ("demo", "--seconds", 1, "--into", folder): (folder, "--into"),
    }
    check_all_refused(site, commands, tmp_path)
    assert file.read_text() == "here first"
    assert list(tmp_path.iterdir()) == [file]


def test_files_that_cannot_be_written(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("here first")
    pictures = [str(path) for path in (file / "x.jpg", Path("/proc/x.jpg"), tmp_path / "nowhere" / "x.png")]
    commands: dict[tuple[object, ...], tuple[str, ...]] = {
        ("snapshot", "taken", picture): (picture, "another place") for picture in pictures
    }
    commands["registry", "--bind", "tcp://127.0.0.1:*", "--state", file] = (str(file),)
    check_all_refused(site, commands, tmp_path)
    assert file.read_text() == "here first"
    assert list(tmp_path.iterdir()) == [file]


def check_all_refused(site: Site, commands: Mapping[tuple[object, ...], tuple[str, ...]], cwd: Path) -> None:
    """Each ends with 1 and these words."""
    answers = run_together(site, [(arguments, cwd) for arguments in commands])
    for words, done in zip(commands.values(), answers, strict=True):
        check_refusal(done, 1, *words)


def test_a_camera_or_stage_that_gives_nothing(site: Site, tmp_path: Path) -> None:
    unknown = site.run("snapshot", "nobody", tmp_path / "x.jpg", "--timeout", 0.2)
    check_refusal(unknown, 1, "'nobody'", "taken")
    stage = site.run("snapshot", "taken", tmp_path / "x.jpg", "--stage", "dreams", "--timeout", 0.2)
    check_refusal(stage, 1, "dreams/taken", "online")
    view = site.run("view", "raw/nobody", "--save", tmp_path / "pictures", "--timeout", 0.2)
    check_refusal(view, 1, "raw/nobody", "mesh ls")
    assert not files_in(tmp_path)


@needs_clip
def test_a_log_of_json_lines_ends_with_the_error(site: Site) -> None:
    done = _capture(site, f"{CLIP}.missing", "--log-json")
    assert done.code == 1
    assert '"level": "error"' in done.last_line
    assert "no such file" in done.last_line
