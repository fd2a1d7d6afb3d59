"""How old a frame is, judged without trusting that two machines' clocks agree. Pure: time is passed in.

Rules kept here: a frame is stale when it was captured more than `max_age_s` ago; the first frame of a stream
is never stale; a backlog is stale, however long it took to pile up; clocks that differ black out no stream,
and one that is set does so for seconds only.

A frame's *delay* is the wall clock here, as it arrives, less that of its capture: the time on the way, plus
how far the clocks are apart. The least delay of the last while tells the two apart:

- Where it is between 0 and `max_age_s`, the clocks are taken to agree, and a frame's age is what they say.
- Where it is negative (the camera's clock is ahead) or larger (that clock is behind, or no frame comes any
  sooner), the least delay is taken for the clocks' difference, and ages are counted from there on.

The least delay is remembered in two buckets. One is turned over when 30 s have passed both here and in what
was captured: a backlog of minutes may be drained in a moment, and must not become what is normal.

A camera whose clock is set back looks like a backlog that never ends. What tells them apart is that a backlog
is drained: its delays fall. So when a stream has been stale throughout two spans of `DARK_S`, and its least
delay is about the same in both, that is what is normal from then on. It may have grown, as where a queue
fills up; what grew by more was a stop.
"""

from dataclasses import dataclass

BUCKET_S = 30.0
DARK_S = 3.0
FALLS_S = 0.05 * DARK_S  # delays that fall by less are not those of a backlog that is drained
GROWS_S = 0.5 * DARK_S

SECOND_NS = 1_000_000_000


@dataclass(slots=True)
class _Bucket:
    """The least delay, in nanoseconds, since a moment by both clocks."""

    since: float
    captured_ns: int
    least_ns: int


@dataclass(slots=True)
class _Dark:
    """A span in which everything was stale; `former_ns` is the least delay of the span before it."""

    since: float
    least_ns: int
    former_ns: int | None = None

    @property
    def is_steady(self) -> bool:
        if self.former_ns is None:
            return False
        return -FALLS_S < (self.least_ns - self.former_ns) / SECOND_NS < GROWS_S


class Freshness:
    """Judges one stream's frames. Tell it of every frame that `arrived`, then ask which `is_stale`."""

    __slots__ = ("_bucket", "_dark", "_former_ns", "_max_ns", "_reference_ns")

    def __init__(self, max_age_s: float) -> None:
        self._max_ns = int(max_age_s * SECOND_NS)
        self._bucket: _Bucket | None = None
        self._former_ns: int | None = None  # the least delay of the bucket before
        self._reference_ns = 0  # the delay at which a frame is new
        self._dark: _Dark | None = None

    def __repr__(self) -> str:
        return f"<Freshness max_age={self._max_ns / SECOND_NS:g} s reference={self._reference_ns} ns>"

    def age_ns(self, captured_ns: int, wall_ns: int) -> int:
        """How long ago a frame was captured, as well as that can be known."""
        return wall_ns - captured_ns - self._reference_ns

    def limit(self, max_age_s: float) -> None:
        """Another greatest age; what was learnt of the stream's delay stays."""
        self._max_ns = int(max_age_s * SECOND_NS)

    def is_stale(self, captured_ns: int, wall_ns: int) -> bool:
        return self.age_ns(captured_ns, wall_ns) > self._max_ns

    def arrived(self, captured_ns: int, wall_ns: int, now: float) -> None:
        """Learn from a frame: when it was captured, and the wall and monotonic clocks as it came."""
        delay_ns = wall_ns - captured_ns
        bucket = self._bucket
        if bucket is None:
            self._begin(captured_ns, delay_ns, now)
            return
        if now - bucket.since >= BUCKET_S and captured_ns - bucket.captured_ns >= BUCKET_S * SECOND_NS:
            self._former_ns = bucket.least_ns
            self._bucket = _Bucket(now, captured_ns, delay_ns)
            self._refer()
        elif delay_ns < bucket.least_ns:
            bucket.least_ns = delay_ns
            self._refer()
        if delay_ns - self._reference_ns <= self._max_ns:
            self._dark = None
        else:
            self._darken(captured_ns, delay_ns, now)

    def _begin(self, captured_ns: int, delay_ns: int, now: float) -> None:
        """Take this delay for what is normal, and forget what was."""
        self._bucket, self._former_ns, self._dark = _Bucket(now, captured_ns, delay_ns), None, None
        self._refer()

    def _refer(self) -> None:
        assert self._bucket is not None
        least_ns = self._bucket.least_ns
        if self._former_ns is not None:
            least_ns = min(least_ns, self._former_ns)
        self._reference_ns = 0 if 0 <= least_ns <= self._max_ns else least_ns

    def _darken(self, captured_ns: int, delay_ns: int, now: float) -> None:
        """A stale frame came: begin anew when they go on coming without getting any younger."""
        dark = self._dark
        if dark is not None and now - dark.since < DARK_S:
            dark.least_ns = min(dark.least_ns, delay_ns)
        elif dark is not None and dark.is_steady:
            self._begin(captured_ns, min(dark.least_ns, delay_ns), now)
        else:
            self._dark = _Dark(now, delay_ns, dark.least_ns if dark is not None else None)
