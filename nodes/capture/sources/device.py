"""A camera of this machine: `device:0?size=1280x720&fps=30&format=mjpeg`.

V4L2 on Linux (a number, or a path such as /dev/v4l/by-id/…), AVFoundation on macOS (a number or a name),
DirectShow on Windows (a name).

Rules kept here: the camera's own MJPEG is asked for first, which is passed through untouched and needs the
least of the bus; a read never blocks, it is tried again until the stall time.
"""

import re
import sys
from dataclasses import dataclass, replace
from urllib.parse import unquote

from mesh.errors import ConfigError
from nodes.capture.sources import urls
from nodes.capture.sources.base import Size, SourceOptions
from nodes.capture.sources.container import ContainerSource, Target
from nodes.capture.sources.failures import NotOffered, Origin
from nodes.options import Reader, choice, number, read_options

_READERS: dict[str, Reader] = {
    "size": urls.size,
    "fps": number(0.1, 1000),
    "format": choice("mjpeg", "yuyv422"),
}
_NONBLOCK = {"fflags": "+4"}  # AVFMT_FLAG_NONBLOCK, which FFmpeg's options give no name


@dataclass(frozen=True, slots=True)
class Device:
    """A camera and what is asked of it; `format` is "mjpeg", "yuyv422", or empty for its own default."""

    name: str
    size: Size | None = None
    fps: float | None = None
    format: str = ""


def parse(url: str) -> Device:
    """The camera that `url` names. Raises `ConfigError`."""
    name, _, query = urls.rest_of(url).partition("?")
    if not name:
        raise ConfigError(f"{url!r} names no camera; write for instance device:0?size=1280x720&fps=30")
    device = Device(unquote(name), **read_options(url, query, _READERS))
    target(device, url)
    return device


def open_device(url: str, options: SourceOptions) -> ContainerSource:
    """The camera at `url`. Raises `SourceError`, or `SourceRefused` for a mode that it does not have."""
    device = parse(url)
    if device.format:
        return ContainerSource(target(device, url), options)
    try:
        return ContainerSource(target(replace(device, format="mjpeg"), url), options)
    except NotOffered:
        return ContainerSource(target(device, url), options)


def target(device: Device, shown: str, platform: str = sys.platform) -> Target:
    """What FFmpeg is to open on `platform`. Raises `ConfigError` where a device cannot be named so."""
    if platform.startswith("linux"):
        name, kind, chosen = _v4l2_path(device.name), "v4l2", {"input_format": device.format}
    elif platform == "darwin":
        name, kind, chosen = f"{device.name}:none", "avfoundation", _pixel_format(device.format)
    elif platform == "win32" and not device.name.isdigit():
        name, kind, chosen = f"video={device.name}", "dshow", _dshow_format(device.format)
    else:
        raise ConfigError(f"{shown}: name the camera as this system does, for instance device:USB Camera")
    return Target(name, Origin(shown, device=True), kind, _NONBLOCK | _mode(device) | _without_empty(chosen))


def _v4l2_path(name: str) -> str:
    if name.isdigit():
        return f"/dev/video{name}"
    return name if name.startswith("/") else f"/dev/{re.sub(r'^/+', '', name)}"


def _mode(device: Device) -> dict[str, str]:
    size = f"{device.size[0]}x{device.size[1]}" if device.size else ""
    return _without_empty({"video_size": size, "framerate": f"{device.fps:g}" if device.fps else ""})


def _pixel_format(name: str) -> dict[str, str]:
    return {} if name == "mjpeg" else {"pixel_format": name}  # AVFoundation decodes MJPEG itself


def _dshow_format(name: str) -> dict[str, str]:
    return {"vcodec": name} if name == "mjpeg" else {"pixel_format": name}


def _without_empty(options: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in options.items() if text}
