"""The cameras of a site's file: their keys are those of `CameraSetup`, as the command line has them."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from mesh.errors import ConfigError
from mesh.names import NAME
from mesh.registry.setups import CameraSetup
from mesh.site.checks import Checks
from mesh.site.problems import CALLED, Problem, Wrong, of_keys, of_model

NOT_WRITTEN = {"name", "node", "site", "paused"}  # what the file says otherwise, or does not say


def cameras_of(tables: object, checks: Checks) -> tuple[list[CameraSetup], list[Problem]]:
    """The cameras of the tables `[cameras.NAME]` that are right, and what is wrong with the others."""
    setups: list[CameraSetup] = []
    problems: list[Problem] = []
    for name, values in tables.items() if isinstance(tables, Mapping) else ():
        if not NAME.match(name) or not isinstance(values, Mapping):
            continue  # told with the rest of the file
        found = list(of_keys(("cameras", name), values, _camera_keys()))
        if not found:
            try:
                setups.append(_camera(name, values, checks))
            except Wrong as wrong:
                found = list(wrong.problems)
        problems += found
    return setups, problems


def _camera(name: str, values: Mapping[str, Any], checks: Checks) -> CameraSetup:
    called = {ours: theirs for theirs, ours in CALLED.items()}
    given = {called.get(key, key): value for key, value in values.items() if key != "device"}
    device = values.get("device")
    if device is not None:
        if not isinstance(device, str) or not NAME.match(device):
            raise Wrong([Problem(("cameras", name, "device"), "it is the name of a [devices.NAME]")])
        if "label" in values:
            raise Wrong([Problem(("cameras", name, "label"), "it has a device already: keep one of the two")])
        given["label"] = f"device={device}"
    try:
        setup = CameraSetup.model_validate({**given, "name": name})
        checks.camera(setup)
    except ValidationError as error:
        raise Wrong(list(of_model(error, CameraSetup, ("cameras", name)))) from None
    except ConfigError as error:
        what = str(error).removeprefix(f"camera {name}: ")
        key = "hwaccel" if "hwaccel" in what else "url"
        raise Wrong([Problem(("cameras", name, key), what)]) from None
    return setup


def _camera_keys() -> set[str]:
    fields = CameraSetup.model_fields.keys() - NOT_WRITTEN
    return {CALLED.get(field, field) for field in fields} | {"device"}
