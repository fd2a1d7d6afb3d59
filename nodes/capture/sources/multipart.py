"""A multipart stream of pictures (RFC 2046), as cameras really send it: bytes in, pictures out. Sans-I/O.

Rules kept here: how the bytes were cut makes no difference; no more is held than one picture of `MAX_PART`
bytes, or a head of `MAX_HEAD`; what is no picture is skipped and counted, and nothing raises.

A part is a head, an empty line and a body. A head is known by its delimiter, a line that begins with `--`,
or by a header about its content: some cameras leave the first delimiter out (Tasmota, older ESP32). The
delimiter is the one that is seen, whatever was announced: many announce it with the dashes (Sony, Panasonic,
older Motion), some send none. Lines end with CR LF or LF. A body is as long as its Content-Length says;
without one it ends at the next delimiter, as in FFmpeg's `mpjpegdec.c`. A part is a picture when it begins
as a JPEG does; others are left out (some cameras interleave sound or text).

A camera's heads mostly differ in their length alone: one like the last is known by comparing bytes, as in
TCP's header prediction (V. Jacobson, "4BSD TCP Header Prediction", ACM CCR 20(2), 1990). Others are searched.
"""

import re

MAX_PART = 32 << 20
MAX_HEAD = 16 << 10

_SOI = b"\xff\xd8"
_NOT_NEWLINE = re.compile(rb"[^\r\n]")
_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")
_CONTENT = re.compile(rb"(?im)^content-(?:type|length)[ \t]*:")
_LENGTH = re.compile(rb"(?im)^content-length[ \t]*:[ \t]*\"?(\d{1,12})(?!\d)")
_DIGITS = 12


class MultipartParser:
    """Cuts the pictures out of a response's body. `boundary` is what its Content-Type announced."""

    def __init__(self, boundary: str = "") -> None:
        bare = boundary.strip().lstrip("-").encode("latin-1", "replace")
        self._delimiter = b"--" + bare
        announced = rb"|" + re.escape(bare) if bare else b""
        self._delimiter_line = re.compile(rb"(?m)^(?:--" + announced + rb")[^\r\n]*")
        self._data = b""
        self._at = 0
        self._around = b"", b""  # what stood before and behind the length in the last head, up to its body
        self._left = 0  # bytes that are still to come of a body of known length
        self._sized = bytearray()
        self._open: bytearray | None = None  # a body of unknown length, behind a line end
        self.skipped = 0  # bytes of bodies, or between parts, that were no picture

    def __repr__(self) -> str:
        return f"<MultipartParser {self._delimiter!r} holding {self.held} B, {self.skipped} B skipped>"

    @property
    def held(self) -> int:
        """Bytes that wait for more."""
        return len(self._data) - self._at + len(self._sized) + len(self._open or b"")

    def feed(self, data: bytes) -> list[bytes]:
        """The pictures that `data` completes."""
        self._data = self._data + data if self._data else data  # behind the beginning of a head
        pictures: list[bytes] = []
        while self._at < len(self._data) and self._step(pictures):
            pass
        self._data, self._at = self._data[self._at :], 0
        return pictures

    def _step(self, pictures: list[bytes]) -> bool:
        """Read a head, or a piece of a body; False where that takes more bytes."""
        if self._left:
            return self._read_sized(pictures)
        if self._open is not None:
            return self._read_open(self._open, pictures)
        return self._read_head()

    def _read_head(self) -> bool:
        first = _NOT_NEWLINE.search(self._data, self._at)
        begin = self._at = first.start() if first else len(self._data)
        if first is None or self._read_head_alike():
            return first is not None
        end = _EMPTY_LINE.search(self._data, begin, begin + MAX_HEAD)
        if end is not None:
            self._at = end.end()
            self._begin_body(self._data[begin : end.start()], end[0])
            return True
        if len(self._data) < begin + MAX_HEAD:
            return False
        self._at = begin + MAX_HEAD
        self.skipped += MAX_HEAD
        return True

    def _read_head_alike(self) -> bool:
        """Read a head that is like the last but for its length; False where it is not, or not all there."""
        before, behind = self._around
        start = self._at + len(before)
        if not before or not self._data.startswith(before, self._at):
            return False
        end = self._data.find(behind, start, start + _DIGITS + len(behind))
        digits = self._data[start : max(start, end)]
        if not digits.isdigit() or not 0 < int(digits) <= MAX_PART:
            return False
        self._left, self._at = int(digits), end + len(behind)
        return True

    def _begin_body(self, head: bytes, empty_line: bytes) -> None:
        self._around = b"", b""
        # The last one: what stands before it is the rest of a part that broke off.
        delimiter = next(reversed([*self._delimiter_line.finditer(head)]), None)
        if delimiter is not None:
            head = head[delimiter.start() :]
            if len(self._delimiter) == 2 or not delimiter[0].startswith(self._delimiter):
                self._delimiter = delimiter[0].rstrip()
        elif not _CONTENT.search(head):
            self.skipped += len(head)
            return
        length = _LENGTH.search(head)
        self._left = int(length[1]) if length else 0
        if not 0 < self._left <= MAX_PART:
            self._left, self._open = 0, bytearray(b"\n")
        elif length is not None:
            self._around = head[: length.start(1)], head[length.end(1) :] + empty_line

    def _read_sized(self, pictures: list[bytes]) -> bool:
        piece = self._data[self._at : self._at + self._left]
        self._at += len(piece)
        self._left -= len(piece)
        if self._left:
            self._sized += piece
            return False
        if self._sized:
            piece, self._sized = bytes(self._sized + piece), bytearray()
        self._finish(piece, pictures)
        return True

    def _read_open(self, body: bytearray, pictures: list[bytes]) -> bool:
        ending = b"\n" + self._delimiter
        held, most = len(body), MAX_PART + len(ending)
        body += self._data[self._at : self._at + most - held]
        self._at += len(body) - held
        end = body.find(ending, max(0, held - len(ending)))
        if end < 0 and len(body) < most:
            return False
        self._open = None
        if end < 0:  # no camera's picture is so large
            self.skipped += len(body)
            return True
        self._data, self._at = bytes(body[end + 1 :]) + self._data[self._at :], 0
        self._finish(bytes(body[1:end].removesuffix(b"\r")), pictures)
        return True

    def _finish(self, body: bytes, pictures: list[bytes]) -> None:
        if body.startswith(_SOI):
            pictures.append(body)
        else:
            self.skipped += len(body)
