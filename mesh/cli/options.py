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
        help="The registry; else MESH_REGISTRY, else tcp://127.0.0.1:7700.",
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
