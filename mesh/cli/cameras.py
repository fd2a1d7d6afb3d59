"""`mesh camera …`: which cameras there are to capture, as configuration in the registry.

Rules kept here: what is given is checked before anything is written; no answer shows a password, and none is
kept where others could read it.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from mesh import setups
from mesh.cli.hints import hint, owned, unset
from mesh.cli.log import set_up
from mesh.cli.options import AsJson, LogJson, LogLevel, RegistryUrl
from mesh.cli.output import print_json, print_tables
from mesh.cli.pointing import connect, registry_url
from mesh.client import Mesh
from mesh.errors import ConfigError
from mesh.importing import read_cameras
from mesh.names import check_name
from mesh.registry.records import CameraRecord
from mesh.registry.setups import PREFIX, CameraSetup

app = typer.Typer(
    help="Configure cameras: add, set, list, show, remove, enable, disable, test, import.",
    no_args_is_help=True,
)

UNSET = "none"
MEASURED = ("node", "codec", "width", "height", "fps")

NameArgument = Annotated[str, typer.Argument(metavar="NAME")]
Fps = Annotated[str | None, typer.Option(metavar="N|none", help="Frames per second, at most.")]
Size = Annotated[str | None, typer.Option(metavar="WxH|none", help="Scale to so many pixels.")]
Quality = Annotated[
    str | None, typer.Option(metavar="N|none", help="JPEG quality of what is encoded (1 to 100).")
]
Loop = Annotated[bool | None, typer.Option("--loop/--no-loop", help="Begin a file again at its end.")]
Pace = Annotated[str | None, typer.Option(metavar="realtime|max|none", help="How fast a file is read.")]
Lossless = Annotated[bool | None, typer.Option("--lossless/--no-lossless", help="Wait for the consumers.")]
Stall = Annotated[
    str | None, typer.Option(metavar="SECONDS|none", help="Open a camera anew that is silent for so long.")
]
Hwaccel = Annotated[
    str | None, typer.Option(metavar="none|auto|KIND", help="Decode H.264 and H.265 in hardware.")
]
GiveUp = Annotated[
    str | None,
    typer.Option(metavar="SECONDS|none", help="One that never opened for so long has failed."),
]
Partitions = Annotated[
    str | None, typer.Option(metavar="N|none", help="Into how many parts its work can be split (1 to 64).")
]
Pin = Annotated[
    str | None, typer.Option("--node", metavar="ID|none", help="The one node that may capture it.")
]
Label = Annotated[
    str | None,
    typer.Option("--label", metavar="NAME=VALUE|none", help="Only nodes with that label may capture it."),
]
Record = Annotated[
    str | None,
    typer.Option(
        metavar="MODE|none",
        help="What of it is recorded, as for `mesh node collect` (off: nothing); none: as collectors say.",
    ),
]
SecretsFile = Annotated[
    Path | None,
    typer.Option("--secrets", metavar="FILE", help="NAME=value lines for {NAME} in URLs; else environment."),
]
Trusted = Annotated[
    bool,
    typer.Option("--insecure", help="Let a registry elsewhere keep passwords: the network is trusted."),
]


@app.command("add")
def add(
    name: NameArgument,
    url: Annotated[str, typer.Argument(metavar="URL", help="Its source, as for `mesh node capture`.")],
    fps: Fps = None,
    size: Size = None,
    quality: Quality = None,
    loop: Loop = None,
    pace: Pace = None,
    lossless: Lossless = None,
    stall: Stall = None,
    hwaccel: Hwaccel = None,
    give_up: GiveUp = None,
    partitions: Partitions = None,
    node: Pin = None,
    label: Label = None,
    record: Record = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Do not capture it yet.")] = False,
    registry: RegistryUrl = None,
    insecure: Trusted = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Configure a new camera.

    A password in the URL is kept by a registry on this host only; else write a placeholder such as
    {DOOR_PASSWORD}, which the capture node fills in from its environment or its --secrets FILE.
    """
    set_up(log_level, log_json)
    given = _given(
        fps=fps,
        size=size,
        quality=quality,
        loop=loop,
        pace=pace,
        lossless=lossless,
        stall_s=stall,
        hwaccel=hwaccel,
        give_up_s=give_up,
        partitions=partitions,
        node=node,
        label=label,
        record=record,
    )
    made = CameraSetup.made(name, {k: v for k, v in given.items() if v is not None} | {"url": url})
    setup = made.model_copy(update={"enabled": not disabled})
    with connect(registry) as mesh:
        _check(setup, registry_url(registry), insecure)
        setups.add(mesh.registry, setup)
    _say(f"camera {name} is configured" + hint(setup))


@app.command("set")
def set_(
    name: NameArgument,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Another source.")] = None,
    fps: Fps = None,
    size: Size = None,
    quality: Quality = None,
    loop: Loop = None,
    pace: Pace = None,
    lossless: Lossless = None,
    stall: Stall = None,
    hwaccel: Hwaccel = None,
    give_up: GiveUp = None,
    partitions: Partitions = None,
    node: Pin = None,
    label: Label = None,
    record: Record = None,
    registry: RegistryUrl = None,
    insecure: Trusted = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Change a configured camera: only what is given; `none` unsets."""
    set_up(log_level, log_json)
    given = _given(
        url=url,
        fps=fps,
        size=size,
        quality=quality,
        loop=loop,
        pace=pace,
        lossless=lossless,
        stall_s=stall,
        hwaccel=hwaccel,
        give_up_s=give_up,
        partitions=partitions,
        node=node,
        label=label,
        record=record,
    )
    if not given:
        raise ConfigError(f"nothing to change: give an option, see `mesh camera set {name} --help`")
    _change(registry, name, given, insecure)


@app.command("enable")
def enable(
    name: NameArgument,
    registry: RegistryUrl = None,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Have a configured camera captured."""
    set_up(log_level, log_json)
    _change(registry, name, {"enabled": None}, insecure=True)


@app.command("disable")
def disable(
    name: NameArgument,
    registry: RegistryUrl = None,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Keep a camera's configuration, and have nobody capture it."""
    set_up(log_level, log_json)
    _change(registry, name, {"enabled": False}, insecure=True)


@app.command("remove")
def remove(
    name: NameArgument,
    registry: RegistryUrl = None,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Forget a configured camera; whoever captures it stops."""
    set_up(log_level, log_json)
    with connect(registry) as mesh:
        entry = mesh.registry.get(f"{PREFIX}{check_name('camera', name)}")
        revision = entry.revision if entry is not None else setups.find(mesh.registry, name)[1]
        stood = setups.read(entry) if entry is not None else None
        setups.remove(mesh.registry, name, revision)
    _say(f"camera {name} is removed" + owned(stood))


@app.command("list")
def list_(
    registry: RegistryUrl = None,
    as_json: AsJson = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """List the configured cameras: how they are configured, and how they are."""
    set_up(log_level, log_json)
    with connect(registry) as mesh:
        rows = _rows(mesh, mesh.setups())
    if as_json:
        print_json({"cameras": rows})
    else:
        columns = ("camera", "state", "node", "url", "options", "codec", "size", "fps")
        print_tables([("cameras", columns, [_line(row) for row in rows])])


@app.command("show")
def show(
    name: NameArgument,
    registry: RegistryUrl = None,
    as_json: AsJson = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Show one configured camera."""
    set_up(log_level, log_json)
    with connect(registry) as mesh:
        setup, _ = setups.find(mesh.registry, name)
        (row,) = _rows(mesh, [setup])
    if as_json:
        print_json(row)
        return
    now = {name: value for name, value in row.items() if name not in ("name", "setup")}
    print_tables([_table("setup", row["setup"]), _table("now", now)])


@app.command("test")
def try_(
    camera: Annotated[str, typer.Argument(metavar="NAME|URL", help="A configured camera, or a source.")],
    save: Annotated[Path | None, typer.Option(metavar="FILE.jpg", help="Save one frame.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to read it.")] = 3.0,
    secrets: SecretsFile = None,
    registry: RegistryUrl = None,
    as_json: AsJson = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Open a camera's source here, and say what it gives: codec, size, frames per second as measured."""
    set_up(log_level, log_json)
    from mesh.cli.viewing import save_bytes
    from nodes.capture.probe import probe
    from nodes.capture.setup import config_of
    from nodes.capture.sources.base import SourceOptions
    from nodes.secrets import Secrets

    if save is not None and save.suffix.lower() not in (".jpg", ".jpeg"):
        raise ConfigError(f"{save}: a saved frame's name ends in .jpg")
    config = config_of(_setup_to_test(camera, registry), Secrets(secrets).read())
    found = probe(config.url, SourceOptions(stall_s=config.stall_s, hwaccel=config.hwaccel), seconds)
    if save is not None:
        save_bytes(save, found.jpeg)
    told = {name: value for name, value in asdict(found).items() if name != "jpeg"}
    told |= {"saved": str(save) if save is not None else None}
    if as_json:
        print_json(told)
    else:
        print_tables([_table("source", told)])


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=".toml, .json, .csv, .yml or .yaml.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and write nothing.")] = (
        False
    ),
    registry: RegistryUrl = None,
    insecure: Trusted = False,
    as_json: AsJson = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Configure the cameras of a file: a table of ours, Frigate's config.yml, or MediaMTX's mediamtx.yml.

    Nothing is written when one of them is wrong.
    """
    set_up(log_level, log_json)
    imported = read_cameras(file)
    made = [CameraSetup.made(name, values) for name, values in imported.cameras.items()]
    with connect(registry) as mesh:
        for setup in made:
            _check(setup, registry_url(registry), insecure)
        told = [(setup.name, setups.put(mesh.registry, setup, dry_run=dry_run)) for setup in made]
    if as_json:
        print_json({"cameras": dict(told), "left_out": list(imported.left_out)})
        return
    left_out = [tuple(text.split(": ", 1)) for text in imported.left_out]
    print_tables([("cameras", ("camera", "change"), told), ("left out", ("camera", "why"), left_out)])


def _given(**options: Any) -> dict[str, Any]:
    """What was given, `none` as None: for hwaccel that is a value of its own."""
    return {
        name: None if value == UNSET and name != "hwaccel" else value
        for name, value in options.items()
        if value is not None
    }


def _change(registry: str | None, name: str, values: dict[str, Any], insecure: bool) -> None:
    with connect(registry) as mesh:
        before, revision = setups.find(mesh.registry, name)
        setup = setups.changed(before, values)
        _check(setup, registry_url(registry), insecure or setup.url == before.url)
        setups.change(mesh.registry, setup, revision)
    changed = "changed" if setup != before else "as it was"
    _say(f"camera {name} is {changed}{unset(values)}{owned(before)}")


def _check(setup: CameraSetup, registry: str, insecure: bool) -> None:
    from nodes.capture.passwords import check_kept
    from nodes.capture.setup import check_setup

    check_setup(setup)
    if not insecure:
        check_kept(setup.name, setup.url, registry)


def _setup_to_test(camera: str, registry: str | None) -> CameraSetup:
    from mesh.names import NAME
    from nodes.capture.setup import check_setup

    if NAME.match(camera):
        with connect(registry) as mesh:
            return setups.find(mesh.registry, camera)[0]
    setup = CameraSetup.made("test", {"url": camera})
    check_setup(setup)
    return setup


def _rows(mesh: Mesh, found: list[CameraSetup]) -> list[dict[str, Any]]:
    """How cameras are configured, and how they are."""
    from nodes.secrets import shown

    cameras = {camera.name: camera for camera in mesh.cameras()}
    waiting = setups.waiting(mesh.setups(), cameras.values(), mesh.nodes())
    return [
        {
            "name": setup.name,
            **_state(cameras.get(setup.name), waiting.get(setup.name, "")),
            "setup": {**setup.model_dump(mode="json", exclude={"name"}), "url": shown(setup.url)},
        }
        for setup in found
    ]


def _state(camera: CameraRecord | None, why: str) -> dict[str, Any]:
    if camera is None:
        return {"state": "waiting", "why": why} | dict.fromkeys(MEASURED)
    value = camera.value()
    return {name: value[name] for name in ("state", "why", *MEASURED)}


def _line(row: dict[str, Any]) -> tuple[object, ...]:
    usual = CameraSetup(name="usual", url="usual").model_dump(mode="json")
    others = {k: v for k, v in row["setup"].items() if k != "url" and v != usual[k]}
    return (
        row["name"],
        f"{row['state']}: {row['why']}" if row["why"] else row["state"],
        row["node"] or "",
        row["setup"]["url"],
        " ".join(f"{name}={_plain(value)}" for name, value in others.items()),
        row["codec"] or "",
        f"{row['width']}x{row['height']}" if row["width"] else "",
        row["fps"] or "",
    )


def _table(title: str, values: dict[str, Any]) -> tuple[str, tuple[str, ...], list[tuple[str, str]]]:
    return title, ("what", "is"), [(name, _plain(value)) for name, value in values.items()]


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return UNSET if value in (None, "") else str(value)


def _say(line: str) -> None:
    typer.echo(line)
