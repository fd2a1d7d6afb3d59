"""A camera's MJPEG stream over HTTP (multipart/x-mixed-replace): its JPEGs as they came.

Rules kept here: nothing is decoded; the stall time without a picture is an error, and so is the stream's end;
a connection is read, and closed, by one thread at a time: `close` from another only asks.
"""

import threading
from collections.abc import Callable, Iterator

from mesh.errors import SourceError
from nodes.capture.sources.base import Grab, SourceOptions
from nodes.capture.sources.container import with_huffman_tables
from nodes.capture.sources.exchange import Response
from nodes.capture.sources.failures import Origin, broken_off, stalled
from nodes.capture.sources.jpegs import JpegGrab, JpegSeries
from nodes.capture.sources.multipart import MultipartParser
from nodes.connection import Connection, Ended, Patience

TURN_BYTES = 1 << 20  # read from one camera before the others have their turn: all that its socket holds


def is_mjpeg(response: Response) -> bool:
    """Whether a response is a stream that this module reads."""
    return response.status == 200 and response.headers.get_content_maintype() == "multipart"


class MjpegSource:
    """A `SharedSource` over a response that `is_mjpeg`."""

    live = True
    codec = "mjpeg"
    fps = 0.0  # such a stream does not say

    def __init__(self, response: Response, origin: Origin, options: SourceOptions) -> None:
        self._response, self._connection = response, response.connection
        self._origin, self._options = origin, options
        self._parser = MultipartParser(str(response.headers.get_param("boundary", "")))
        self._series = JpegSeries(with_huffman_tables)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._reading = False
        self._heard = 0.0

    def __repr__(self) -> str:
        state = "closed" if self._closed.is_set() else "live"
        return f"<MjpegSource {self._origin.shown} {self._parser!r} {state}>"

    @property
    def is_shared(self) -> bool:
        return self._options.reactor is not None

    def __iter__(self) -> Iterator[Grab]:
        """Every picture in order, read by this thread. Raises `SourceError` when the stream breaks off."""
        if not self._begin():
            return
        try:
            yield from self.pictures(self._response.first())
            while self.goes_on():
                yield from self.pictures(self._await_data())
        except Ended:
            return
        finally:
            self._end()

    def drive(self, take: Callable[[Grab], bool]) -> None:
        """Call `take` for every picture, on the reactor's thread, until it says False; wait for that.

        Raises what `take` raises, and `SourceError` when the stream breaks off.
        """
        assert self._options.reactor is not None, "not a shared source"
        if not self._begin():
            return
        try:
            driven = Driven(self, self._connection, take)
            if driven.takes(self._response.first()):
                self._options.reactor.add(driven)
                driven.wait()
        finally:
            self._end()

    def close(self) -> None:
        """End the reading, from any thread."""
        self._closed.set()
        if self._options.reactor is not None:
            self._options.reactor.wake()
        with self._lock:
            if not self._reading:
                self._connection.close()

    def pictures(self, data: bytes) -> list[JpegGrab]:
        """The pictures that received bytes complete. Raises `SourceError` where they break HTTP's rules."""
        try:
            jpegs = self._parser.feed(self._response.decode(data))
        except ValueError as error:
            raise SourceError(f"{self._origin.shown} broke off: {error}") from error
        if jpegs:
            self._heard = self._options.clock.monotonic()
        return [self._series.grab(jpeg) for jpeg in jpegs]

    def goes_on(self) -> bool:
        """Whether to read on. Raises `SourceError` at the stream's end, or after the stall time."""
        if self._is_over():
            return False
        if self._response.is_complete:
            raise self.ended()
        if self._options.clock.monotonic() - self._heard > self._options.stall_s:
            raise stalled(self._origin, self._options.stall_s)
        return True

    def ended(self) -> SourceError:
        return SourceError(f"{self._origin.shown} ended the stream")

    def broken_off(self, error: OSError) -> SourceError:
        return broken_off(self._origin, error)

    def _await_data(self) -> bytes:
        deadline = self._heard + self._options.stall_s
        try:
            data = self._connection.await_data(Patience(self._options.clock, deadline, self._is_over))
        except TimeoutError as error:
            raise stalled(self._origin, self._options.stall_s) from error
        except OSError as error:
            raise self.broken_off(error) from error
        if not data:
            raise self.ended()
        return data

    def _is_over(self) -> bool:
        return self._closed.is_set() or self._options.stop.is_set()

    def _begin(self) -> bool:
        with self._lock:
            if self._closed.is_set() or self._reading:
                return False
            self._reading = True
        self._heard = self._options.clock.monotonic()
        return True

    def _end(self) -> None:
        self._closed.set()
        with self._lock:
            self._reading = False
            self._connection.close()


class Driven:
    """A source as the reactor's `Channel`."""

    def __init__(self, source: MjpegSource, connection: Connection, take: Callable[[Grab], bool]) -> None:
        self._source, self._connection, self._take = source, connection, take
        self._finished = threading.Event()
        self._error: Exception | None = None

    def __repr__(self) -> str:
        return f"<Driven {self._source!r}>"

    def fileno(self) -> int:
        return self._connection.fileno()

    def read(self) -> bool:
        received = 0
        while (data := self._receive()) is not None:
            if not data:
                raise self._source.ended()
            if not self.takes(data):
                return False
            received += len(data)
            if not self._connection.may_have_more(data):
                break
            if received >= TURN_BYTES and not self._connection.holds_more:  # now others have their turn
                break
        return True  # whether it goes on is for `check` to say, at its leisure

    def takes(self, data: bytes) -> bool:
        """Hand over the pictures that `data` completes; False when no more are wanted."""
        for picture in self._source.pictures(data):  # noqa: SIM110 - `all` would set up a generator each time
            if not self._take(picture):
                return False
        return True

    def check(self) -> bool:
        return self._source.goes_on()

    def finish(self, error: Exception | None) -> None:
        self._error = error
        self._finished.set()

    def wait(self) -> None:
        """Wait until it is finished. Raises what ended it."""
        self._finished.wait()
        if self._error is not None:
            raise self._error

    def _receive(self) -> bytes | None:
        try:
            return self._connection.receive()
        except OSError as error:
            raise self._source.broken_off(error) from error
