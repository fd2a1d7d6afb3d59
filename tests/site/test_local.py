"""Whether what a file names is on this machine: real files, and processors in a real process."""

import os
from pathlib import Path

import pytest

from mesh.cli.checks import LocalChecks
from mesh.scope import Scope
from mesh.site.here import parts_here
from mesh.site.local import (
    changed,
    check_local,
    check_processes,
    everything,
    wrong_here,
)
from mesh.site.parts import difference, plan
from mesh.site.problems import SiteError
from mesh.site.reading import Site
from tests.site.support import site_of

LOCAL = LocalChecks(within_s=300.0)  # on a machine that is busy, too

CAPTURE = """
[capture.c]
secrets = "own.env"
"""
DOOR = """
[cameras.door]
url = "rtsp://viewer:{DOOR_PASSWORD}@192.0.2.7/x"
"""
OWN = """
import threading

print("no answer")
threading.Thread(target=threading.Event().wait).start()

class Blur:
    def __init__(self, radius: int = 3) -> None:
        raise RuntimeError("nobody makes one")

    def __call__(self, frame):
        return frame
"""


def told_of(folder: Path, text: str) -> list[str]:
    site = site_of(folder, text)
    return bare(site.told(wrong_here(site, parts_here(plan(site, folder)), LOCAL)))


def bare(lines: list[str]) -> list[str]:
    """Without the path of the file."""
    return [line.partition("mesh.toml:")[2] for line in lines]


def secrets(folder: Path, text: str, mode: int = 0o600) -> None:
    path = folder / "own.env"
    path.write_text(text)
    path.chmod(mode)


def test_a_file_of_secrets_has_to_be_there_for_its_owner_alone(tmp_path: Path) -> None:
    (missing,) = told_of(tmp_path, CAPTURE)
    assert missing == f"3: capture.c.secrets: {tmp_path}/own.env: No such file or directory"
    secrets(tmp_path, "DOOR_PASSWORD=x", 0o644)
    (open_to_others,) = told_of(tmp_path, CAPTURE + DOOR)
    assert open_to_others.startswith(f"3: capture.c.secrets: {tmp_path}/own.env can be read by others: chmod")
    secrets(tmp_path, "door=x")
    (malformed,) = told_of(tmp_path, CAPTURE)
    assert malformed.startswith(f"3: capture.c.secrets: {tmp_path}/own.env, line 1: write NAME=value")


def test_every_secret_that_is_used_has_to_be_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets(tmp_path, "")
    (camera,) = told_of(tmp_path, CAPTURE + DOOR)
    assert camera.startswith("6: cameras.door.url: the secret DOOR_PASSWORD is not known here")
    assert not told_of(tmp_path, CAPTURE + DOOR + "enabled = false\n")
    forward = '[collect.r]\nforward = [\n  "tcp://hq:7700",\n  "mqtts://u:{HQ_PASSWORD}@hq/site",\n]'
    (destination,) = told_of(tmp_path, forward)
    assert destination.startswith("4: collect.r.forward: the secret HQ_PASSWORD is not known here")
    monkeypatch.setenv("HQ_PASSWORD", "x")
    assert not told_of(tmp_path, forward)
    secrets(tmp_path, "DOOR_PASSWORD=x")
    assert not told_of(tmp_path, CAPTURE + DOOR)


def test_files_of_cameras_have_to_be_there_below_the_files_folder(tmp_path: Path) -> None:
    urls = {
        "a": "no.mp4",
        "b": "/nowhere/x.mp4",
        "c": "recording:no",
        "d": "images:no?fps=5",
        "e": "images:none",
    }
    urls |= {
        "f": "a.mp4",
        "g": "recording:made",
        "h": "images:made",
        "i": "device:77",
        "j": "http://192.0.2.1/x",
    }
    text = "[capture.c]\n" + "".join(f'[cameras.{name}]\nurl = "{url}"\n' for name, url in urls.items())
    (tmp_path / "a.mp4").touch()
    for folder in ("made", "none"):
        (tmp_path / folder).mkdir()
    (tmp_path / "made" / "1.jpg").touch()
    assert [line.split(": ")[1:3] for line in told_of(tmp_path, text)] == [
        ["cameras.a.url", f"{tmp_path}/no.mp4"],
        ["cameras.b.url", "/nowhere/x.mp4"],
        ["cameras.c.url", f"{tmp_path}/no"],
        ["cameras.d.url", f"{tmp_path}/no"],
        [
            "cameras.e.url",
            f"{tmp_path}/none holds no pictures (.bmp .jpeg .jpg .pgm .png .ppm .tif .tiff .webp)",
        ],
    ]


def test_a_folder_to_record_to_has_to_be_one_that_can_be_made_and_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for into, why in {"/proc/nope": "no folder can be made there", "file/x": "a file stands where"}.items():
        (problem,) = told_of(tmp_path, f'[collect.r]\ninto = "{into}"')
        assert problem.startswith("2: collect.r.into: cannot record to ")
        assert why in problem
    before = sorted(tmp_path.iterdir())
    assert not told_of(tmp_path, '[collect.r]\ninto = "new/er/est"')
    (tmp_path / "there").mkdir()
    assert not told_of(tmp_path, '[collect.r]\ninto = "there"')
    assert sorted(tmp_path.iterdir()) == [*before, tmp_path / "there"]
    assert not list((tmp_path / "there").iterdir())


def test_processors_are_loaded_as_nodes_do_and_not_made(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "ends.py").write_text("import os\nos._exit(7)\n")
    text = """[process.p]
processors = [
    "motion",
    "own:Blur:radius=5",
    "nosuch:Cls",
    "own:Blurr",
    "own:Blur:radius=x",
    "own:Blur:radius=5",
    "ends:Cls",
    "nosuch:Never",
]
"""
    found = [line.split(": ", 2) for line in told_of(tmp_path, text)]
    assert [(line, key) for line, key, _ in found] == [(str(n), "process.p.processors") for n in (5, 6, 7, 9)]
    missing, no_class, option, ends = (what for _, _, what in found)
    assert missing == f"no module 'nosuch' in {tmp_path} or among the installed packages"
    assert no_class.endswith("has no 'Blurr'")
    assert option.startswith("own:Blur: radius=x is wrong")
    assert ends == "the process that loads it ends at once (exit code 7)"


def test_one_that_takes_long_to_load_is_not_known_to_be_wrong(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import threading\nthreading.Event().wait()\n")
    assert LocalChecks(within_s=0.1).processors(["slow:Cls", "motion"], tmp_path) == ["", ""]


def test_what_a_module_leaves_behind_is_not_waited_for(tmp_path: Path) -> None:
    """It has left the group, and holds all that it was given."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "leaves.py").write_text(
        "import os\nif not os.fork():\n    os.setsid()\n    open('fifo').read()\n    os._exit(0)\n"
    )
    try:
        for within_s in (0.1, 300.0):
            (wrong,) = LocalChecks(within_s).processors(["leaves:Cls"], tmp_path)
        assert wrong.endswith("has no 'Cls'")
    finally:
        (tmp_path / "fifo").open("w").close()


def test_one_who_stops_waits_for_no_answer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "slow.py").write_text(
        "import threading\nopen('fifo', 'w').close()\nthreading.Event().wait()\n"
    )
    checks = LocalChecks(within_s=300.0)
    answers = list[str]()
    with Scope("asking") as scope:
        scope.spawn("ask", lambda: answers.extend(checks.processors(["slow:Cls"], tmp_path)))
        (tmp_path / "fifo").open().close()  # it is being loaded
        checks.stop()
        scope.join()
    assert answers == [""]
    assert checks.processors(["nosuch:Cls"], tmp_path) == [""]


DEVICES = """[site]
insecure = true
[devices.hub]
address = "127.0.0.1"
[devices.gate]
address = "203.0.113.9"
[capture.hub]
secrets = "no.env"
[capture.gate]
device = "gate"
secrets = "no.env"
[process.p]
device = "gate"
processors = ["nosuch:Cls"]
[collect.r]
device = "gate"
into = "/proc/nope"
[cameras.here]
url = "/nowhere/x.mp4"
device = "hub"
[cameras.there]
url = "/nowhere/x.mp4"
device = "gate"
[cameras.anywhere]
url = "/nowhere/x.mp4"
"""


def test_only_what_runs_on_this_machine_is_asked_about(tmp_path: Path) -> None:
    found = [line.split(": ")[1] for line in told_of(tmp_path, DEVICES)]
    assert found == ["capture.hub.secrets"]  # without them no camera is looked at
    secrets(tmp_path, "")
    found = [line.split(": ")[1] for line in told_of(tmp_path, DEVICES.replace("no.env", "own.env"))]
    assert found == ["cameras.here.url"]
    everywhere = DEVICES.replace("203.0.113.9", "0.0.0.0").replace(
        "[devices.gate]", '[devices.gate]\nadvertise = "203.0.113.9"'
    )
    found = [line.split(": ")[1] for line in told_of(tmp_path, everywhere.replace("no.env", "own.env"))]
    assert found == ["cameras.here.url"]


def edited(before: Site, after: Site, folder: Path) -> list[str]:
    """What is wrong with an edit."""
    was, becomes = plan(before, folder), plan(after, folder)
    try:
        check_local(after, changed(after, was, becomes, difference(was, becomes)), LOCAL)
    except SiteError as error:
        return [line.split(": ")[1] for line in error.problems]
    return []


def test_of_an_edit_what_it_changes_is_asked_about(tmp_path: Path) -> None:
    """What was wrong before is not made worse by it."""
    right = '[capture.c]\n[collect.r]\n[cameras.door]\nurl = "/nowhere/x.mp4"\n'
    wrong = right.replace("[collect.r]", '[collect.r]\ninto = "/proc/nope"')
    secret = right + DOOR.replace("door", "gate")
    before, bad = site_of(tmp_path, right), site_of(tmp_path, wrong)
    assert edited(before, bad, tmp_path) == ["collect.r.into"]
    assert (
        edited(bad, site_of(tmp_path, wrong.replace("[capture.c]", "[capture.c]\nlease = 5")), tmp_path) == []
    )
    assert edited(before, site_of(tmp_path, right + "fps = 5\n"), tmp_path) == ["cameras.door.url"]
    assert edited(before, site_of(tmp_path, secret), tmp_path) == ["cameras.gate.url"]
    secrets(tmp_path, "")
    asks = site_of(tmp_path, secret.replace("[capture.c]", CAPTURE))
    assert edited(site_of(tmp_path, secret), asks, tmp_path) == ["cameras.gate.url"]


def test_at_the_start_a_disk_and_a_camera_keep_the_rest_from_nothing(tmp_path: Path) -> None:
    text = '[capture.c]\n[collect.r]\ninto = "/proc/nope"\n[cameras.door]\nurl = "/nowhere/x.mp4"\n'
    site = site_of(tmp_path, text)
    told = check_processes(site, everything(site, plan(site, tmp_path).parts), LOCAL)
    assert [line.split(": ")[1] for line in told] == ["collect.r.into", "cameras.door.url"]
    site = site_of(tmp_path, text.replace("[capture.c]", CAPTURE))
    with pytest.raises(SiteError, match=r"capture\.c\.secrets"):
        check_processes(site, everything(site, plan(site, tmp_path).parts), LOCAL)


def test_cameras_that_are_not_in_the_file_are_a_doubt(tmp_path: Path) -> None:
    text = '[capture.c]\n[cameras.door]\nurl = "synthetic:"\n[collect.r]\n'
    site = site_of(
        tmp_path, text + 'record = ["off", "nocam=motion"]\nkeep = [\n  "dor=3d",\n  "door=3d",\n]\n'
    )
    assert bare(site.doubts) == [
        "5: collect.r.record: there is no camera 'nocam' in this file; is it configured elsewhere?",
        "7: collect.r.keep: there is no camera 'dor' in this file: did you mean door?",
    ]
