"""Whether the way to a destination works, told in the log when that changes for more than a moment."""

import logging

log = logging.getLogger(__name__)

PATIENCE_S = 3.0  # what does not work for less is not worth a word


class Outage:
    """`look` is for one thread, all else for any. `now` is monotonic, in seconds."""

    def __init__(self, to: str) -> None:
        self._to = to
        self._since: float | None = None
        self._told = False
        self.since_ns = 0  # 0: it works, as far as is known

    def look(self, why: str, waiting: int, now: float, now_ns: int) -> None:
        """`why` is what is wrong now, empty when nothing is; so many frames wait."""
        if not why:
            if self._told:
                log.info("forwarding to %s goes on; %d frames wait", self._to, waiting)
            self._since, self.since_ns, self._told = None, 0, False
            return
        if self._since is None:
            self._since, self.since_ns = now, now_ns
        if not self._told and self.has_lasted(now):
            self._told = True
            log.warning("forwarding to %s is held up: %s; %d frames wait", self._to, why, waiting)

    @property
    def is_on(self) -> bool:
        return self._since is not None

    def has_lasted(self, now: float) -> bool:
        """Whether it has lasted for so long that it may go on."""
        since = self._since
        return since is not None and now - since >= PATIENCE_S
