"""Frames from one process to another as fast as both go: what every measured link has in common.

The sender stays at most `WINDOW` frames ahead of what its receiver has taken, as a camera that is slow enough
would: a queue that only overflows would tell how fast frames are thrown away. The receiver says so every
`STEP` frames over a pipe of its own, floor and ours alike.

Rules kept here: a rate is of frames received; frames that were sent and did not arrive are counted; the first
`WARM_UP` frames, in which buffers grow and codecs load, are not measured.
"""

import contextlib
import os
import select
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mesh.bench.child import Meter, Values
from mesh.bench.children import BenchError, Children
from mesh.bench.pictures import Pictures

WINDOW = 32
STEP = 8
WARM_UP = 64
STALL_S = 1.0
_NUMBER = 8  # bytes


class Ahead:
    """The sender's end: how far ahead of its receiver it may be. `fd` is the pipe that is read."""

    def __init__(self, fd: int, window: int = WINDOW) -> None:
        self._fd = fd
        self._window = window
        self._taken = -1

    def is_told(self, within: float) -> bool:
        """Whether the receiver says something within so many seconds."""
        return bool(select.select([self._fd], [], [], within)[0])

    def wait(self, seq: int) -> None:
        """Wait until frame `seq` may be sent. What is not taken for a second counts as lost, and is not
        waited for. Raises `BenchError` when the receiver has left."""
        while seq - self._taken > self._window:
            if not self.is_told(STALL_S):
                self._taken = seq - 1
                return
            data = os.read(self._fd, 512 * _NUMBER)
            if not data:
                raise BenchError("the receiver has left")
            self._taken = max(self._taken, int.from_bytes(data[-_NUMBER:], "little"))


class Taken:
    """The receiver's end: says which frame it took last. `fd` is the pipe that is written."""

    def __init__(self, fd: int, step: int = STEP) -> None:
        self._fd = fd
        self._step = step
        self._next = 0

    def tell(self, seq: int) -> None:
        if seq >= self._next:
            with contextlib.suppress(BrokenPipeError):  # the sender has sent all, and need not know
                os.write(self._fd, seq.to_bytes(_NUMBER, "little"))
            self._next = seq + self._step


def send_all(send: Callable[[int], object], ahead: Ahead, seconds: float) -> Values:
    """Send numbers from 0 on for `seconds` after the warm-up: how many in all, and how many were metered."""
    for seq in range(WARM_UP):
        ahead.wait(seq)
        send(seq)
    meter, seq = Meter(), WARM_UP
    while meter.wall_s < seconds:
        ahead.wait(seq)
        send(seq)
        seq += 1
    return {"sent": seq, "frames": seq - WARM_UP, **meter.read()}


def receive_all(numbers: Iterable[int], taken: Taken) -> Values:
    """Take frames until there are no more: how many in all, and how many were metered."""
    received, meter = 0, Meter()
    for seq in numbers:
        received += 1
        taken.tell(seq)
        if received == WARM_UP:
            meter = Meter()
    return {"received": received, "frames": received - WARM_UP, **meter.read()}


@dataclass(frozen=True, slots=True)
class Flow:
    """What one run of a link gave: frames received a second, CPU milliseconds a frame of both ends together
    (and of whatever stands between them), and how many of the frames sent were lost."""

    fps: float
    cpu_ms: float
    lost: int

    @classmethod
    def of(cls, sent: Values, received: Values) -> "Flow":
        """From what `send_all` and `receive_all` returned. Raises `BenchError` when nothing was measured."""
        if received["frames"] <= 0 or sent["frames"] <= 0:
            raise BenchError("too few frames arrived to measure; give more --seconds")
        cpu_s = sum(end["cpu_s"] / end["frames"] for end in (sent, received))
        return cls(received["frames"] / received["wall_s"], cpu_s * 1e3, sent["sent"] - received["received"])


Role = Callable[..., Values]


def flow(send: Role, receive: Role, pictures: Pictures, seconds: float, **both: Any) -> Flow:
    """Run a sender of pictures, which says its `endpoint`, and a receiver, as processes, each with its end of
    the pipe; `both` are options of either role."""
    with Children() as children:
        reading, writing = os.pipe()
        try:
            sent = {"pictures": pictures.as_options(), "seconds": seconds, **both}
            sender = children.start(send, fds=(reading,), fd=reading, **sent)
            endpoint = str(sender.hear()["endpoint"])
            receiver = children.start(receive, fds=(writing,), fd=writing, endpoint=endpoint, **both)
        finally:
            os.close(reading)
            os.close(writing)
        received = receiver.result(seconds + 60)
        return Flow.of(sender.result(), received)


def lost(flows: Iterable[Flow]) -> str:
    """What a row says about frames that did not arrive."""
    return f"lost {sum(one.lost for one in flows)}"


def touch(pixels: Any) -> None:
    """Look at what was received, so that it must be there."""
    pixels[0, 0]
