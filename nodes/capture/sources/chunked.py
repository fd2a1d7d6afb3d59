"""The chunked transfer coding of HTTP/1.1 (RFC 9112, section 7.1), taken off: bytes in, bytes out. Sans-I/O.

Rules kept here: how the bytes were cut makes no difference; nothing but a chunk's size line is held, and that
is bounded. ESP32 cameras send every stream so.
"""

import re

MAX_LINE = 4 << 10

_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")


class ChunkedDecoder:
    """Decodes one response's body."""

    def __init__(self) -> None:
        self._line = b""
        self._left = 0  # of the current chunk
        self._between = False  # the end of a chunk's own line is still to come
        self.ended = False  # the last chunk has come

    def decode(self, data: bytes) -> bytes:
        """What `data` holds of the body. Raises `ValueError` where it is not in chunks."""
        pieces: list[bytes] = []
        data = self._line + data
        at = 0
        while at < len(data) and not self.ended:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._between = not self._left
                continue
            following = self._read_line(data, at)
            if following is None:
                break
            at = following
        self._line = b"" if self.ended else data[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_line(self, data: bytes, at: int) -> int | None:
        """Where the line at `at` ends; None where that is still to come."""
        end = data.find(b"\n", at, at + MAX_LINE) + 1
        if not end and len(data) - at < MAX_LINE:
            return None
        if self._between and data[at:end] in (b"\r\n", b"\n"):
            self._between = False
            return end
        size = _SIZE.fullmatch(data, at, end)
        if self._between or size is None:
            raise ValueError("not in chunks, as its header promised")
        self._left = int(size[1], 16)
        self.ended = not self._left
        return end
