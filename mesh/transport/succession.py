"""Who goes on in place of a consumer that is gone.

Pure. Rules kept here: one that is gone is not waited for as long as one that is silent, where another of its
group consumes the topic: that one gets what it had not confirmed. Until one does, nothing is forgotten. A
consumer of which the registry never told (a script) is judged by its silence alone.
"""

from collections.abc import Mapping, Set


class Succession:
    """Which nodes live, and of which group each is. A consumer goes by its node's name."""

    def __init__(self) -> None:
        self._living: Mapping[str, str] = {}
        self._gone: dict[str, str] = {}  # groups of consumers that live no more

    def meet(self, living: Mapping[str, str], consumers: Set[str]) -> None:
        """These nodes live now, each of that group (or ""); these consume something here."""
        known = self._gone | dict(self._living)
        self._gone = {name: known[name] for name in consumers & known.keys() - living.keys()}
        self._living = living

    def succeeded(self, consumers: Set[str]) -> list[str]:
        """The consumers of a topic that are gone, and one of whose group consumes it, too."""
        gone = self._gone.keys() & consumers
        if not gone:
            return []
        groups = {self._living.get(name, "") for name in consumers} - {""}
        return sorted(name for name in gone if self._gone[name] in groups)
