"""The child process of the `opencv:` source: grabs with cv2.VideoCapture, and sends on demand.

Rules kept here: what to open comes over stdin, never on the command line, where a password would show; one
byte on stdin asks for one picture, so at most one is on its way; of a live source the freshest is sent, of
any other the next; the process ends when stdin does, even while OpenCV blocks, so that it never outlives its
parent.

What it sends, each with a header (kind, presentation time in ns, length): `HELLO` with JSON {live, fps},
`PICTURE` with its `SIZE` (width, height) and its pixels (BGR, rows without padding), `END` with a reason in
text (empty at the end of a source that has one).
"""

import contextlib
import json
import os
import struct
import sys
import threading
from typing import Any, BinaryIO

import cv2
import numpy as np

if sys.platform == "linux":
    import fcntl

HEADER = struct.Struct("<cqI")
SIZE = struct.Struct("<II")
PIPE_BYTES = 1 << 20  # so that a picture takes few turns between the two processes
HELLO, PICTURE, END = b"h", b"p", b"e"
NO_PTS = -1

Picture = tuple[cv2.typing.MatLike, int]  # pixels, presentation time in nanoseconds or NO_PTS


class Slot:
    """One picture between the grabbing and the sending thread, and how many are asked for."""

    def __init__(self) -> None:
        self.live = True
        self._changed = threading.Condition()
        self._picture: Picture | None = None
        self._asked = 0
        self._end: str | None = None

    def ask(self, count: int) -> None:
        """The parent wants `count` more."""
        with self._changed:
            self._asked += count
            self._changed.notify_all()

    def put(self, picture: Picture) -> None:
        """Hand a picture over: in place of the last one when live, else once that one is taken."""
        with self._changed:
            self._changed.wait_for(lambda: self.live or self._picture is None)
            self._picture = picture
            self._changed.notify_all()

    def end(self, reason: str) -> None:
        """No picture follows."""
        with self._changed:
            self._end = reason
            self._changed.notify_all()

    def take(self) -> Picture | str:
        """The next picture, or the reason for the end, once it is there and asked for."""
        with self._changed:
            self._changed.wait_for(lambda: self._asked and not (self._picture is None and self._end is None))
            self._asked -= 1
            taken, self._picture = self._picture, None
            self._changed.notify_all()
            return taken if taken is not None else self._end or ""


def main(out: BinaryIO) -> None:
    """Serve one source until it ends or the parent goes."""
    order = json.loads(sys.stdin.buffer.readline())
    slot = Slot()
    threading.Thread(target=listen, args=(slot,), name="listen").start()
    expression = order["expression"]
    capture = cv2.VideoCapture(int(expression) if expression.isdigit() else expression)
    if not capture.isOpened():
        send(out, END, b"OpenCV cannot open it")
        return
    fps = capture.get(cv2.CAP_PROP_FPS)
    slot.live = capture.get(cv2.CAP_PROP_FRAME_COUNT) <= 0
    hello = {"live": slot.live, "fps": fps if 0 < fps < 1000 else 0.0}
    send(out, HELLO, json.dumps(hello).encode())
    threading.Thread(target=grab, args=(capture, slot, fps), name="grab").start()
    serve(out, slot)


def listen(slot: Slot) -> None:
    """Count what the parent asks for; end the process with it."""
    while asked := os.read(0, 64):
        slot.ask(len(asked))
    os._exit(0)


def grab(capture: cv2.VideoCapture, slot: Slot, fps: float) -> None:
    """Read pictures until there are no more."""
    index = 0
    try:
        while (read := capture.read())[0]:
            slot.put((read[1], NO_PTS if slot.live or fps <= 0 else round(index * 1e9 / fps)))
            index += 1
    except cv2.error:
        slot.end("OpenCV failed to read it")
    else:
        slot.end("OpenCV gives no more pictures" if slot.live or not index else "")


def serve(out: BinaryIO, slot: Slot) -> None:
    """Send what is asked for."""
    while not isinstance(taken := slot.take(), str):
        image, pts_ns = taken
        pixels = bgr(image)
        if pixels is None:
            taken = f"OpenCV gives pictures of {image.dtype} {image.shape}: have it give 8-bit BGR or gray"
            break
        height, width = pixels.shape[:2]
        send(out, PICTURE, SIZE.pack(width, height), pts_ns, pixels.data.cast("B"))
    send(out, END, taken.encode())


def bgr(image: Any) -> Any:
    """A picture as (H, W, 3) uint8 BGR; None for one that is neither gray, BGR nor BGRA of 8 bits."""
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.dtype != np.uint8 or channels not in (1, 3, 4):
        return None
    if channels == 3:
        return np.ascontiguousarray(image)
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if channels == 1 else cv2.COLOR_BGRA2BGR)


def send(
    out: BinaryIO, kind: bytes, data: bytes, pts_ns: int = NO_PTS, rest: bytes | memoryview = b""
) -> None:
    """One message to the parent."""
    out.write(HEADER.pack(kind, pts_ns, len(data) + len(rest)) + data)
    out.write(rest)
    out.flush()


def private_stdout() -> BinaryIO:
    """Stdout for the messages alone: what OpenCV's libraries print there goes nowhere."""
    out = os.fdopen(os.dup(1), "wb")
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # more than this user may have
            fcntl.fcntl(out.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return out


if __name__ == "__main__":
    try:
        main(private_stdout())
    except (OSError, ValueError):
        os._exit(1)  # the parent went, or never said what to open
    os._exit(0)  # whatever OpenCV still does in its threads
