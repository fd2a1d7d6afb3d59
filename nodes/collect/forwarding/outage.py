"""Whether the way to a destination works, told when that changes for more than a moment."""

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)

PATIENCE_S = 3.0  # what does not work for less is not worth a word
AGAIN_S = 30.0  # another reason is told after that: all who watch nodes are woken by it


class Outage:
    """`look` is for one thread, all else for any. `now` is monotonic, in seconds.

    tell:  is called when `told` has changed: why it is held up, for more than a moment, or nothing
    """

    def __init__(self, to: str, tell: Callable[[], None] = lambda: None) -> None:
        self._to, self._tell = to, tell
        self._since: float | None = None
        self._told_at = 0.0
        self.told = ""
        self.since_ns = 0  # 0: it works, as far as is known

    def look(self, why: str, waiting: int, now: float, now_ns: int) -> None:
        """`why` is what is wrong now, empty when nothing is; so many frames wait."""
        if not why:
            if self.told:
                log.info("forwarding to %s goes on; %d frames wait", self._to, waiting)
            self._since, self.since_ns = None, 0
            self._say("", now)
            return
        if self._since is None:
            self._since, self.since_ns = now, now_ns
        if not self.told and self.has_lasted(now):
            log.warning("forwarding to %s is held up: %s; %d frames wait", self._to, why, waiting)
            self._say(why, now)
        elif self.told and now - self._told_at >= AGAIN_S:
            self._say(why, now)

    def _say(self, why: str, now: float) -> None:
        if why != self.told:
            self.told, self._told_at = why, now
            self._tell()

    @property
    def is_on(self) -> bool:
        return self._since is not None

    def has_lasted(self, now: float) -> bool:
        """Whether it has lasted for so long that it may go on."""
        since = self._since
        return since is not None and now - since >= PATIENCE_S
