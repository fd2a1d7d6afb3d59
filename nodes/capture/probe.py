"""Opening a camera's source to see what it gives, without a node.

Rules kept here: it is opened as a capture node opens it; what is told was measured; it is closed in any case.
"""

import itertools
from dataclasses import dataclass

from mesh.clock import Clock
from mesh.codec import DEFAULT_QUALITY
from mesh.errors import DecodeError, SourceError
from nodes.capture.sources.base import Grab, Source, SourceOptions
from nodes.capture.sources.catalog import open_source
from nodes.redact import redact

MOST = 100  # pictures of a source that waits for nobody


@dataclass(frozen=True, slots=True)
class Probe:
    """What a source gave: `fps` as measured, or by the pictures' own times where it does not pace itself;
    0 where there was one picture. `jpeg` is one of them."""

    codec: str
    width: int
    height: int
    fps: float
    frames: int
    live: bool
    jpeg: bytes


def probe(url: str, options: SourceOptions, seconds: float = 3.0) -> Probe:
    """Open the source at `url` and read it for so long. Raises `ConfigError`, and `SourceError` when it does
    not open or gives no picture that decodes."""
    source = open_source(url, options)
    try:
        return _read(source, url, options.clock, seconds)
    finally:
        source.close()


def _read(source: Source, url: str, clock: Clock, seconds: float) -> Probe:
    times: list[float] = []
    size, jpeg = (0, 0), b""
    for grab in itertools.islice(source, None if source.live else MOST):
        times.append(_at(grab, source, clock, len(times)))
        if not jpeg:
            size, jpeg = (grab.width, grab.height), _picture(grab)
        if clock.monotonic() - times[0] >= seconds if source.live else times[-1] - times[0] >= seconds:
            break
    if not jpeg:
        raise SourceError(f"{redact(url)} opened, and gave no picture that decodes")
    return Probe(source.codec, *size, _rate(times), len(times), source.live, jpeg)


def _at(grab: Grab, source: Source, clock: Clock, number: int) -> float:
    if source.live:
        return clock.monotonic()
    return grab.pts_ns / 1e9 if grab.pts_ns is not None else number / (source.fps or 25.0)


def _picture(grab: Grab) -> bytes:
    try:
        return grab.jpeg(DEFAULT_QUALITY)
    except DecodeError:
        return b""


def _rate(times: list[float]) -> float:
    took = times[-1] - times[0]
    return round((len(times) - 1) / took, 1) if took > 0 else 0.0
