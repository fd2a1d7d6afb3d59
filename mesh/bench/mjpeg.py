"""Many MJPEG cameras in one cheap process: every connection is a camera, sent pictures on its own schedule.

Rules kept here: one thread, and pictures that were encoded before; a camera whose client does not take its
picture in time skips the next ones, as cameras do, and that is counted; cameras are out of step with one
another, and those that are due within `TICK_S` are served together.
"""

import heapq
import selectors
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NoReturn

from mesh.bench.child import Channel, Values
from mesh.bench.pictures import Pictures

TICK_S = 0.002
CLIP = 100  # pictures, one after another, over and over
GOLDEN = 0.618  # spreads any number of phases evenly
SEND_BYTES = 1 << 18
_HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=bench\r\n\r\n"
_REQUEST_S = 2.0


def serve(channel: Channel, *, pictures: dict[str, Any], fps: float) -> NoReturn:
    """A role: says its `port`, and serves until its parent leaves. When it is told something it says its
    counts; told another `fps` it goes on at that."""
    parts = [_part(jpeg) for jpeg in Pictures.of(pictures).jpegs(CLIP, every=1)]
    with ExitStack() as stack:
        cameras = Cameras(parts, fps, stack)
        channel.say(port=cameras.port, bytes=round(sum(map(len, parts)) / len(parts)))
        while True:
            if cameras.turn():
                cameras.pace(channel.hear().get("fps"))
                channel.say(**cameras.counts())


def _part(jpeg: bytes) -> bytes:
    return b"--bench\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(jpeg), jpeg)


@dataclass(slots=True, order=True)
class _Camera:
    due: float
    number: int
    sock: socket.socket = field(compare=False)
    sent: int = field(default=0, compare=False)
    rest: bytes = field(default=b"", compare=False)


class Cameras:
    """Every camera that is connected. `stack` closes what is open."""

    def __init__(self, parts: list[bytes], fps: float, stack: ExitStack) -> None:
        self._parts, self._period = parts, 1 / fps
        self._stack = stack
        self._due: list[_Camera] = []
        self._pictures = self._skipped = self._connected = 0
        self._listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512))
        self._selector = stack.enter_context(selectors.DefaultSelector())
        self._selector.register(self._listening, selectors.EVENT_READ, self._accept)
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        self.port = int(self._listening.getsockname()[1])

    def counts(self) -> Values:
        """Pictures that were due so far, and how many of them were skipped."""
        return {"due": self._pictures + self._skipped, "skipped": self._skipped}

    def pace(self, fps: float | None) -> None:
        """Go on at another pace, if one is given."""
        if fps is None:
            return
        now, self._period = time.monotonic(), 1 / fps
        for camera in self._due:
            camera.due = now + self._phase(camera.number)
        heapq.heapify(self._due)

    def turn(self) -> bool:
        """Send what is due, or wait for that; whether the parent has something to say."""
        wait = max(TICK_S, self._due[0].due - time.monotonic()) if self._due else None
        told = False
        for key, _ in self._selector.select(wait):
            if key.data is None:
                told = True
            else:
                key.data()
        now = time.monotonic()
        while self._due and self._due[0].due <= now:
            self._send(self._due[0])
        return told

    def _accept(self) -> None:
        sock = self._stack.enter_context(self._listening.accept()[0])
        sock.settimeout(_REQUEST_S)
        sock.recv(1 << 16)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        sock.sendall(_HEAD)
        sock.setblocking(False)
        self._connected += 1
        due = time.monotonic() + self._phase(self._connected)
        heapq.heappush(self._due, _Camera(due, self._connected, sock))

    def _phase(self, number: int) -> float:
        return self._period * (number * GOLDEN % 1)

    def _send(self, camera: _Camera) -> None:
        late = bool(camera.rest)
        data = camera.rest or self._parts[(camera.sent + 7 * camera.number) % len(self._parts)]
        try:
            camera.rest = data[camera.sock.send(data) :]
        except BlockingIOError:
            late = True
        except OSError:
            heapq.heappop(self._due)
            camera.sock.close()
            return
        self._skipped += late
        self._pictures += not late
        camera.sent += not late
        camera.due += self._period
        heapq.heapreplace(self._due, camera)
