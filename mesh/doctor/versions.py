"""Whether what runs here is new enough, and alike on all nodes. Facts, then judgements."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, requires, version

from mesh.doctor.findings import Finding, failed, note, ok, warning
from mesh.doctor.site import Site
from mesh.presence import this_version
from mesh.transport.sockets import zmq_library

CHECK = "versions"
OLDEST_PYTHON = (3, 11)
DISTRIBUTION = "framemesh"

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*>=\s*(?P<least>[0-9][0-9.]*)\s*")
_RELEASE = re.compile(r"[0-9]+(?:\.[0-9]+)*")


@dataclass(frozen=True, slots=True)
class Package:
    """A package that ours asks for, at least of version `least`; `version` is empty where it is missing."""

    name: str
    least: str
    version: str


@dataclass(frozen=True, slots=True)
class Versions:
    """What is installed here. `packages` is None where this runs from sources that nobody installed."""

    mesh: str
    python: tuple[int, ...] = field(default_factory=lambda: tuple(sys.version_info[:3]))
    packages: Sequence[Package] | None = ()
    zmq: str = ""
    curve: bool = True  # whether libzmq can encrypt, for keys to come
    ffmpeg: str = ""

    @classmethod
    def here(cls, ffmpeg: str) -> "Versions":
        zmq, curve = zmq_library()
        return cls(this_version(), packages=packages_here(), zmq=zmq, curve=curve, ffmpeg=ffmpeg)


def packages_here() -> Sequence[Package] | None:
    """The packages that our own metadata asks for, and what is there of them."""
    try:
        asked = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return None
    return [Package(name, least, _installed(name)) for name, least in required(asked)]


def required(requirements: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Name and least version of each requirement that is no extra's. Ours are all `NAME>=VERSION`, and a test
    holds them to that, so that nothing is needed to read more."""
    for requirement in requirements:
        bare, _, marker = requirement.partition(";")
        found = _REQUIREMENT.fullmatch(bare)
        if found is not None and not marker.strip():
            yield found["name"], found["least"]


def is_older(version: str, least: str) -> bool:
    """Whether a version's release comes before another's; one that cannot be read does not."""
    found = _RELEASE.match(version)
    return found is not None and _numbers(found[0]) < _numbers(least)


def judge(versions: Versions, site: Site | None) -> Iterator[Finding]:
    yield judge_python(versions)
    yield judge_packages(versions)
    yield judge_libraries(versions)
    if site is not None:
        yield judge_nodes(versions, site)


def judge_python(versions: Versions) -> Finding:
    said = ".".join(map(str, versions.python))
    if versions.python < OLDEST_PYTHON:
        least = ".".join(map(str, OLDEST_PYTHON))
        return failed(
            CHECK, "python", f"Python {said} is too old", f"install Python {least} or newer, and mesh there"
        )
    return ok(CHECK, "python", f"Python {said}")


def judge_packages(versions: Versions) -> Finding:
    if versions.packages is None:
        return note(
            CHECK,
            "packages",
            f"{DISTRIBUTION} runs from its sources and is not installed: what it needs is not known",
            "pip install -e . in the folder of the sources",
        )
    bad = [p for p in versions.packages if not p.version or is_older(p.version, p.least)]
    if bad:
        told = ", ".join(f"{p.name} {p.version or 'is missing'} ({p.least} or newer is needed)" for p in bad)
        wanted = " ".join(f"'{p.name}>={p.least}'" for p in bad)
        return failed(CHECK, "packages", told, f"{sys.executable} -m pip install --upgrade {wanted}")
    return ok(CHECK, "packages", f"all {len(versions.packages)} are there, and new enough")


def judge_libraries(versions: Versions) -> Finding:
    if not versions.curve:
        return note(
            CHECK,
            "libraries",
            f"libzmq {versions.zmq} was built without CURVE: it will not do for keys, which come later",
            "pip install --force-reinstall --only-binary pyzmq pyzmq",
        )
    return ok(CHECK, "libraries", f"libzmq {versions.zmq} with CURVE, FFmpeg {versions.ffmpeg}")


def judge_nodes(versions: Versions, site: Site) -> Finding:
    others: Mapping[str, str] = {n.id: n.version for n in site.live if n.version != versions.mesh}
    if others:
        told = ", ".join(f"{name} has {version or 'an unknown one'}" for name, version in others.items())
        return warning(
            CHECK,
            "nodes",
            f"mesh {versions.mesh} is here, but {told}",
            "install one version everywhere, and start those nodes again",
        )
    return ok(CHECK, "nodes", f"mesh {versions.mesh} here" + (" and on every node" if site.live else ""))


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _numbers(release: str) -> tuple[int, ...]:
    numbers = [int(part) for part in release.strip(".").split(".")]
    while numbers and numbers[-1] == 0:  # 26 is 26.0
        numbers.pop()
    return tuple(numbers)
