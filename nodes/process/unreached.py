"""What is this node's to take and does not come, although its publisher says that it publishes it.

Rules kept here: silence alone is no fault, as a camera may be slow; what tells is the publisher's own count,
read from the registry and only while something is silent. Of a stage that is made in several partitions that
count tells nothing, as processors may leave out what they like: those are passed over.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence

from mesh.errors import RegistryUnavailable
from mesh.membership.group import Reader
from mesh.membership.ownership import Key, parts_of
from mesh.place import this_place
from mesh.registry import Registry
from mesh.registry.records import StatsRecord, StreamRecord

LOOK_S = 2.0  # at most so often
SILENT_S = 10.0  # so long nothing came
ENOUGH = 2  # frames of each partition that were published meanwhile

Publishers = Callable[[str], Sequence[StreamRecord]]  # of a camera


class Unreached:
    """Looks for partitions of one stage that do not come. Not thread-safe."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._since: dict[Key, tuple[float, int]] = {}  # and how much had been published by then
        self._looked_at: float | None = None
        self.why = ""

    def __repr__(self) -> str:
        return f"<Unreached {self.why or 'nothing'}>"

    def look(self, silent: Iterable[Key], publishers: Publishers, now: float) -> str:
        """What is wrong, in one line; empty when nothing is. While the registry is away it stays as it is."""
        keys = sorted(silent)
        if not keys:
            self._since, self.why = {}, ""
        elif self._looked_at is None or now - self._looked_at >= LOOK_S:
            self._looked_at = now
            with contextlib.suppress(RegistryUnavailable):
                self.why = _why(self._missing(keys, publishers, now))
        return self.why

    def _missing(self, keys: list[Key], publishers: Publishers, now: float) -> list[StreamRecord]:
        """A publisher of each partition that does not come."""
        missing, since = [], {}
        counts: dict[str, tuple[StreamRecord, int]] = {}
        for key in keys:
            camera = parts_of(key)[0]
            if camera not in counts and (records := publishers(camera)):
                counts[camera] = records[0], self._published(records)
            if camera not in counts:
                continue
            record, count = counts[camera]
            began, before = self._since.get(key, (now, count))
            since[key] = (began, before) if before <= count else (now, count)
            if now - began >= SILENT_S and count - before >= ENOUGH * record.partitions:
                missing.append(record)
        self._since = since
        return missing

    def _published(self, records: Sequence[StreamRecord]) -> int:
        entries = {
            e.key: e for node in {r.node for r in records} for e in self._registry.list(f"stats/{node}/")
        }
        return published(Reader(StatsRecord).read(entries), records[0])


def published(stats: Iterable[StatsRecord], stream: StreamRecord) -> int:
    """How many frames of a stream these say to have published. Pure."""
    each = list(stats)
    captured = (c for s in each for c in s.cameras if (c.stage, c.camera) == (stream.stage, stream.camera))
    count = sum(c.captured - sum(c.dropped.values()) for c in captured)
    if stream.partitions == 1:
        made = (g for s in each for g in s.groups if (g.output, g.camera) == (stream.stage, stream.camera))
        count += sum(g.results for g in made)
    return count


def _why(missing: Sequence[StreamRecord]) -> str:
    if not missing:
        return ""
    first, cameras = missing[0], {record.camera for record in missing}
    more = f" (and of {len(cameras) - 1} more)" if len(cameras) > 1 else ""
    return (
        f"nothing comes of camera {first.camera!r} from {first.reach(this_place())}{more}, though node "
        f"{first.node!r} publishes it: can this host reach that address?"
    )
