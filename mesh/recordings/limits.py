"""How much of what is recorded is kept, as people write it. Pure.

Rules kept here: sizes are decimal, as disks are sold (1 GB is 1,000,000,000 bytes); what is no limit is a
`ConfigError` that says how one is written.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mesh.errors import ConfigError
from mesh.names import check_name

DAY_NS = 86_400 * 1_000_000_000
UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12}

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(MB|GB|TB)\Z")
_DAYS = re.compile(r"(\d+(?:\.\d+)?) ?d\Z")
_SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%\Z")


@dataclass(frozen=True, slots=True)
class Limits:
    """Recordings go when they are older than `days`, and the oldest when they take more than `bytes`; None is
    no limit."""

    days: float | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Free:
    """What is to stay free of the disk: a share of it, from 0 to 1, or bytes."""

    share: float = 0.0
    bytes: int = 0

    def __str__(self) -> str:
        return f"{100 * self.share:.4g}%" if self.share else size_text(self.bytes)

    def of(self, total: int) -> int:
        """Bytes of a disk of so many."""
        return max(self.bytes, math.ceil(self.share * total))


@dataclass(frozen=True, slots=True)
class Keep:
    """What is kept: of everything, of cameras that have limits of their own, and what stays free.

    A camera's own days take the place of those of all; its own bytes are a limit besides.
    """

    overall: Limits = Limits()
    cameras: Mapping[str, Limits] = field(default_factory=dict)
    free: Free | None = None

    def __bool__(self) -> bool:
        return self.overall != Limits() or bool(self.cameras) or self.free is not None

    def days(self, camera: str) -> float | None:
        """After how many days a camera's recordings go."""
        own = self.cameras.get(camera, Limits()).days
        return self.overall.days if own is None else own


def keep_of(
    days: float | None = None,
    gigabytes: float | None = None,
    free: str | None = None,
    own: Iterable[str] = (),
) -> Keep:
    """From what stands on a command line. Raises `ConfigError`."""
    size = None if gigabytes is None else int(gigabytes * UNITS["GB"])
    if days is not None and not days > 0:
        raise ConfigError("--keep-days 0 would keep nothing: give more, or leave it out to keep all")
    if size is not None and size <= 0:
        raise ConfigError("--keep-gb 0 would keep nothing: give more, or leave it out to keep all")
    return Keep(Limits(days, size), cameras_of(own), None if free is None else free_of(free))


def free_of(text: str) -> Free:
    """`10%`, `20GB`. Raises `ConfigError`."""
    if (share := _SHARE.match(text)) is not None and 0 < float(share[1]) < 100:
        return Free(share=float(share[1]) / 100)
    if (size := _size(text)) is not None:
        return Free(bytes=size)
    raise ConfigError(f"--keep-free {text!r} is neither a share of the disk nor a size: write 10% or 20GB")


def cameras_of(texts: Iterable[str]) -> dict[str, Limits]:
    """`CAMERA=7d`, `CAMERA=50GB`, or both with a comma. Raises `ConfigError`."""
    found: dict[str, Limits] = {}
    for text in texts:
        add_limits(found, text)
    return found


def add_limits(found: dict[str, Limits], text: str) -> None:
    """Add what `CAMERA=LIMIT` says to the limits that were found, by camera. Raises `ConfigError`."""
    camera, equals, limits = text.partition("=")
    if not equals or not limits:
        raise ConfigError(f"--keep {text!r} is not CAMERA=LIMIT, such as door=30d or door=50GB")
    own = found.get(check_name("camera", camera), Limits())
    for limit in limits.split(","):
        own = _with(own, limit.strip(), text)
    found[camera] = own


def size_text(size: int) -> str:
    """Bytes as a person writes them."""
    unit = next((unit for unit in ("TB", "GB") if size >= UNITS[unit]), "MB")
    return f"{size / UNITS[unit]:.4g}{unit}"


def _with(limits: Limits, text: str, whole: str) -> Limits:
    days, size = _DAYS.match(text), _size(text)
    if days is not None and float(days[1]) > 0 and limits.days is None:
        return Limits(float(days[1]), limits.bytes)
    if size is not None and limits.bytes is None:
        return Limits(limits.days, size)
    twice = " a second time" if days is not None or size is not None else ""
    raise ConfigError(f"--keep {whole!r}: {text!r} is no limit{twice}: write 30d, 50GB, or 30d,50GB")


def _size(text: str) -> int | None:
    found = _SIZE.match(text)
    size = int(float(found[1]) * UNITS[found[2]]) if found else 0
    return size or None
