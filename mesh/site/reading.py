"""A site's file, read and checked: a `Site`, or everything that is wrong with it.

Rules kept here: a file is used whole or not at all; what a table says is told before what they say together.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from mesh.errors import ConfigError
from mesh.names import NAME
from mesh.registry.setups import CameraSetup
from mesh.site.locate import line_of
from mesh.site.problems import CALLED, Problem, SiteError, Wrong, of_keys, of_model, of_syntax
from mesh.site.sections import ProcessSection, SiteFile
from mesh.site.together import of_devices, together

MAX_BYTES = 4 * 1024 * 1024
NOT_WRITTEN = {"name", "node", "site", "paused"}  # what the file says otherwise, or does not say


@dataclass(frozen=True, slots=True)
class Site:
    """What a site's file says. `folder` is the file's: what is relative is so to it. `stages` are those that
    the process nodes publish, by the name of their tables."""

    path: Path
    file: SiteFile
    cameras: tuple[CameraSetup, ...]
    stages: Mapping[str, str]

    @property
    def folder(self) -> Path:
        return self.path.parent


class Checks(Protocol):
    """What only those who capture and process can tell of a file. Each raises `ConfigError`."""

    def camera(self, setup: CameraSetup) -> None:
        """Whether a camera's source and options could be used anywhere."""
        ...

    def password(self, setup: CameraSetup, registry_url: str) -> None:
        """Whether that registry may keep a camera's URL, in which a password may stand."""
        ...

    def stage(self, process: ProcessSection) -> str:
        """The stage that a process node publishes; refuses processors that there are not."""
        ...

    def address(self, address: str, insecure: bool) -> None:
        """Whether a node may listen there."""
        ...


def read_site(path: Path, checks: Checks) -> Site:
    """The site of a file. Raises `SiteError`."""
    path = path.absolute()
    text = _text(path)
    try:
        return _site(path, tomllib.loads(text), checks)
    except tomllib.TOMLDecodeError as error:
        raise SiteError([of_syntax(error, text).told(_short(path))]) from None
    except Wrong as wrong:
        located = [Problem(p.where, p.what, line_of(text, p.where)) for p in wrong.problems]
        ordered = sorted(located, key=lambda problem: problem.line or 0)
        raise SiteError([problem.told(_short(path)) for problem in ordered]) from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise SiteError([f"{_short(path)}: it is larger than {MAX_BYTES} bytes: is it a site's file?"])
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise SiteError([f"{_short(path)}: no such file: `mesh config init > mesh.toml` makes one"]) from None
    except UnicodeDecodeError:
        raise SiteError([f"{_short(path)}: it is not UTF-8 text"]) from None
    except OSError as error:
        raise SiteError([f"{_short(path)}: {error.strerror}"]) from error


def _site(path: Path, document: dict[str, Any], checks: Checks) -> Site:
    """Raises `Wrong`: of what each table says, before what they say together."""
    try:
        file, problems = SiteFile.model_validate(document), []
    except ValidationError as error:
        problems = list(of_model(error, SiteFile))
        raise Wrong([*problems, *_cameras(document.get("cameras"), checks)[1]]) from None
    cameras, problems = _cameras(file.cameras, checks)
    stages, of_stages = _stages(file, checks)
    problems += [*of_stages, *_of_addresses(file, checks), *of_devices(file)]
    if problems:
        raise Wrong(problems)
    named = tuple(setup.model_copy(update={"site": file.site.name}) for setup in cameras)
    problems = [*together(file, stages), *_of_passwords(file, named, checks)]
    if problems:
        raise Wrong(problems)
    return Site(path, file, named, stages)


def _cameras(tables: object, checks: Checks) -> tuple[list[CameraSetup], list[Problem]]:
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


def _stages(file: SiteFile, checks: Checks) -> tuple[dict[str, str], list[Problem]]:
    stages, problems = {}, []
    for name, section in file.process.items():
        try:
            stages[name] = checks.stage(section)
        except ConfigError as error:
            key = "stage" if section.stage and section.stage in str(error) else "processors"
            problems.append(Problem(("process", name, key), str(error)))
    return stages, problems


def _of_addresses(file: SiteFile, checks: Checks) -> Iterator[Problem]:
    for name, device in file.devices.items():
        try:
            checks.address(device.address, True)
        except ConfigError as error:
            yield Problem(("devices", name, "address"), str(error).removeprefix("--bind "))
            continue
        try:
            checks.address(device.address, file.site.insecure)
        except ConfigError:
            yield Problem(
                ("devices", name, "address"),
                "whoever is on that network could read and send frames: write insecure = true under [site] "
                "if it is trusted",
            )
    if file.registry.url is not None and "name" not in file.site.model_fields_set:
        yield Problem(("registry", "url"), "several sites may use that registry: write name = … under [site]")
    if file.registry.url is not None and "port" in file.registry.model_fields_set:
        yield Problem(("registry", "port"), "the url says where the registry is: leave this out")


def _of_passwords(file: SiteFile, cameras: Iterable[CameraSetup], checks: Checks) -> Iterator[Problem]:
    for setup in cameras if not file.site.insecure else ():
        try:
            checks.password(setup, file.registry_url)
        except ConfigError as error:
            what = str(error).removeprefix(f"camera {setup.name}: ")
            yield Problem(("cameras", setup.name, "url"), what)


def _short(path: Path) -> Path:
    """As a person would write it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
