"""What only OpenCV opens: `opencv:EXPRESSION`, a GStreamer pipeline, an index, a URL or a path.

Rules kept here: OpenCV cannot be interrupted once it blocks, so it runs in a child process, which is killed
and reaped when it stalls, when it is stopped, and at the end; the expression, which may hold a password,
travels over a pipe, never on a command line; at most one picture is on its way, as pixels: whether anybody
wants it encoded is not known there.
"""

import json
import os
import selectors
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from mesh.codec import Image
from mesh.errors import ConfigError, SourceError
from nodes.capture.sources.base import Grab, SourceOptions
from nodes.capture.sources.opencv_child import END, HEADER, HELLO, NO_PTS, SIZE
from nodes.capture.sources.pixels import PixelGrab
from nodes.capture.sources.urls import rest_of
from nodes.redact import redact

_CHILD = "nodes.capture.sources.opencv_child"
_POLL_S = 0.05
_MAX_MESSAGE = 128 << 20  # bytes: a picture of 7680x4320, and more


def parse(url: str) -> str:
    """OpenCV's expression. Raises `ConfigError` where it is empty."""
    expression = rest_of(url)
    if not expression.strip() or "\0" in expression:
        raise ConfigError(f"{redact(url)!r} says nothing to open; write for instance opencv:0")
    return expression


def open_opencv(url: str, options: SourceOptions) -> "OpenCvSource":
    """The source that OpenCV opens. Raises `SourceError`."""
    return OpenCvSource(parse(url), redact(url), options)


class Child:
    """The child process, and messages from it. Iterated by one thread; `kill` may come from any."""

    def __init__(self, expression: str, shown: str, options: SourceOptions) -> None:
        self._shown, self._options = shown, options
        self._killed = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # GStreamer and FFmpeg print URLs there, passwords and all
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # Ctrl-C is for the node, which ends its children itself
        )
        self._write(json.dumps({"expression": expression}).encode() + b"\n")

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self) -> None:
        """Ask for the next picture."""
        self._write(b"?")

    def message(self) -> tuple[bytes, int, bytearray] | None:
        """(kind, pts_ns, data); None once it is killed or stopped. Raises `SourceError` when it stalls."""
        deadline = self._options.clock.monotonic() + self._options.stall_s
        header = self._read(HEADER.size, deadline)
        if header is None:
            return None
        kind, pts_ns, length = HEADER.unpack(header)
        if length > _MAX_MESSAGE:
            raise SourceError(f"{self._shown}: a picture of {length} bytes is too large")
        data = self._read(length, deadline)
        return None if data is None else (kind, pts_ns, data)

    def kill(self) -> None:
        """End it at once and reap it. Safe from any thread, more than once."""
        self._killed.set()
        self._process.kill()
        self._process.wait()

    def release(self) -> None:
        """Kill it and close the pipes; for the thread that reads them."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _write(self, data: bytes) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        try:
            os.write(stdin.fileno(), data)
        except BrokenPipeError:
            return  # it is gone: reading from it will tell

    def _read(self, count: int, deadline: float) -> bytearray | None:
        stdout = self._process.stdout
        assert stdout is not None
        data, got = bytearray(count), 0
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while got < count:
                if not self._readable(selector, deadline):
                    return None
                read = os.readv(stdout.fileno(), [memoryview(data)[got:]])
                if not read and self._killed.is_set():
                    return None
                if not read:
                    raise SourceError(f"{self._shown}: OpenCV's process ended by itself")
                got += read
        return data

    def _readable(self, selector: selectors.BaseSelector, deadline: float) -> bool:
        while not (self._killed.is_set() or self._options.stop.is_set()):
            if selector.select(_POLL_S):
                return True
            if self._options.clock.monotonic() >= deadline:
                raise SourceError(f"{self._shown} gave no frame for {self._options.stall_s:g} s")
        return False


class OpenCvSource:
    """A `Source` over cv2.VideoCapture in a child process."""

    codec = "raw"

    def __init__(self, expression: str, shown: str, options: SourceOptions) -> None:
        self._expression, self._shown, self._options = expression, shown, options
        self._lock = threading.Lock()
        self._closed = self._reading = False
        self._child = Child(expression, shown, options)
        hello = self._greeting()
        self.live: bool = hello["live"]
        self.fps: float = hello["fps"]

    def __repr__(self) -> str:
        return f"<OpenCvSource {self._shown} pid={self._child.pid} {'live' if self.live else 'file'}>"

    @property
    def pid(self) -> int:
        """The child process that runs now; each round of a loop has its own."""
        return self._child.pid

    def __iter__(self) -> Iterator[Grab]:
        """Every picture in order; of a live source the freshest. Raises `SourceError` when it breaks off."""
        with self._lock:
            if self._closed or self._reading:
                return
            self._reading = True
        try:
            yield from self._rounds()
        finally:
            self._closed = True
            self._child.release()

    def close(self) -> None:
        """Kill the child process, from any thread."""
        with self._lock:
            self._closed = True
            if self._reading:
                self._child.kill()
            else:
                self._child.release()

    def _rounds(self) -> Iterator[Grab]:
        base_ns = yield from self._pictures(0)
        while self._options.loop and not self._ended():
            if not self._begin_again():
                return
            base_ns = yield from self._pictures(base_ns)

    def _pictures(self, base_ns: int) -> Generator[Grab, None, int]:
        """The pictures of one round, their times counted from `base_ns`; returns where the next begins."""
        period_ns = round(1e9 / self.fps) if self.fps else 0
        next_ns = base_ns
        while not self._ended():
            self._child.ask()
            message = self._child.message()
            if message is None:
                break
            kind, pts_ns, data = message
            if kind == END:
                self._check_end(data.decode())
                break
            stamp = None if pts_ns == NO_PTS else base_ns + pts_ns
            next_ns = next_ns if stamp is None else stamp + period_ns
            yield PixelGrab(_pixels(data), stamp)
        return next_ns

    def _begin_again(self) -> bool:
        with self._lock:
            if self._closed:
                return False
            self._child.release()
            self._child = Child(self._expression, self._shown, self._options)
        self._greeting()
        return True

    def _greeting(self) -> dict[str, Any]:
        try:
            message = self._child.message()
            if message is None:
                raise SourceError(f"{self._shown}: stopped while it was being opened")
            kind, _, data = message
            if kind != HELLO:
                raise SourceError(f"{self._shown}: {data.decode()}")
            return dict(json.loads(data))
        except SourceError:
            self._child.release()
            raise

    def _check_end(self, reason: str) -> None:
        if reason:
            raise SourceError(f"{self._shown}: {reason}")

    def _ended(self) -> bool:
        return self._closed or self._options.stop.is_set()


def _pixels(data: bytearray) -> Image:
    width, height = SIZE.unpack_from(data)
    return np.frombuffer(data, np.uint8, offset=SIZE.size).reshape(height, width, 3)
