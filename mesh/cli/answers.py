"""What nodes answered to `mesh ctl`, in words. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from mesh.orders import Done
from mesh.registry.setups import CameraSetup

UNSET = "none"
FOLDERS = "folders"
GB = 1e9
# What a kind of node never has: it answers with every total all the same.
NEVER = {
    "capture": ("inputs", "processed", "recorded", FOLDERS),
    "process": ("captured", "recorded"),
    "collect": ("inputs", "captured", "processed"),
}


def plain(value: Any) -> Any:
    """A value in a line, as it would be written with `set`."""
    if isinstance(value, Mapping):
        return " ".join(f"{name}={plain(each)}" for name, each in value.items())
    if isinstance(value, list):
        return "; ".join(str(plain(each)) for each in value)
    return UNSET if value is None else value


def status_rows(status: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What a node, or a camera, says of itself, without what its kind never has."""
    never = NEVER.get(status.get("kind", ""), ())
    told = {name: value for name, value in status.items() if value or name not in never}
    return [(name, _folders(value) if name == FOLDERS else plain(value)) for name, value in told.items()]


def _folders(folders: Sequence[Mapping[str, Any]]) -> str:
    """Where a node writes to, and how much room there is."""
    return "; ".join(
        f"{folder['path']}: {folder['free_bytes'] / GB:.1f} of {folder['total_bytes'] / GB:.1f} GB free"
        + ("" if folder["writable"] else ", cannot be written to")
        for folder in folders
    )


def holds(done: Done, setup: CameraSetup | None, given: Mapping[str, Any]) -> str:
    """For how long what was set holds, and how to set it for good. `setup`: that of the camera, if it is a
    configured one."""
    if setup is None:
        return f"this holds until node {done.node} ends"
    options = " ".join(f"--{name} {plain(value)}" for name, value in given.items())
    keep = f"mesh camera set {setup.name} {options}"
    if setup.site:
        keep = f"write it in the file of site {setup.site}, then mesh reload"
    return f"this holds until another node has it or it is configured otherwise; for good: {keep}"
