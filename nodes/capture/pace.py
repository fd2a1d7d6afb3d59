"""When a capture node takes a picture. Pure: time is passed in."""

from dataclasses import dataclass

EARLY = 0.4  # of a period
RATE_WINDOW_S = 2.0
UNTIMED_FPS = 25.0


class Decimator:
    """Thins pictures out to `fps` on average, by their times in seconds; without `fps` it takes every one.

    A picture may be early by `EARLY`, so that a live source's jitter does not cost pictures.
    """

    def __init__(self, fps: float | None) -> None:
        self.fps = fps
        self._period = 1 / fps if fps else 0.0
        self._due: float | None = None

    def takes(self, at: float) -> bool:
        if not self._period:
            return True
        if self._due is None or at < self._due - 2 * self._period:
            self._due = at  # the first one, or the clock of the source began anew
        if at < self._due - EARLY * self._period:
            return False
        following = self._due + self._period
        self._due = following if following > at else at + self._period
        return True


@dataclass(slots=True)
class Pacer:
    """Tells how long to wait so that pictures leave at the pace of their presentation times, or `speed` times
    as fast.

    When the machine cannot keep up by more than `slack` seconds, the pace begins anew from there.
    """

    slack: float = 1.0
    speed: float = 1.0
    _origin: float | None = None

    def wait(self, pts_s: float, now: float) -> float:
        """Seconds to wait before the picture of `pts_s` is due; 0 when it is due already."""
        since = pts_s / self.speed
        if self._origin is None or now - (self._origin + since) > self.slack:
            self._origin = now - since
        return max(0.0, self._origin + since - now)


class Rate:
    """Frames per second as measured, told at the end of each window."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._frames = 0

    def tick(self, now: float) -> float | None:
        """Count a frame; the rate, once a window is full."""
        if self._since is None:
            self._since = now
            return None
        self._frames += 1
        if now - self._since < RATE_WINDOW_S:
            return None
        rate = round(self._frames / (now - self._since), 1)
        self._since, self._frames = now, 0
        return rate


def presentation_s(pts_ns: int | None, number: int, fps: float) -> float:
    """A picture's presentation time in seconds; by its number where the source has no times."""
    return pts_ns / 1e9 if pts_ns is not None else number / (fps or UNTIMED_FPS)
