"""What `mesh camera` says besides that it did what it was told; empty where there is nothing to say. Pure."""

from typing import Any

from mesh.registry.setups import CameraSetup


def hint(setup: CameraSetup) -> str:
    """That a device moves nowhere."""
    if setup.url.startswith("device:") and not (setup.node or setup.label):
        return "; a device is on one machine alone: pin it with --node or --label"
    return ""


def unset(values: dict[str, Any]) -> str:
    """That `--record none` records something."""
    if values.get("record", "") is not None:
        return ""
    return ": what is recorded of it is as collectors say; --record off records nothing"


def owned(setup: CameraSetup | None) -> str:
    """That a site's file will have its own way with a camera."""
    if setup is None or not setup.site:
        return ""
    return f"; the file of site {setup.site} has it, too, and `mesh reload` there makes it as that says"
