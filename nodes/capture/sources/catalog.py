"""The catalog of sources: which scheme is opened by what.

Rules kept here: explicit, nothing registers itself by being imported; a URL is checked without opening
anything, so that a command line can be refused before anything starts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mesh.errors import ConfigError
from nodes.capture.sources import device, file, http, images, opencv, recording, rtsp, synthetic
from nodes.capture.sources.base import Source, SourceOptions
from nodes.capture.sources.urls import scheme_of
from nodes.redact import redact


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a URL of one scheme is checked (`ConfigError`), opened (`SourceError`), and what it looks like; and
    whether the files are there that it names, below a folder where it is relative (`SourceRefused`)."""

    check: Callable[[str], object]
    open: Callable[[str, SourceOptions], Source]
    example: str
    seek: Callable[[str, Path], object] | None = None


_RTSP = Scheme(rtsp.parse, rtsp.open_rtsp, "rtsp://user:password@host/path")
_HTTP = Scheme(http.parse, http.open_http, "http://host/stream.mjpg")

CATALOG: Mapping[str, Scheme] = MappingProxyType(
    {
        "file": Scheme(file.parse, file.open_file, "a path, or file:///path", file.seek),
        "rtsp": _RTSP,
        "rtsps": _RTSP,
        "http": _HTTP,
        "https": _HTTP,
        "device": Scheme(device.parse, device.open_device, "device:0?size=1280x720&fps=30&format=mjpeg"),
        "images": Scheme(images.parse, images.open_images, "images:DIR?fps=25", images.seek),
        "synthetic": Scheme(
            synthetic.parse, synthetic.open_synthetic, "synthetic:?size=640x480&fps=30&objects=3"
        ),
        "recording": Scheme(
            recording.parse,
            recording.open_recording,
            "recording:DIR?camera=door&from=-2h&to=now",
            recording.seek,
        ),
        "opencv": Scheme(opencv.parse, opencv.open_opencv, "opencv:EXPRESSION"),
    }
)


def check_source(url: str) -> None:
    """Raise `ConfigError` for an unknown scheme, a malformed URL or a bad option. Opens nothing."""
    _scheme(url).check(url)


def seek_source(url: str, folder: Path) -> None:
    """Look whether what `url` names on this machine is there, from `folder` on where it is relative. Opens no
    camera. Raises `ConfigError` as `check_source` does, and `SourceRefused`."""
    if (seek := _scheme(url).seek) is not None:
        seek(url, folder)


def open_source(url: str, options: SourceOptions | None = None) -> Source:
    """Open the source at `url`, which may take up to `options.stall_s`.

    Raises `ConfigError` as `check_source` does, `SourceRefused` where trying again will not help, and
    `SourceError` where it may.
    """
    return _scheme(url).open(url, options or SourceOptions())


def _scheme(url: str) -> Scheme:
    name = scheme_of(url)
    if name not in CATALOG:
        examples = "; ".join(dict.fromkeys(scheme.example for scheme in CATALOG.values()))
        raise ConfigError(f"{redact(url)}: no such kind of source; there are: {examples}")
    return CATALOG[name]
