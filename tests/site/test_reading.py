from pathlib import Path

import pytest

from mesh.cli.site import NodeChecks
from mesh.site.parts import plan
from mesh.site.problems import SiteError
from mesh.site.reading import read_site
from tests.site.support import SITE, TWO_DEVICES, problems_of, site_of

CAPTURE = "\n[capture.c]\n"

WRONG = {
    "a key that there is not": (
        '[capture.c]\nsecretz = "x"',
        "2: capture.c.secretz: there is no such key: did you mean secrets?",
    ),
    "a table that there is not": ("[recorder]", "1: recorder: there is no such key: there are cameras, "),
    "a camera's key": (
        f'{CAPTURE}[cameras.door]\nurl = "synthetic:"\nfsp = 5',
        "5: cameras.door.fsp: there is no such key: did you mean fps?",
    ),
    "a camera without a URL": (f"{CAPTURE}[cameras.door]\nfps = 5", "3: cameras.door.url: it is missing"),
    "a camera's number": (
        f'{CAPTURE}[cameras.door]\nurl = "synthetic:"\nquality = 300',
        "5: cameras.door.quality: Input should be less than or equal to 100",
    ),
    "a camera's option by its name on the command line": (
        f'{CAPTURE}[cameras.door]\nurl = "synthetic:"\nstall = 0',
        "5: cameras.door.stall: Input should be greater than or equal to 0.1",
    ),
    "a source that there is not": (
        f'{CAPTURE}[cameras.door]\nurl = "gopher://x"',
        "4: cameras.door.url: ",
    ),
    "a source's parameter": (
        f'{CAPTURE}[cameras.door]\nurl = "synthetic:?fps=x"',
        "4: cameras.door.url: ",
    ),
    "a camera's name": (
        f'{CAPTURE}[cameras.Door]\nurl = "synthetic:"',
        "3: cameras.Door: it is not a name: ",
    ),
    "a camera that is no table": (f'{CAPTURE}[cameras]\ndoor = "x"', "4: cameras.door: it is a table: "),
    "a hardware decoder": (
        f'{CAPTURE}[cameras.door]\nurl = "synthetic:"\nhwaccel = "warp"',
        "5: cameras.door.hwaccel: ",
    ),
    "a device and a label": (
        f'[devices.a]\n{CAPTURE}[cameras.door]\nurl = "synthetic:"\ndevice = "a"\nlabel = "a=b"',
        "7: cameras.door.label: it has a device already",
    ),
    "a device that there is not": (
        '[devices.hub]\n[capture.c]\ndevice = "hbu"',
        "3: capture.c.device: there is no device 'hbu': there are hub",
    ),
    "a camera's device": (
        f'{CAPTURE}[cameras.door]\nurl = "synthetic:"\ndevice = "gate"',
        "5: cameras.door.device: there is no device 'gate': write [devices.gate], too",
    ),
    "a camera's device that is no name": (
        f'{CAPTURE}[cameras.door]\nurl = "synthetic:"\ndevice = ["gate"]',
        "5: cameras.door.device: it is the name of a [devices.NAME]",
    ),
    "a device that captures nothing": (
        f'[devices.hub]\n[devices.gate]\n{CAPTURE}[cameras.door]\nurl = "synthetic:"\ndevice = "gate"',
        "7: cameras.door.device: no [capture.…] is on device 'gate'",
    ),
    "an address of a network": (
        '[devices.hub]\naddress = "192.0.2.1"',
        "2: devices.hub.address: who is on that network could read and send frames: if it is trusted, ",
    ),
    "cameras that nobody captures": (
        '[cameras.door]\nurl = "synthetic:"',
        "1: cameras: nobody captures them: write [capture.NAME]",
    ),
    "no processors": ("[process.p]", "1: process.p.processors: it is missing"),
    "a processor that there is not": (
        '[process.p]\nprocessors = ["motoin"]',
        "2: process.p.processors: no processor 'motoin': there are ",
    ),
    "a processor's option": (
        '[process.p]\nprocessors = ["motion:sensitivity=9"]',
        "2: process.p.processors: ",
    ),
    "a text for a list": ('[process.p]\nprocessors = "motion"', "2: process.p.processors: Input should be a"),
    "a policy": ('[process.p]\nprocessors = ["motion"]\npolicy = "lossless"', "3: process.p.policy: "),
    "a stage that nobody makes": (
        '[process.p]\nprocessors = ["motion"]\ninput = "codes"',
        "3: process.p.input: nobody makes the stage 'codes': there are motion, raw",
    ),
    "a stage that is taken": (
        '[process.p]\nprocessors = ["motion"]\nstage = "raw"',
        "3: process.p.stage: stage 'raw' is taken in here or captured",
    ),
    "a recorded stage that nobody makes": (
        '[collect.c]\ninput = ["raw", "motion"]',
        "2: collect.c.input: nobody makes the stage 'motion'",
    ),
    "two collectors on one folder": (
        '[collect.a]\n[collect.b]\ninto = "recordings"',
        "3: collect.b.into: collect.a records there already",
    ),
    "two nodes of one name": (
        "[capture.c]\ncount = 2\n[capture.c-2]",
        "3: capture.c-2: its node capture-c-2 is one of capture.c, too: rename one",
    ),
    "a name that is too long": (f"[capture.{'c' * 60}]", "its node would be called"),
    "a registry elsewhere, without a name": (
        '[registry]\nurl = "tcp://192.0.2.1:7700"',
        "2: registry.url: several sites may use that registry: write name = … under [site]",
    ),
    "a registry's URL and port": (
        '[site]\nname = "a"\n[registry]\nurl = "tcp://192.0.2.1:7700"\nport = 7700',
        "5: registry.port: the url says where the registry is",
    ),
    "a registry of another kind": (
        '[site]\nname = "a"\n[registry]\nurl = "memory:x"',
        "4: registry.url: give tcp://",
    ),
    "a lease that is too short": ("[collect.c]\nlease = 0.1", "2: collect.c.lease: "),
    "a broken line": ("[site\nname = 1", "1: "),
    "a key twice": ('[site]\nname = "a"\nname = "b"', "3: cannot overwrite a value"),
}


@pytest.mark.parametrize(("text", "told"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_by_line_and_key(text: str, told: str, tmp_path: Path) -> None:
    problems = problems_of(tmp_path, text)
    assert any(told in problem for problem in problems), problems


def test_everything_that_is_wrong_is_told_in_the_order_of_the_lines(tmp_path: Path) -> None:
    cameras = '[cameras.a]\nurl = "gopher://x"\n[cameras.b]\nfps = 1'
    text = f'[capture.c]\ncuont = 2\n{cameras}\n[process.p]\nworkers = "2"'
    assert [problem.split(":")[0] for problem in problems_of(tmp_path, text)] == ["2", "4", "5", "7", "8"]


def test_the_error_is_one_line_and_says_how_many_more_there_are(tmp_path: Path) -> None:
    with pytest.raises(SiteError) as caught:
        site_of(tmp_path, "[capture.c]\na = 1\nb = 2\nc = 3")
    assert "\n" not in str(caught.value)
    assert "mesh.toml:2: capture.c.a" in str(caught.value)
    assert "(and 2 more: `mesh config check` tells them all)" in str(caught.value)


def test_no_password_is_shown(tmp_path: Path) -> None:
    told = problems_of(
        tmp_path, '[capture.c]\n[cameras.door]\nurl = "rtspp://viewer:hunter2@192.0.2.7/x"\nfsp = 1'
    )
    assert told
    assert "hunter2" not in "".join(told)


def test_a_password_is_refused_where_a_registry_on_a_network_would_keep_it(tmp_path: Path) -> None:
    text = '[site]\nname = "a"\n[registry]\nurl = "tcp://192.0.2.1:7700"\n[capture.c]\n[cameras.door]\nurl = '
    (told,) = problems_of(tmp_path, f'{text}"rtsp://viewer:hunter2@192.0.2.7/x"')
    assert told.startswith("7: cameras.door.url: its URL holds a password")
    assert "{DOOR_PASSWORD}" in told
    assert not problems_of(tmp_path, f'{text}"rtsp://viewer:{{DOOR_PASSWORD}}@192.0.2.7/x"')


def test_the_example_is_right_and_says_what_runs(tmp_path: Path) -> None:
    text = Path("mesh/site/example.toml").read_text()
    site = site_of(tmp_path, text)
    assert [camera.name for camera in site.cameras] == ["yard", "gate"]
    assert {camera.site for camera in site.cameras} == {"first"}


def test_every_line_of_the_example_that_is_commented_out_is_right_too(tmp_path: Path) -> None:
    """Uncommented as a person would: what stands there in words is left."""
    text = Path("mesh/site/example.toml").read_text()
    lines = []
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        is_setting = line.startswith("# ") and (bare.startswith("[") or " = " in bare) and "----" not in bare
        lines.append(bare.removeprefix("# ") if is_setting else line)
    whole = "\n".join(lines).replace('url = "etcd://192.0.2.1:2379,192.0.2.2:2379"', "")
    site = site_of(tmp_path, whole)
    assert {camera.name for camera in site.cameras} == {"yard", "gate", "door", "bench"}
    assert set(site.file.devices) == {"hub", "gate"}


def test_cameras_of_a_device_are_pinned_to_its_nodes(tmp_path: Path) -> None:
    (door,) = site_of(tmp_path, TWO_DEVICES).cameras
    assert door.label == "device=gate"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\0", b"x = " + b"9" * 5_000_000])
def test_rubbish_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mesh.toml"
    path.write_bytes(content)
    with pytest.raises(SiteError) as caught:
        read_site(path, NodeChecks())
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_told_with_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="mesh config init"):
        read_site(tmp_path / "none.toml", NodeChecks())


def test_a_small_file_is_enough(tmp_path: Path) -> None:
    site = site_of(tmp_path, SITE)
    assert site.file.registry_url == "tcp://127.0.0.1:7700"
    assert site.stages == {"motion": "motion"}


def test_limits_of_recordings_are_as_on_the_command_line(tmp_path: Path) -> None:
    text = '[capture.c]\n[cameras.door]\nurl = "synthetic:"\n[collect.recorder]\n'
    told = problems_of(tmp_path, f'{text}keep_free = "a lot"\nkeep = ["door=7"]\nkeep_days = 0\n')
    assert [problem.partition(":")[0] for problem in told] == ["5", "6", "7"]
    assert "write 10% or 20GB" in told[0]
    assert "'7' is no limit: write 30d, 50GB, or 30d,50GB" in told[1]
    site = site_of(tmp_path, f'{text}keep_free = "10%"\nkeep_days = 7\nkeep = ["door=30d", "yard=5GB"]\n')
    command = " ".join(plan(site, tmp_path).parts["collect-recorder"].arguments)
    assert "--keep-days 7 --keep-free 10% --keep door=30d --keep yard=5GB" in command
