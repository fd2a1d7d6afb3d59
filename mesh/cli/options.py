"""Options that several commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer

from mesh.errors import ConfigError

RegistryUrl = Annotated[
    str | None,
    typer.Option(
        "--registry",
        metavar="URL",
        help="The registry; else MESH_REGISTRY, else that of mesh.toml in this folder, else "
        "tcp://127.0.0.1:7700.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
LogLevel = Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")]
LogJson = Annotated[bool, typer.Option("--log-json", help="Log one JSON object a line.")]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Allow an address that is not loopback: the network is trusted.")
]
Metrics = Annotated[
    str | None,
    typer.Option(
        metavar="[HOST:]PORT", help="Serve Prometheus metrics there, at /metrics; 0 is any free port."
    ),
]

MaxAge = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0,
        help="Drop live frames that were captured longer ago: 1 with the policy latest, 0 is no limit.",
    ),
]
KeepDays = Annotated[
    float | None, typer.Option(metavar="DAYS", help="Remove recordings that are older; else none are.")
]
KeepGb = Annotated[
    float | None, typer.Option(metavar="GB", help="Remove the oldest where all of them take more.")
]
KeepFree = Annotated[
    str | None,
    typer.Option(metavar="SHARE%|SIZE", help="Remove the oldest to keep that free of the disk: 10%, 20GB."),
]
KeepOwn = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CAMERA=LIMIT",
        help="A camera's own limit: door=30d (instead of --keep-days), door=50GB, or door=30d,50GB.",
    ),
]
Forward = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL",
        help="Forward what is recorded: to another site's collectors, which its registry at "
        r"tcp://HOST:PORT\[/COLLECTOR] knows, to a broker at mqtt\[s]://HOST/TOPIC, or to a webhook at "
        r"http\[s]://HOST/PATH; with ?from=-2h or ?from=begin what was recorded before, too.",
    ),
]
ForwardSecrets = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="NAME=value lines for {NAME} in the URLs of --forward; else the environment."
    ),
]
RecordWhat = Annotated[
    list[str] | None,
    typer.Option(
        "--record",
        metavar="[CAMERA=]MODE",
        help="What is recorded: continuous (unless given), motion, events (what is more than motion) or off; "
        "with pre=S, post=S, stage=NAME, and for events label=NAME and score=X: door=events,label=person,"
        "post=20. For all cameras, or one; a camera's own setup goes before what is said for all.",
    ),
]
PreRoll = Annotated[
    float, typer.Option(metavar="SECONDS", min=0, help="How much is recorded before what is found.")
]
PostRoll = Annotated[
    float, typer.Option(metavar="SECONDS", min=0, help="How much is recorded after what is found.")
]
Durability = Annotated[
    str | None,
    typer.Option(
        metavar="always|1s|segment",
        help="Have the disk hold each result on its own, once a second, or as seldom as can be; instead of "
        "--commit-ms and --commit-frames. What is acknowledged is safe with all of them.",
    ),
]


def state_folder(name: str) -> Path | None:
    """Where this user's programs keep what should survive them; None for a user without a home."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(base, "framemesh", name) if os.path.isabs(base) else None


def read_size(text: str | None) -> tuple[int, int] | None:
    """(width, height) of WIDTHxHEIGHT. Raises `ConfigError`."""
    if text is None:
        return None
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise ConfigError(f"--size {text!r} is not WIDTHxHEIGHT in pixels, such as 640x480")
    return int(width), int(height)
