"""Which results were recorded before, so that one that is sent again is told apart. Pure.

Rules kept here: memory is bounded: of each (stage, camera) the newest `depth` identities are remembered, and
not many more; 64 neighbours share an entry and an age, so that a stream without gaps costs a bit for each.
"""

from collections import OrderedDict

from mesh.frame import Frame

SEEN_PER_STREAM = 65_536
MAX_STREAMS = 4096
CHUNK = 64

Identity = tuple[str, str, int, int, int]  # stage, camera, boot, seq, part
_Chunk = tuple[int, int, int]  # boot, part, seq // CHUNK


def identity(frame: Frame) -> Identity:
    """What tells a result apart, wherever it comes from."""
    return frame.stage, frame.camera, frame.boot, frame.seq, frame.part


class _Stream:
    """The identities of one (stage, camera): a mask of 64 neighbours by chunk, the oldest chunk first."""

    __slots__ = ("chunks", "count")

    def __init__(self) -> None:
        self.chunks: OrderedDict[_Chunk, int] = OrderedDict()
        self.count = 0

    def add(self, chunk: _Chunk, bit: int, depth: int) -> None:
        before = self.chunks.get(chunk, 0)
        self.chunks[chunk] = before | bit
        self.chunks.move_to_end(chunk)
        self.count += not before & bit
        while self.count - next(iter(self.chunks.values())).bit_count() >= depth:
            self.count -= self.chunks.popitem(last=False)[1].bit_count()


class Seen:
    """The newest `depth` identities, and up to 63 more, of each of the newest `max_streams` streams."""

    def __init__(self, depth: int = SEEN_PER_STREAM, max_streams: int = MAX_STREAMS) -> None:
        self._depth = depth
        self._max_streams = max_streams
        self._streams: OrderedDict[tuple[str, str], _Stream] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Seen {sum(s.count for s in self._streams.values())} of {len(self._streams)} streams>"

    def __contains__(self, identity: Identity) -> bool:
        stage, camera, boot, seq, part = identity
        stream = self._streams.get((stage, camera))
        return stream is not None and bool(
            stream.chunks.get((boot, part, seq // CHUNK), 0) >> seq % CHUNK & 1
        )

    def add(self, identity: Identity) -> None:
        stage, camera, boot, seq, part = identity
        stream = self._streams.setdefault((stage, camera), _Stream())
        self._streams.move_to_end((stage, camera))
        stream.add((boot, part, seq // CHUNK), 1 << seq % CHUNK, self._depth)
        if len(self._streams) > self._max_streams:
            self._streams.popitem(last=False)
