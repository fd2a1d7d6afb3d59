"""What a session says to a registry that is slow."""

from mesh.registry import Entry, Value
from mesh.registry.memory import MemoryRegistry
from mesh.registry.standing import Standing
from tests.support.clock import ManualClock

LEASE_S = 1.5
WRITE_S = 0.2


class SlowRegistry(MemoryRegistry):
    """One in which each write takes a while."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__("slow", clock)
        self._clock = clock

    def put(self, key: str, value: Value, *, lease: int = 0, expect: int | None = None) -> Entry:
        self._clock.advance(WRITE_S)
        return super().put(key, value, lease=lease, expect=expect)


def test_a_lease_is_renewed_while_more_is_written_than_it_lasts_for() -> None:
    clock = ManualClock()
    with SlowRegistry(clock) as registry:
        standing = Standing(registry, LEASE_S, clock)
        for number in range(30):
            standing.holdings.update(f"streams/raw/door{number}/node", {"n": number})
        standing.renew()
        first = standing.lease
        standing.flush()
        assert len(registry.list("streams/")) == 30
        assert standing.lease == first
        assert not standing.holdings.unwritten()
