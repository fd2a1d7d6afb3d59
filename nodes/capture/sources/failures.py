"""What goes wrong with a source, FFmpeg's errors and the system's, as ours: one clear line each, and whether
trying again can help.

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


_HTTP_REFUSALS = {
    401: "wants another user or password (401 unauthorised)",
    403: "is not for this user (403 forbidden)",
    404: "is not there (404 not found): check the path",
}
_HTTP_SERVER = "failed with a server error (5xx)"
_HTTP_CLIENT = "refused the request (4xx)"

_REFUSALS: tuple[tuple[type[Exception], str], ...] = (
    (av.error.HTTPUnauthorizedError, _HTTP_REFUSALS[401]),
    (av.error.HTTPForbiddenError, _HTTP_REFUSALS[403]),
    (av.error.HTTPNotFoundError, _HTTP_REFUSALS[404]),
    (av.error.ProtocolNotFoundError, "needs a protocol that this FFmpeg does not have"),
    (av.error.DemuxerNotFoundError, "needs an input that this FFmpeg does not have on this system"),
    (builtins.PermissionError, "may not be read by this user: permission denied"),
)
_FAILURES: tuple[tuple[type[Exception], str], ...] = (
    (builtins.ConnectionRefusedError, "refused the connection: is it on, and is the port right?"),
    (builtins.ConnectionResetError, "closed the connection"),
    (builtins.BrokenPipeError, "closed the connection"),
    (av.error.HTTPServerError, _HTTP_SERVER),
    (av.error.HTTPClientError, _HTTP_CLIENT),
    (builtins.MemoryError, "needs more memory than there is"),
)


def stalled(origin: Origin, stall_s: float) -> SourceError:
    """It gave nothing for the stall time."""
    return SourceError(f"{origin.shown} gave no frame for {stall_s:g} s")


def stopped(origin: Origin) -> SourceError:
    """It was stopped before it was open."""
    return SourceError(f"{origin.shown}: stopped while it was being opened")


def refused_with(origin: Origin, status: int) -> SourceError:
    """What to raise for an HTTP status of 400 or more."""
    if status in _HTTP_REFUSALS:
        return SourceRefused(f"{origin.shown} {_HTTP_REFUSALS[status]}")
    return SourceError(f"{origin.shown} {_HTTP_SERVER if status >= 500 else _HTTP_CLIENT}")


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
    text = error.strerror if isinstance(error, av.FFmpegError | OSError) else None
    return (text or type(error).__name__).lower()


def _resolves(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except (OSError, UnicodeError):
        return False


def unforeseen(error: Exception) -> str:
    """What went wrong that no source foresaw, and where; without its words, in which a URL may stand."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
    return f"an unexpected {type(error).__name__}{where}; please report it"
