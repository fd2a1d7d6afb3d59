"""FFmpeg's errors as ours: one clear line each, and whether trying again can help.

Rules kept here: pure, but for a look-up of the host's name after FFmpeg failed; nothing of FFmpeg's own
message that may hold the URL is repeated, so no password shows.
"""

import builtins
import errno
import socket
from dataclasses import dataclass

import av
import av.error

from mesh.errors import SourceError, SourceRefused


@dataclass(frozen=True, slots=True)
class Origin:
    """What was to be opened: `shown` in messages (redacted), `host` where it is on a network."""

    shown: str
    host: str = ""
    device: bool = False


class NotOffered(SourceRefused):
    """The device is there, but has no such mode."""


_REFUSALS: tuple[tuple[type[Exception], str], ...] = (
    (av.error.HTTPUnauthorizedError, "wants another user or password (401 unauthorised)"),
    (av.error.HTTPForbiddenError, "is not for this user (403 forbidden)"),
    (av.error.HTTPNotFoundError, "is not there (404 not found): check the path"),
    (av.error.ProtocolNotFoundError, "needs a protocol that this FFmpeg does not have"),
    (av.error.DemuxerNotFoundError, "needs an input that this FFmpeg does not have on this system"),
    (builtins.PermissionError, "may not be read by this user: permission denied"),
)
_FAILURES: tuple[tuple[type[Exception], str], ...] = (
    (builtins.ConnectionRefusedError, "refused the connection: is it on, and is the port right?"),
    (builtins.ConnectionResetError, "closed the connection"),
    (builtins.BrokenPipeError, "closed the connection"),
    (av.error.HTTPServerError, "failed with a server error (5xx)"),
    (av.error.HTTPClientError, "refused the request (4xx)"),
    (builtins.MemoryError, "needs more memory than there is"),
)


def stalled(origin: Origin, stall_s: float) -> SourceError:
    """It gave nothing for the stall time."""
    return SourceError(f"{origin.shown} gave no frame for {stall_s:g} s")


def opening_failed(origin: Origin, error: Exception) -> SourceError:
    """What to raise for FFmpeg's `error` on opening `origin`."""
    if isinstance(error, builtins.FileNotFoundError):
        # A camera that is unplugged may come back; a file that is not there is a mistake.
        kind = SourceError if origin.device else SourceRefused
        return kind(f"{origin.shown}: no such {'device: is it plugged in?' if origin.device else 'file'}")
    if origin.device and isinstance(error, av.error.ArgumentError):
        return NotOffered(f"{origin.shown} has no such mode: try another size, fps or format")
    if isinstance(error, builtins.ValueError) and not isinstance(error, UnicodeError):
        return _unreadable(origin)
    return broken_off(origin, error)


def broken_off(origin: Origin, error: Exception) -> SourceError:
    """What to raise for FFmpeg's `error` on reading `origin`."""
    for kind, words in _REFUSALS:
        if isinstance(error, kind):
            return SourceRefused(f"{origin.shown} {words}")
    for kind, words in _FAILURES:
        if isinstance(error, kind):
            return SourceError(f"{origin.shown} {words}")
    if origin.host and not _resolves(origin.host):
        return SourceError(f"{origin.shown}: unknown host {origin.host}")
    if origin.host and isinstance(error, builtins.OSError) and error.errno == errno.EIO:
        return SourceError(f"{origin.shown} broke off: the connection ended")
    return SourceError(f"{origin.shown} broke off: {_reason(error)}")


def _unreadable(origin: Origin) -> SourceError:
    if origin.host or origin.device:
        return SourceError(f"{origin.shown} gives nothing that FFmpeg can read as video")
    return SourceRefused(f"{origin.shown} is not a video that FFmpeg can read")


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, av.FFmpegError) else None
    return (text or type(error).__name__).lower()


def _resolves(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except (OSError, UnicodeError):
        return False
