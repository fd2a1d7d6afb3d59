"""The keys of a site's file beside the options of the commands that they become."""

from pathlib import Path
from typing import Any

import pytest

from mesh.cli.main import command as command_of
from mesh.site.parts import plan
from mesh.site.sections import CaptureSection, CollectSection, NodeSection, ProcessSection
from tests.site.support import site_of

SECTIONS: dict[str, type[NodeSection]] = {
    "capture": CaptureSection,
    "process": ProcessSection,
    "collect": CollectSection,
}
KEYS = {
    "device": '"hub"',
    "lease": "2.5",
    "drain": "12",
    "labels": '{ room = "hall" }',
    "metrics": "9100",
    "count": "1",
    "weight": "0.5",
    "secrets": '"secrets.env"',
    "processors": '["motion", "codes"]',
    "input": '"raw"',
    "stage": '"made"',
    "group": '"shared"',
    "policy": '"fifo"',
    "depth": "7",
    "max_age": "1.25",
    "view": '"frame"',
    "workers": "3",
    "push": "false",
    "window_mb": "12345678.5e-2",
    "spool_mb": "0",
    "quality": "71",
    "into": '"there"',
    "segment": "30",
    "segment_mb": "1.5",
    "commit_ms": "50",
    "commit_frames": "9",
    "keep_days": "14.5",
    "keep_gb": "500",
    "keep_free": '"10%"',
    "keep": '["door=30d"]',
    "forward": '["tcp://hq.example:7700?from=-2h"]',
    "record": '["motion", "door=events,label=person"]',
    "pre_roll": "3",
    "post_roll": "20.5",
}
NOT_TOGETHER = {"durability"}  # with commit_ms
COLLECTED = KEYS | {"input": '["raw", "made"]'}
NO_OPTIONS = {
    "device": "it is who runs the node, and its label",
    "count": "it is how many nodes there are",
    "processors": "they are arguments",
    "labels": "they are --label",
}
ONLY_WITH_CAMERA = "it is a key of [cameras.NAME]: a fleet's cameras are the registry's"
NO_KEYS = {
    "capture": {
        "--camera": "it is [cameras.NAME]",
        **dict.fromkeys(("--fps", "--size", "--quality", "--loop", "--pace", "--frames"), ONLY_WITH_CAMERA),
        **dict.fromkeys(("--seconds", "--lossless", "--stall", "--hwaccel"), ONLY_WITH_CAMERA),
        **dict.fromkeys(("--give-up", "--partitions"), ONLY_WITH_CAMERA),
        **dict.fromkeys(("--stage", "--speed"), "they are for replays, which are no fleet's"),
    },
    "process": {"--spool": "it lies in the state folder of mesh up"},
    "collect": {},
}
OF_THE_SITE = {
    "--name": "it is the table's",
    "--registry": "it is [registry]",
    "--registry-wait": "mesh up starts all at once, and waits for them",
    "--bind": "it is the device's address",
    "--advertise": "it is the device's",
    "--insecure": "it is [site]'s",
    "--log-level": "it is that of mesh up",
    "--log-json": "it is that of mesh up",
    "--label": "they are labels, and the device",
    "--help": "it runs nothing",
}


def command(kind: str) -> Any:
    return command_of("node").commands[kind]


def options(kind: str) -> set[str]:
    return {one for param in command(kind).params for one in param.opts if one.startswith("--")}


def file_of(kind: str) -> str:
    """A file in which every key of a kind's table stands."""
    keys = COLLECTED if kind == "collect" else KEYS
    written = SECTIONS[kind].model_fields.keys() - NOT_TOGETHER
    table = "\n".join(f"{key} = {keys[key]}" for key in sorted(written))
    made = '[process.made]\nprocessors = ["motion"]\nstage = "made"\n' if kind == "collect" else ""
    return f"[devices.hub]\n[{kind}.it]\n{table}\n{made}"


@pytest.mark.parametrize("kind", SECTIONS)
def test_every_key_is_an_option_and_every_option_is_a_key(kind: str) -> None:
    keys = {f"--{key.replace('_', '-')}" for key in SECTIONS[kind].model_fields if key not in NO_OPTIONS}
    assert keys <= options(kind)
    apart = NO_KEYS[kind].keys() | OF_THE_SITE.keys()
    assert not keys & apart
    assert options(kind) - keys - apart == set()
    assert NO_KEYS[kind].keys() <= options(kind)  # the list holds what there is


@pytest.mark.parametrize("kind", SECTIONS)
def test_what_a_table_says_is_what_its_command_is_told(kind: str, tmp_path: Path) -> None:
    parts = plan(site_of(tmp_path, file_of(kind)), tmp_path / "state", more=("--log-level", "debug")).parts
    kind_, node, *arguments = parts[f"{kind}-it"].arguments
    assert (kind_, node) == ("node", kind)
    told = command(kind).make_context(kind, arguments).params
    common = {"name": f"{kind}-it", "lease": 2.5, "drain": 12.0, "metrics": "9100", "log_level": "debug"}
    common |= {"label": ["device=hub", "room=hall"], "bind": "127.0.0.1", "insecure": False}
    own: dict[str, dict[str, Any]] = {
        "capture": {"weight": 0.5, "secrets": tmp_path / "secrets.env"},
        "process": {
            "processors": ["motion", "codes"],
            "input_stage": "raw",
            "stage": "made",
            "group": "shared",
            "policy": "fifo",
            "depth": 7,
            "max_age": 1.25,
            "view": "frame",
            "workers": 3,
            "push": False,
            "window_mb": 123456.785,
            "spool": tmp_path / "state" / "spool",
            "spool_mb": 0.0,
            "quality": 71,
            "weight": 0.5,
        },
        "collect": {
            "into": tmp_path / "there",
            "input_stage": ["raw", "made"],
            "segment": 30.0,
            "segment_mb": 1.5,
            "commit_ms": 50.0,
            "commit_frames": 9,
            "keep_days": 14.5,
            "keep_gb": 500.0,
            "keep_free": "10%",
            "keep": ["door=30d"],
            "forward": ["tcp://hq.example:7700?from=-2h"],
            "secrets": tmp_path / "secrets.env",
            "record": ["motion", "door=events,label=person"],
            "pre_roll": 3.0,
            "post_roll": 20.5,
        },
    }
    wanted = common | own[kind]
    assert {name: told[name] for name in wanted} == wanted


def test_the_registry_is_told_where_it_is(tmp_path: Path) -> None:
    arguments = plan(site_of(tmp_path, file_of("capture")), tmp_path / "state").parts["registry"].arguments
    told = command_of("registry").make_context("registry", list(arguments[1:])).params
    assert (told["bind"], told["state"]) == ("tcp://127.0.0.1:7700", tmp_path / "state" / "registry")
