"""From a camera's configuration to its capture. Pure, but for looking whether a file is there.

Rules kept here: what can be seen to be wrong is refused before it is stored, as a command line is.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from mesh.errors import ConfigError
from mesh.registry.setups import CameraSetup
from nodes.capture.camera import CameraConfig, Pace
from nodes.capture.sources.catalog import check_source, seek_source
from nodes.capture.sources.hwaccel import check_hwaccel
from nodes.secrets import PLACEHOLDER, check_placeholders, fill, shown

_ANY = "x"  # in place of a secret, where only the form of a URL is looked at


def check_setup(setup: CameraSetup) -> None:
    """Refuse a source that cannot be opened anywhere, and options that exclude each other. `ConfigError`."""
    try:
        check_placeholders(setup.url)
        check_source(PLACEHOLDER.sub(_ANY, setup.url))
        check_hwaccel(setup.hwaccel)
    except ConfigError as error:
        raise ConfigError(f"camera {setup.name}: {error}") from None
    if setup.node and setup.label:
        raise ConfigError(f"camera {setup.name}: pin it to a node or to a label, not to both")


def check_here(setup: CameraSetup, secrets: Mapping[str, str], folder: Path) -> None:
    """Whether a node that runs in `folder` with these secrets could open it: `ConfigError` where one of them
    is missing, `SourceRefused` where its file is. Cameras are not asked."""
    seek_source(fill(setup.url, secrets), folder)


def listed(setup: CameraSetup) -> CameraSetup:
    """A setup as it may be shown."""
    return setup.model_copy(update={"url": shown(setup.url)})


def print_of(setup: CameraSetup) -> str:
    """A few digits that tell whether a camera is to be captured otherwise; nothing of a password."""
    text = json.dumps(listed(setup.capture).value(), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def config_of(setup: CameraSetup, secrets: Mapping[str, str]) -> CameraConfig:
    """How to capture a camera, its secrets filled in. Raises `ConfigError`."""
    url = fill(setup.url, secrets)
    check_source(url)
    check_hwaccel(setup.hwaccel)
    return CameraConfig(
        name=setup.name,
        url=url,
        fps=setup.fps,
        size=setup.size,
        quality=setup.quality,
        loop=setup.loop,
        pace=Pace(setup.pace),
        lossless=setup.lossless,
        stall_s=setup.stall_s,
        hwaccel=setup.hwaccel,
        give_up_s=setup.give_up_s,
        partitions=setup.partitions,
    )
