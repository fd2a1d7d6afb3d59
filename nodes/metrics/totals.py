"""Counts over all that a node ever had, which only grow.

Rules kept here: a camera that starts anew counts from 0 again, and its former boots are reported for a while
only; what they had counted stays in the sum, and no label tells of a boot; a count that is corrected
downwards stays where it was until it is passed: for Prometheus a counter that falls is one that began anew.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from nodes.metrics.samples import Counted, Labels, Sample, Source, Values


@dataclass(slots=True)
class _Total:
    """One series: what sources that are no longer reported had counted, and what the others have."""

    gone: Values = ()
    sources: dict[Source, Values] = field(default_factory=dict)
    shown: Values = ()

    def look(self, now: dict[Source, Values]) -> None:
        for source in self.sources.keys() - now.keys():
            self.gone = _plus(self.gone, self.sources[source])
        self.sources = now
        total = self.gone
        for values in now.values():
            total = _plus(total, values)
        self.shown = tuple(map(max, total, self.shown)) if self.shown else total


class Totals:
    """The sum of what was counted in every report so far. Every method is thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: defaultdict[tuple[str, Labels], _Total] = defaultdict(_Total)

    def __repr__(self) -> str:
        return f"<Totals of {len(self._totals)} series>"

    def look(self, report: Iterable[Counted]) -> None:
        """Take in the next report, whole."""
        now: defaultdict[tuple[str, Labels], dict[Source, Values]] = defaultdict(dict)
        for each in report:
            key, sources = (each.sample.name, each.sample.labels), each.source
            former = now[key].get(sources, ())
            now[key][sources] = _plus(former, each.sample.values)
        with self._lock:
            for key in now.keys() | self._totals.keys():
                self._totals[key].look(now.get(key, {}))

    def samples(self) -> list[Sample]:
        """The sums."""
        with self._lock:
            return [Sample(*key, total.shown) for key, total in self._totals.items()]


def _plus(some: Values, more: Values) -> Values:
    return tuple(a + b for a, b in zip(some, more, strict=True)) if some else more
