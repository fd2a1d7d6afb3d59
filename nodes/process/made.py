"""What a process node made of each camera's frames, as it reports it. Any thread may add and ask.

Rules kept here: results that are pushed are counted by their sender, others here; a frame's age is counted
once its results have gone out, also where it had none.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mesh.ages import AgeTally, Key
from mesh.delivery import SentCount
from mesh.frame import Frame
from mesh.inbox import StreamCount
from mesh.registry.records import GroupCount, ResultCount
from mesh.stats import Counters
from nodes.counting import group_count


class Made:
    """Counts of a node of `group` that makes `output` of `stage`."""

    def __init__(self, group: str, stage: str, output: str) -> None:
        self._group, self._stage, self._output = group, stage, output
        self._made = Counters()  # results that are not pushed, by "camera boot"
        self._ages = AgeTally()

    def result(self, frame: Frame) -> None:
        """A result that no sender counts has gone out."""
        self._made.add(f"{frame.camera} {frame.boot}")

    def done(self, frame: Frame, now_ns: int) -> None:
        """A frame's results have gone out, by the wall clock."""
        self._ages.add((self._output, frame.camera, frame.boot), now_ns - frame.captured_ns)

    def counts(
        self, taken: Iterable[StreamCount], sent: Mapping[Key, SentCount] | None, run: int
    ) -> Iterator[GroupCount]:
        """The counts of each stream, with what became of the results that were `sent` (None: none is);
        `run` is that of the publisher."""
        known = set()
        for count in taken:
            known.add((count.camera, count.boot))
            if sent is None:
                found = SentCount(results=self._made.get(f"{count.camera} {count.boot}"))
            else:
                found = sent.get((self._output, count.camera, count.boot), SentCount())
            fate = _fate(found, pushes=sent is not None, run=run)
            yield group_count(count, group=self._group, output=self._output, **fate, **self._aged(count))
        for (_, camera, boot), found in (sent or {}).items():
            if (
                found.carried.results and (camera, boot) not in known
            ):  # from an earlier run, in the spool only
                yield GroupCount(
                    camera=camera,
                    boot=boot,
                    stage=self._stage,
                    group=self._group,
                    output=self._output,
                    **_fate(found, pushes=True, run=run),
                )

    def _aged(self, count: StreamCount) -> dict[str, Any]:
        ages = self._ages.of((self._output, count.camera, count.boot))
        return {"ages": ages.counts, "age_sum_s": ages.sum_s}


def _fate(count: SentCount, *, pushes: bool, run: int) -> dict[str, Any]:
    """What became of results, as a `GroupCount` says it."""
    carried = count.carried
    return {
        "publishes": run,
        "results": count.results,
        "delivered": count.delivered,
        "undelivered": dict(count.undelivered),
        "pushes": pushes,
        "waiting": count.waiting,
        "spooled": count.spooled,
        "carried": ResultCount(
            results=carried.results, delivered=carried.delivered, undelivered=dict(carried.undelivered)
        ),
    }
