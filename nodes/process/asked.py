"""What a process node can be asked to do while it works: to rest, to go on, and to work otherwise.

Rules kept here: one that rests hands out nothing to work on, keeps its share, and says that it lives; what it
was at is finished.
"""

from collections.abc import Mapping
from typing import Any

from mesh.control import Operation
from mesh.inbox import Inbox
from nodes.operations import at_least, check_none, quality, read_settings
from nodes.process.health import Health

SETTINGS = {"quality": quality, "max_age": at_least(0, "seconds")}


class Asked:
    """The operations, on the inbox that is worked from; and the JPEG `quality` in force.

    max_age:  the greatest age in force, as it was asked for
    """

    def __init__(self, inbox: Inbox, health: Health, quality: int, max_age: float | None) -> None:
        self.quality = quality
        self.is_paused = False
        self._inbox, self._health = inbox, health
        self._max_age = max_age
        self.operations: Mapping[str, Operation] = {
            "pause": self._pause,
            "resume": self._resume,
            "set": self._set,
        }

    def rest(self, paused: bool) -> None:
        """Rest, or go on."""
        self.is_paused = paused
        (self._inbox.pause if paused else self._inbox.resume)()
        self._health.rests(paused)

    def _pause(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        check_none("pause", arguments)
        self.rest(True)
        return {"state": "paused"}

    def _resume(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        check_none("resume", arguments)
        self.rest(False)
        return {"state": "running"}

    def _set(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        settings = read_settings(arguments, SETTINGS)
        self.quality = settings.get("quality", self.quality)
        if "max_age" in settings:
            self._max_age = settings["max_age"]
            self._inbox.set_max_age(self._max_age)
        return {"quality": self.quality, "max_age": self._max_age}
