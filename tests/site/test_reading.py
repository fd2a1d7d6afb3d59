import os
from bisect import bisect_left
from contextlib import suppress
from pathlib import Path

import pytest

from mesh.cli.checks import NodeChecks
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
        "5: cameras.door.quality: it is too large: give 100 at most",
    ),
    "a camera's option by its name on the command line": (
        f'{CAPTURE}[cameras.door]\nurl = "synthetic:"\nstall = 0',
        "5: cameras.door.stall: it is too small: give 0.1 or more",
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
    "a destination": (
        '[collect.c]\nforward = ["ftp://hq"]',
        "2: collect.c.forward: 'ftp://hq' is no destination: write tcp://HOST:PORT",
    ),
    "a destination with its password": (
        '[collect.c]\nforward = ["mqtt://edge:hunter2@hq/site"]',
        "2: collect.c.forward: a password stands in the URL, where others can read it: write USER:{NAME}@",
    ),
    "a broker's option": (
        '[collect.c]\nforward = ["mqtt://hq/site?qos=2"]',
        "2: collect.c.forward: mqtt://hq:1883: qos=2 is wrong: ",
    ),
    "a broker's topic": (
        '[collect.c]\nforward = ["mqtt://hq/site/+"]',
        "2: collect.c.forward: mqtt://hq:1883: 'site/+' is no topic to publish to: ",
    ),
    "a certificate without TLS": (
        '[collect.c]\nforward = ["mqtt://hq/site?ca=ca.pem"]',
        "2: collect.c.forward: mqtt://hq:1883: ca= goes with TLS: write mqtts://",
    ),
    "a webhook that nobody signs": (
        '[collect.c]\nforward = ["https://hq.example/hook?jpeg=1"]',
        "2: collect.c.forward: https://hq.example:443: say how its receiver knows that a webhook is yours: ",
    ),
    "a destination twice": (
        '[collect.c]\nforward = ["tcp://hq:7700", "tcp://hq:7700?from=-2h"]',
        "2: collect.c.forward: tcp://hq:7700 is given twice",
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
    "a text for a list": ('[process.p]\nprocessors = "motion"', "2: process.p.processors: it is a list: "),
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
    "a registry's URL without a host": (
        '[site]\nname = "a"\n[registry]\nurl = "tcp://"',
        "4: registry.url: give tcp://HOST:PORT of a registry that runs, or etcd://HOST:PORT,…: 'tcp://' is",
    ),
    "a registry's URL without a port": (
        '[site]\nname = "a"\n[registry]\nurl = "tcp://foo"',
        "4: registry.url: give tcp://HOST:PORT of a registry that runs, or etcd://HOST:PORT,…: 'tcp://foo'",
    ),
    "a registry's URL with any port": (
        '[site]\nname = "a"\n[registry]\nurl = "tcp://foo:*"',
        "4: registry.url: give tcp://HOST:PORT of a registry that runs, or etcd://HOST:PORT,…: its port has",
    ),
    "a registry's URL with half an address": (
        '[site]\nname = "a"\n[registry]\nurl = "tcp://[::1:7700"',
        "4: registry.url: give tcp://HOST:PORT of a registry that runs, or etcd://HOST:PORT,…: its host",
    ),
    "a cluster's URL without members": (
        '[site]\nname = "a"\n[registry]\nurl = "etcd://"',
        "4: registry.url: give tcp://HOST:PORT of a registry that runs, or etcd://HOST:PORT,…: 'etcd://' is",
    ),
    "a registry's port without a neighbour": (
        "[registry]\nport = 65535",
        "2: registry.port: it is too large: give 65534 at most",
    ),
    "a registry that others could not find": (
        '[site]\ninsecure = true\n[devices.hub]\naddress = "0.0.0.0"',
        "4: devices.hub.address: the registry is here, and others have to know its address: write advertise",
    ),
    "a registry that others could not find by IPv6": (
        '[site]\ninsecure = true\n[devices.hub]\naddress = "::"',
        "4: devices.hub.address: the registry is here, and others have to know its address: write advertise",
    ),
    "an address that is none": (
        '[site]\ninsecure = true\n[devices.hub]\naddress = "hub..local"',
        "4: devices.hub.address: it is no address: ",
    ),
    "an advertised address with a port": (
        '[site]\ninsecure = true\n[devices.hub]\nadvertise = "hub:7700"',
        "4: devices.hub.advertise: 'hub:7700' is no host: ",
    ),
    "a device's own label": (
        '[devices.hub]\nlabels = { device = "gate" }',
        "2: devices.hub.labels: the label device is the device's own: write device = …",
    ),
    "a node's label of a device": (
        '[capture.c]\nlabels = { device = "gate" }',
        "2: capture.c.labels: the label device is the device's own: write device = …",
    ),
    "an option for a processor": (
        '[process.p]\nprocessors = ["motion", "--workers=4"]',
        "2: process.p.processors: item 2: a processor begins with a letter: its options are keys of this ",
    ),
    "a NUL for a processor": (
        '[process.p]\nprocessors = ["own:Processor:key=\\u0000"]',
        "2: process.p.processors: item 1: it holds a NUL, which no command can be given",
    ),
    "a NUL in a path": (
        '[collect.r]\ninto = "a\\u0000b"',
        "2: collect.r.into: it holds a NUL, which no command can be given",
    ),
    "a home of nobody": (
        '[collect.r]\ninto = "~no-such-user/recordings"',
        "2: collect.r.into: whose home that is is not known here: write the path in full",
    ),
    "a home of nobody, for secrets": (
        '[capture.c]\nsecrets = "~no-such-user/secrets.env"',
        "2: capture.c.secrets: whose home that is is not known here: write the path in full",
    ),
    "groups that make other things": (
        '[process.a]\nprocessors = ["motion"]\ngroup = "g"\n[process.b]\nprocessors = ["codes"]\ngroup = "g"',
        "4: process.b: process.a is of the group g, too, and makes motion of raw: write group = …",
    ),
    "groups that take other things": (
        '[process.a]\nprocessors = ["motion"]\n'
        '[process.b]\nprocessors = ["codes"]\ninput = "motion"\ngroup = "motion"',
        "3: process.b: process.a is of the group motion, too, and makes motion of raw: write group = …",
    ),
    "one stage of other processors": (
        '[process.a]\nprocessors = ["motion"]\nstage = "x"\n[process.b]\nprocessors = ["codes"]\nstage = "x"',
        "5: process.b.processors: process.a makes the stage x, too, with other processors: write another ",
    ),
    "a stage to record that nobody makes": (
        '[process.p]\nprocessors = ["motion"]\n[collect.r]\nrecord = [\n  "motion,stage=objcts",\n]',
        "5: collect.r.record: nobody makes the stage 'objcts': there are motion, raw",
    ),
    "a camera's stage to record that nobody makes": (
        f'{CAPTURE}[cameras.door]\nurl = "synthetic:"\nrecord = "motion,stage=objcts"',
        "5: cameras.door.record: nobody makes the stage 'objcts': there are raw",
    ),
    "ports that clash": (
        "[capture.a]\ncount = 3\nmetrics = 9100\n[capture.b]\nmetrics = 9102",
        "5: capture.b.metrics: port 9102 is that of capture.a: each of several nodes takes the next one",
    ),
    "ports that are none": (
        "[capture.a]\ncount = 3\nmetrics = 65534",
        "3: capture.a.metrics: there is no port 65536 for the last of its nodes",
    ),
    "a port that is none": ("[capture.a]\nmetrics = -1", "2: capture.a.metrics: it is no port"),
    "a port that no text holds": (
        f"[capture.a]\nmetrics = 0x{'f' * 5000}",
        "2: capture.a.metrics: it is no port: they are 0 to 65535",
    ),
    "a queue that is too long for words": (
        f'[process.p]\nprocessors = ["motion"]\ndepth = 0x{"f" * 5000}',
        "3: process.p.depth: it is too large: give 1000000000 at most",
    ),
    "more results than can be counted": (
        f"[collect.r]\ncommit_frames = 0x{'f' * 5000}",
        "2: collect.r.commit_frames: it is too large: give 1000000000 at most",
    ),
    "a stage that is recorded twice": (
        '[collect.r]\ninput = ["raw", "raw"]',
        "2: collect.r.input: a stage stands there twice",
    ),
    "a choice that is none": (
        '[collect.r]\nrecord = ["motion", "door=events,pre=x"]',
        "2: collect.r.record: 'door=events,pre=x': pre=x: give a number from 0 to 600",
    ),
    "a camera's choice that is none": (
        '[cameras.door]\nurl = "synthetic:"\nrecord = "sometimes"',
        "3: cameras.door.record: 'sometimes' is no choice: write continuous, motion, events or off",
    ),
    "a number of too many digits": (f"x = {'9' * 5000}", " a number in it has too many digits"),
    "too many brackets": (f"x = {'[' * 5000}", " it is nested too deeply"),
    "a lease that is too short": ("[collect.c]\nlease = 0.1", "2: collect.c.lease: "),
    "a broken line": ("[site\nname = 1", "1: "),
    "a key twice": (
        '[site]\nname = "a"\nname = "b"',
        "3: site.name: it stands there twice: on line 2, too",
    ),
    "a table twice": (
        '[cameras.yard]\nurl = "synthetic:"\n[cameras.yard]\nfps = 5',
        "3: cameras.yard: it stands there twice: on line 1, too",
    ),
    "a key that is a table": (
        '[site]\nname = "a"\n[site.name]\n',
        "3: site.name: it stands there twice: on line 2, too",
    ),
    "a table below a key": (
        '[site]\nname = "a"\n[site.name.of]\n',
        "3: site.name.of: it stands there already, in what line 2 says",
    ),
    "a key twice in braces": (
        '[capture.c]\nlabels = { a = "b", a = "c" }',
        "2: capture.c.labels.a: it stands there twice",
    ),
    "a text without a quote": ('[site]\nname = "a\n', "2: site.name: its closing quote is missing"),
    "a value that is none": (
        "[capture.c]\n\n[site]\ninsecure = True",
        "4: site.insecure: that is no value: a text stands in quotes, and true and false are written small",
    ),
    "a list that has no end": (
        '[process.p]\nprocessors = [\n  "motion"\npush = true',
        "4: process.p.processors: a ] or a comma is missing in the list",
    ),
    "no list of processors": (
        "[process.p]\nprocessors = []",
        "2: process.p.processors: it is empty: name one at least",
    ),
    "a size that is none": (
        f'{CAPTURE}[cameras.a]\nurl = "synthetic:"\nsize = [0, 20000]',
        '5: cameras.a.size: give "WIDTHxHEIGHT" in pixels, each from 1 to 16384, such as "640x480"',
    ),
    "a truth in quotes": (
        '[site]\ninsecure = "yes"',
        "2: site.insecure: it is true or false, without quotes",
    ),
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


def test_secrets_and_files_of_destinations_are_those_of_the_machine_that_forwards(tmp_path: Path) -> None:
    mqtt = "mqtts://{EDGE}:{EDGE_PASSWORD}@hq/site?ca=ca.pem&cert=edge.pem"
    webhook = "https://hq.example/hook?secret={HOOK_SECRET}&ca=ca.pem"
    assert not problems_of(tmp_path, f'[collect.c]\nforward = ["{mqtt}", "{webhook}"]')


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


@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ("{a=", "}")])
def test_however_deep_a_value_is_nested_it_is_one_error(opens: str, closes: str, tmp_path: Path) -> None:
    """Also where it can just be read once, and not again further down the stack."""

    def is_too_deep(depth: int) -> bool:
        (told,) = problems_of(tmp_path, f"[capture.c]\nx = {opens * depth}1{closes * depth}")
        assert told == " it is nested too deeply" or told.startswith("2: capture.c.x: there is no such key")
        return told == " it is nested too deeply"

    first = bisect_left(range(2000), True, key=is_too_deep)
    assert 0 < first < 2000
    assert not any(map(is_too_deep, range(first - 3, first)))


def test_a_mark_of_the_order_of_bytes_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "mesh.toml").write_bytes(b"\xef\xbb\xbf[capture.c]\nx = 1\n")
    with pytest.raises(SiteError, match=r"mesh.toml:2: capture.c.x: "):
        read_site(tmp_path / "mesh.toml", NodeChecks())


def test_without_a_working_directory_what_is_wrong_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mesh.toml").write_text("[capture.c]\nx = 1\n")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SiteError, match=f"{tmp_path}/mesh.toml:2: capture.c.x: "):
        read_site(tmp_path / "mesh.toml", NodeChecks())
    with pytest.raises(SiteError, match=r"^mesh.toml: no such file: "):
        read_site(Path("mesh.toml"), NodeChecks())


@pytest.mark.parametrize("name", [b"\xff.toml", b"a\0b", b"a" * 5000, b"/"])
def test_whatever_a_file_is_called_what_is_wrong_can_be_written(name: bytes, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(name)
    with suppress(OSError, ValueError):
        path.write_text("[capture.c]\nx = 1\n")
    with pytest.raises(SiteError) as caught:
        read_site(path, NodeChecks())
    assert str(caught.value).encode()
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
    (twice,) = problems_of(tmp_path, f'{text}durability = "1s"\ncommit_ms = 5\n')
    assert "durability says when to commit: leave out commit_ms and commit_frames" in twice
