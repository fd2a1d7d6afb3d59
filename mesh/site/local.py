"""Whether what a site's file names is on this machine: secrets, modules, folders and files of cameras.

Rules kept here: of those parts alone that run here is anything asked, so that a file can be checked on
another machine; nothing is changed, and no camera is asked; what would end a process again and again is told
apart from what goes on with the rest (a disk, a camera).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mesh.errors import ConfigError, MeshError
from mesh.registry.setups import CameraSetup
from mesh.site.parts import Difference, Plan, labels_of
from mesh.site.problems import Problem, SiteError
from mesh.site.reading import Site
from mesh.site.sections import CaptureSection, CollectSection, inside
from mesh.site.together import node_names

SECRETS = "--secrets"


class Local(Protocol):
    """What those who capture, process and collect say of this machine. Each raises `MeshError`."""

    def secrets(self, file: Path | None) -> Mapping[str, str]:
        """What a node knows that has this file, or none."""
        ...

    def camera(self, setup: CameraSetup, secrets: Mapping[str, str], folder: Path) -> None:
        """`ConfigError` where a secret is missing, `SourceError` where a file is, from `folder` on."""
        ...

    def processors(self, texts: Sequence[str], folder: Path) -> Sequence[str]:
        """What is wrong with each, for a node that runs in `folder`; empty where nothing is that is known."""
        ...

    def destination(self, url: str, secrets: Mapping[str, str]) -> None:
        """Whether all secrets are known that it takes to forward there."""
        ...

    def folder(self, into: Path) -> None:
        """Whether it can be recorded to, or be made."""
        ...

    def stop(self) -> None:
        """Nobody waits any more for what takes a while. Any thread may say so."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """Of what of a site to ask: tables, as (kind, name), of all those that are `here`; cameras whose files
    have to be there, and cameras whose secrets have to be known."""

    here: frozenset[tuple[str, str]]
    tables: frozenset[tuple[str, str]]
    files: frozenset[str]
    secrets: frozenset[str]


def everything(site: Site, parts: Collection[str]) -> Asked:
    """Of all that those parts are about."""
    cameras = frozenset(setup.name for setup in site.cameras)
    tables = _tables(site, parts)
    return Asked(tables, tables, cameras, cameras)


def changed(site: Site, before: Plan, after: Plan, found: Difference) -> Asked:
    """Of what an edit changes: what was as it is may have its reasons, and is not taken down by it."""
    new = {name for name, part in after.parts.items() if before.parts.get(name) != part}
    others = {n for n in new if n not in before.parts or _secrets(before, n) != _secrets(after, n)}
    cameras = frozenset(found.cameras)
    every = frozenset(setup.name for setup in site.cameras)
    fills = any(after.parts[name].kind == "capture" for name in others)
    return Asked(_tables(site, after.parts), _tables(site, new), cameras, every if fills else cameras)


def of_processes(site: Site, asked: Asked, local: Local) -> Iterator[Problem]:
    """What would end a process as soon as it has begun."""
    for (kind, name), section in site.file.nodes().items():
        if (kind, name) not in asked.tables or not isinstance(section, CaptureSection | CollectSection):
            continue
        try:
            secrets = local.secrets(_file(site, section.secrets))
        except MeshError as error:
            yield Problem((kind, name, "secrets"), str(error).removeprefix(f"{SECRETS} "))
            continue
        if isinstance(section, CollectSection):
            yield from _of_destinations(name, section, secrets, local)
    yield from _of_processors(site, asked, local)


def of_the_rest(site: Site, asked: Asked, local: Local) -> Iterator[Problem]:
    """What a process waits for, or does without: folders of recordings, and cameras."""
    for name, section in site.file.collect.items():
        if ("collect", name) in asked.tables:
            try:
                local.folder(Path(inside(site.folder, section.into)))
            except MeshError as error:
                yield Problem(("collect", name, "into"), str(error))
    for setup in site.cameras:
        if setup.enabled and setup.name in asked.files | asked.secrets:
            yield from _of_camera(site, asked, setup, local)


def wrong_here(site: Site, parts: Collection[str], local: Local) -> list[Problem]:
    """Everything that those parts would not find on this machine."""
    asked = everything(site, parts)
    return [*of_processes(site, asked, local), *of_the_rest(site, asked, local)]


def check_local(site: Site, asked: Asked, local: Local) -> None:
    """Raises `SiteError` that names line and key of all that is wrong here."""
    _refuse(site, [*of_processes(site, asked, local), *of_the_rest(site, asked, local)])


def check_processes(site: Site, asked: Asked, local: Local) -> list[str]:
    """The same of what would end a process; what is wrong with the rest, a line each."""
    _refuse(site, list(of_processes(site, asked, local)))
    return site.told(of_the_rest(site, asked, local))


def _refuse(site: Site, problems: Sequence[Problem]) -> None:
    if problems:
        raise SiteError(site.told(problems))


def _of_destinations(
    name: str, section: CollectSection, secrets: Mapping[str, str], local: Local
) -> Iterator[Problem]:
    for number, url in enumerate(section.forward):
        try:
            local.destination(url, secrets)
        except ConfigError as error:
            yield Problem(("collect", name, "forward", number), str(error))


def _of_processors(site: Site, asked: Asked, local: Local) -> Iterator[Problem]:
    """All of them are asked of at once: it takes a process."""
    named = [
        (("process", name, "processors", number), text)
        for name, section in site.file.process.items()
        if ("process", name) in asked.tables
        for number, text in enumerate(section.processors)
    ]
    answers = local.processors([text for _, text in named], site.folder)
    for (where, _), wrong in zip(named, answers, strict=True):
        if wrong:
            yield Problem(where, wrong)


def _of_camera(site: Site, asked: Asked, setup: CameraSetup, local: Local) -> Iterator[Problem]:
    """Only where all that may capture it is here: else it may be elsewhere, with what it takes."""
    sections = {name: each for name, each in site.file.capture.items() if _may_capture(site, each, setup)}
    if not all(("capture", name) in asked.here for name in sections):
        return
    for section in sections.values():
        try:
            secrets = local.secrets(_file(site, section.secrets))
        except MeshError:  # told by itself
            continue
        try:
            local.camera(setup, secrets, site.folder)
        except MeshError as error:
            if setup.name in (asked.secrets if isinstance(error, ConfigError) else asked.files):
                yield Problem(("cameras", setup.name, "url"), str(error))
                return


def _may_capture(site: Site, section: CaptureSection, setup: CameraSetup) -> bool:
    name, _, value = setup.label.partition("=")
    return not name or labels_of(site.file, section).get(name) == value


def _tables(site: Site, parts: Collection[str]) -> frozenset[tuple[str, str]]:
    """The tables of which one of these parts is."""
    return frozenset(
        (kind, name)
        for (kind, name), section in site.file.nodes().items()
        if not set(parts).isdisjoint(node_names(kind, name, getattr(section, "count", 1)))
    )


def _file(site: Site, secrets: str | None) -> Path | None:
    return None if secrets is None else Path(inside(site.folder, secrets))


def _secrets(plan: Plan, part: str) -> str:
    """The file of secrets that a part is given."""
    return plan.parts[part].argument(SECRETS) if SECRETS in plan.parts[part].arguments else ""
