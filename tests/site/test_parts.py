from pathlib import Path

import pytest

from mesh.errors import ConfigError
from mesh.site.parts import Plan, difference, plan
from tests.site.support import SITE, TWO_DEVICES, site_of

STATE = Path("/state")


def made(folder: Path, text: str, *only: str) -> Plan:
    return plan(site_of(folder, text), STATE, only)


def command(planned: Plan, name: str) -> str:
    return " ".join(planned.parts[name].arguments)


def test_a_site_on_one_machine_runs_whole(tmp_path: Path) -> None:
    planned = made(tmp_path, SITE)
    assert list(planned.parts) == ["registry", "capture-cameras", "process-motion", "collect-recorder"]
    assert [camera.name for camera in planned.cameras or ()] == ["door"]
    assert command(planned, "registry") == "registry --bind tcp://127.0.0.1:7700 --state /state/registry"
    for name in ("capture-cameras", "process-motion", "collect-recorder"):
        assert f"--name {name} --registry tcp://127.0.0.1:7700" in command(planned, name)
        assert "--insecure" not in command(planned, name)
    assert f"--into {tmp_path}/recordings" in command(planned, "collect-recorder")
    assert "motion --spool /state/spool" in command(planned, "process-motion")


def test_options_reach_the_command_as_it_takes_them(tmp_path: Path) -> None:
    text = """
[capture.c]
secrets = "secrets.env"
labels = { room = "hall" }
weight = 2.5
[process.p]
processors = ["motion:sensitivity=0.7", "codes"]
policy = "fifo"
push = false
max_age = 0
window_mb = 32
drain = 3
[collect.r]
input = ["raw", "motion-codes"]
segment = 30
into = "/var/recordings"
"""
    planned = made(tmp_path, text)
    assert f"--secrets {tmp_path}/secrets.env" in command(planned, "capture-c")
    assert "--weight 2.5" in command(planned, "capture-c")
    assert "--label room=hall" in command(planned, "capture-c")
    process = command(planned, "process-p")
    assert process.startswith("node process motion:sensitivity=0.7 codes --spool")
    for option in ("--policy fifo", "--no-push", "--max-age 0", "--window-mb 32", "--drain 3"):
        assert option in process
    collect = command(planned, "collect-r")
    for option in ("--input raw --input motion-codes", "--segment 30", "--into /var/recordings"):
        assert option in collect


def test_several_of_a_kind_have_names_and_ports_of_their_own(tmp_path: Path) -> None:
    planned = made(tmp_path, '[process.m]\nprocessors = ["motion"]\ncount = 3\nmetrics = "0.0.0.0:9100"')
    assert list(planned.parts) == ["registry", "process-m", "process-m-2", "process-m-3"]
    ports = [planned.parts[name].argument("--metrics") for name in list(planned.parts)[1:]]
    assert ports == ["0.0.0.0:9100", "0.0.0.0:9101", "0.0.0.0:9102"]


def test_any_port_is_any_for_each(tmp_path: Path) -> None:
    text = '[process.m]\nprocessors = ["motion"]\ncount = 2\nmetrics = 0\n[capture.c]\nmetrics = 9100'
    planned = made(tmp_path, text)
    ports = [planned.parts[name].argument("--metrics") for name in list(planned.parts)[1:]]
    assert ports == ["9100", "0", "0"]


def test_what_others_call_a_device_is_handed_on_and_where_they_find_its_registry(tmp_path: Path) -> None:
    text = TWO_DEVICES.replace("192.0.2.1", "0.0.0.0").replace('.0"', '.0"\nadvertise = "hub.local"')
    planned = made(tmp_path, text)
    assert planned.registry == "tcp://hub.local:7700"
    assert command(planned, "registry").startswith("registry --bind tcp://0.0.0.0:7700 --state ")
    assert "--bind 0.0.0.0 --advertise hub.local --insecure" in command(planned, "capture-yard")
    assert "--advertise" not in command(planned, "capture-gate")
    assert planned.parts["capture-gate"].argument("--registry") == "tcp://hub.local:7700"


def test_an_address_of_six_is_bracketed_where_a_port_follows(tmp_path: Path) -> None:
    planned = made(tmp_path, '[devices.hub]\naddress = "::1"\n[capture.c]')
    assert planned.registry == planned.parts["registry"].argument("--bind") == "tcp://[::1]:7700"
    assert planned.parts["capture-c"].argument("--bind") == "::1"


def test_a_home_is_that_of_who_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    planned = made(tmp_path, '[capture.c]\nsecrets = "~/secrets.env"\n[collect.r]\ninto = "~/recordings"')
    assert planned.parts["capture-c"].argument("--secrets") == "/home/somebody/secrets.env"
    assert planned.parts["collect-r"].argument("--into") == "/home/somebody/recordings"


@pytest.mark.parametrize(("drain", "patience_s"), [("", 20.0), ("drain = 3", 20.0), ("drain = 60", 70.0)])
def test_who_may_drain_for_long_is_not_killed_before(drain: str, patience_s: float, tmp_path: Path) -> None:
    assert made(tmp_path, f"[capture.c]\n{drain}").parts["capture-c"].patience_s == patience_s


@pytest.mark.parametrize(
    ("value", "told"), [("1234567.5", "1234567.5"), ("123456789", "123456789"), ("0.25", "0.25")]
)
def test_numbers_are_handed_on_as_they_are(value: str, told: str, tmp_path: Path) -> None:
    planned = made(tmp_path, f'[process.p]\nprocessors = ["motion"]\nspool_mb = {value}')
    assert planned.parts["process-p"].argument("--spool-mb") == told


def test_each_device_runs_its_part_of_one_file(tmp_path: Path) -> None:
    hub, gate = made(tmp_path, TWO_DEVICES, "@hub"), made(tmp_path, TWO_DEVICES, "@gate")
    assert set(hub.parts) == {
        "registry",
        "capture-yard",
        "process-motion",
        "process-motion-2",
        "collect-recorder",
    }
    assert set(gate.parts) == {"capture-gate"}
    assert hub.parts.keys() | gate.parts.keys() == made(tmp_path, TWO_DEVICES).parts.keys()
    assert hub.cameras is not None
    assert gate.cameras is None  # they are configured from one place
    assert hub.registry == gate.registry == "tcp://192.0.2.1:7700"
    words = command(gate, "capture-gate")
    assert "--bind 192.0.2.2 --insecure --label device=gate --label room=hall" in words


@pytest.mark.parametrize(
    ("only", "parts"),
    [
        ("capture", {"capture-yard", "capture-gate"}),
        ("capture@gate", {"capture-gate"}),
        ("capture@hub", {"capture-yard"}),
        ("registry", {"registry"}),
        ("process-motion-2", {"process-motion-2"}),
    ],
)
def test_a_part_of_a_site_is_chosen(only: str, parts: set[str], tmp_path: Path) -> None:
    planned = made(tmp_path, TWO_DEVICES, only)
    assert set(planned.parts) == parts
    assert (planned.cameras is not None) == (only == "registry")


@pytest.mark.parametrize(
    ("only", "told"),
    [
        ("capture@gaet", "there is no device 'gaet': there are gate, hub"),
        ("colect", "nothing of the site is that: there are capture, collect, process, registry"),
        ("process@gate", "nothing of the site is that: there are capture@gate, capture@hub, "),
        ("@", "there is no device ''"),
    ],
)
def test_a_part_that_there_is_not_is_refused_with_those_there_are(
    only: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        made(tmp_path, TWO_DEVICES, only)
    assert told in str(caught.value)


def test_a_registry_that_runs_anyway_is_not_run_and_its_cameras_are_kept(tmp_path: Path) -> None:
    text = SITE + '[site]\nname = "shop"\n[registry]\nurl = "etcd://192.0.2.1:2379,192.0.2.2:2379"\n'
    planned = made(tmp_path, text)
    assert "registry" not in planned.parts
    assert planned.cameras is not None
    assert planned.registry == "etcd://192.0.2.1:2379,192.0.2.2:2379"
    assert made(tmp_path, text, "registry").parts == {}


def test_whoever_is_upstream_stops_first(tmp_path: Path) -> None:
    text = """
[capture.c]
[process.last]
processors = ["passthrough"]
input = "codes"
[process.first]
processors = ["motion"]
[process.middle]
processors = ["codes"]
input = "motion"
[collect.r]
"""
    parts = sorted(made(tmp_path, text).parts.values(), key=lambda part: part.depth)
    assert [part.name for part in parts] == [
        "capture-c",
        "process-first",
        "process-middle",
        "process-last",
        "collect-r",
        "registry",
    ]


def test_stages_in_a_circle_have_an_order_too(tmp_path: Path) -> None:
    text = """
[process.a]
processors = ["motion"]
input = "b"
stage = "a"
[process.b]
processors = ["motion"]
input = "a"
stage = "b"
"""
    assert len(made(tmp_path, text).parts) == 3


def test_only_what_differs_is_changed(tmp_path: Path) -> None:
    before = made(tmp_path, SITE)
    assert not difference(before, made(tmp_path, f"# a comment\n{SITE}"))

    after = made(tmp_path, SITE.replace('url = "synthetic:"', 'url = "synthetic:"\nfps = 5'))
    assert str(difference(before, after)) == "cameras door"

    after = made(tmp_path, SITE.replace('processors = ["motion"]', 'processors = ["codes"]'))
    assert str(difference(before, after)) == "restart process-motion"

    after = made(tmp_path, SITE.replace("[collect.recorder]", "[collect.other]"))
    assert str(difference(before, after)) == "stop collect-recorder; start collect-other"


def test_more_of_a_kind_leaves_those_there_are_alone(tmp_path: Path) -> None:
    before = made(tmp_path, SITE)
    after = made(tmp_path, SITE.replace('["motion"]', '["motion"]\ncount = 2'))
    assert str(difference(before, after)) == "start process-motion-2"


def test_what_does_not_run_is_started_again(tmp_path: Path) -> None:
    planned = made(tmp_path, SITE)
    assert str(difference(planned, planned, ["process-motion"])) == "start process-motion"
