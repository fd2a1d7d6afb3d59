"""Hardware decoding: what this FFmpeg can use, and whether there is such a device.

Rules kept here: no device is touched unless hardware was asked for; each kind is tried once in a process,
with a codec alone, so that nothing is connected to for it; what comes of `auto` is one line in the log.
"""

import logging
import threading
from functools import cache

import av
from av.codec import Codec
from av.codec.hwaccel import HWAccel

from mesh.errors import ConfigError, SourceRefused

log = logging.getLogger(__name__)

NONE, AUTO = "none", "auto"
_CODECS = ("h264", "hevc")  # what cameras send that costs much to decode
_trying = threading.Lock()


@cache
def kinds() -> tuple[str, ...]:
    """Kinds of device that this FFmpeg can decode H.264 or H.265 with, in its order, there or not."""
    return tuple(dict.fromkeys(kind for codec in map(_decoder, _CODECS) for kind in _kinds_of(codec)))


def check_hwaccel(name: str) -> None:
    """Raise `ConfigError` for what is neither "none", "auto" nor a kind that this FFmpeg can use."""
    if name not in (NONE, AUTO, *kinds()):
        offered = ", ".join((NONE, AUTO, *kinds()))
        raise ConfigError(f"--hwaccel {name!r} is none that this FFmpeg decodes with: use {offered}")


def accelerator(name: str, shown: str) -> HWAccel | None:
    """What `av.open` is to decode with; None is software.

    "auto" is the first kind of which a device opens, as `ffmpeg -hwaccel auto` has it. A stream that the
    device cannot take is decoded in software. Raises `SourceRefused` where no device of the kind `name`
    opens; `shown` is the source in that message.
    """
    if name == NONE:
        return None
    kind = _automatic() if name == AUTO else name
    if kind is None:
        return None
    if why := trouble(kind):
        raise SourceRefused(
            f"{shown}: no {kind} device opens here ({why}; {_what_opens()}): use --hwaccel auto or none"
        )
    return HWAccel(kind, allow_software_fallback=True)


def trouble(kind: str) -> str:
    """Why no device of that kind opens; empty when one does."""
    with _trying:
        return _tried(kind)


@cache
def _tried(kind: str) -> str:
    codec = next(codec for codec in map(_decoder, _CODECS) if kind in _kinds_of(codec))
    try:
        HWAccel(kind).create(codec)
    except (av.FFmpegError, NotImplementedError) as error:
        text = error.strerror if isinstance(error, av.FFmpegError) else None
        return (text or type(error).__name__).lower()
    return ""


def _automatic() -> str | None:
    with _trying:
        return _first_that_opens()


@cache
def _first_that_opens() -> str | None:
    found = next((kind for kind in kinds() if not _tried(kind)), None)
    tried = ", ".join(kinds()) or "none, this FFmpeg is built without any"
    log.info("hardware decoding: %s (tried: %s)", found or "no device opens, decoding in software", tried)
    return found


def _what_opens() -> str:
    opening = [kind for kind in kinds() if not trouble(kind)]
    return f"there is {', '.join(opening)}" if opening else "nor does one of another kind"


def _decoder(name: str) -> Codec:
    return Codec(name, "r")


def _kinds_of(codec: Codec) -> list[str]:
    return [config.device_type.name for config in codec.hardware_configs if config.is_supported]
