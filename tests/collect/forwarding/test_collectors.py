"""The way to another site's collectors, with a real registry, and a receiver in the place of a collector."""

from collections.abc import Iterator
from contextlib import contextmanager

from mesh.clock import SYSTEM_CLOCK
from mesh.delivery import Delivery, Receiver
from mesh.frame import Frame
from mesh.ports import free_port
from mesh.presence import new_record
from mesh.registry import open_registry
from mesh.registry.records import NodeKind, NodeRecord
from mesh.registry.server import RegistryServer
from mesh.scope import Scope
from mesh.transport import Publisher
from mesh.wire import MAX_HEADER
from nodes.collect.forwarding.address import parse
from nodes.collect.forwarding.collectors import WINDOW_FRAMES, CollectorCarrier
from tests.collect.support import make
from tests.support.waiting import PATIENCE_S, wait_for

OWN = new_record(
    NodeKind.COLLECT, "edge", {"pull": "tcp://127.0.0.1:1", "pub": "tcp://127.0.0.1:2"}, SYSTEM_CLOCK
)


class Far:
    """A collector's sockets, and its record; what comes is acknowledged when the test says so."""

    def __init__(self, scope: Scope, name: str = "hq") -> None:
        self.deliveries: list[Delivery] = []
        self.publisher = Publisher(name)
        self.receiver = Receiver(scope, self.deliveries.extend, self.publisher.send)
        endpoints = {"pull": self.receiver.endpoint, "pub": self.publisher.endpoint}
        self.record = new_record(NodeKind.COLLECT, name, endpoints, SYSTEM_CLOCK)

    def seqs(self) -> set[int]:
        return {d.message.body.seq for d in self.deliveries if isinstance(d.message.body, Frame)}

    def acknowledge(self) -> None:
        self.receiver.acknowledge([delivery.envelope for delivery in self.deliveries])


class Bench:
    """A carrier to the registry at `url`; `done` are the numbers that it is done with."""

    def __init__(self, scope: Scope, url: str) -> None:
        self.done: list[int] = []
        self.carrier = CollectorCarrier(scope, parse(url), self.done.extend, own=OWN)

    def offer(self, number: int, **changes: object) -> bool:
        return self.carrier.offer(number, make(number, stage="motion", size=(16, 16), **changes))


@contextmanager
def registry(*nodes: NodeRecord) -> Iterator[str]:
    """The URL of one that lists these."""
    url = f"tcp://127.0.0.1:{free_port()}"
    with RegistryServer(url), open_registry(url, timeout=PATIENCE_S) as client:
        for node in nodes:
            client.put(node.key, node.value(), lease=client.grant(60.0))
        yield url


def test_a_frame_is_done_when_the_collector_has_it_for_good() -> None:
    with Scope("far") as far_scope, Scope("carrier") as scope:
        far = Far(far_scope)
        with registry(far.record, OWN) as url:
            bench = Bench(scope, url)
            wait_for(lambda: bench.offer(0), "it is known who is there")
            assert bench.offer(1)
            wait_for(lambda: far.seqs() == {0, 1}, "both are there")
            assert bench.done == []
            far.acknowledge()
            wait_for(lambda: sorted(bench.done) == [0, 1], "both are done")
            assert bench.carrier.why == ""
            assert far.deliveries[0].envelope.sender == "edge"
            scope.stop()
            scope.join()
        far.publisher.close(flush=False)


def test_what_cannot_be_sent_is_refused_for_good() -> None:
    with Scope("far") as far_scope, Scope("carrier") as scope:
        far = Far(far_scope)
        with registry(far.record) as url:
            bench = Bench(scope, url)
            wait_for(lambda: bench.offer(0, attributes={"text": "x" * MAX_HEADER}), "it is taken on")
            assert bench.done == [0]
            assert bench.carrier.stats()["forward_refused"] == 1
            scope.stop()
            scope.join()
        far.publisher.close(flush=False)


def test_the_window_is_bounded() -> None:
    with Scope("far") as far_scope, Scope("carrier") as scope:
        far = Far(far_scope)
        with registry(far.record) as url:
            bench = Bench(scope, url)
            wait_for(lambda: bench.offer(0), "it is known who is there")
            taken = next(number for number in range(1, 10_000) if not bench.offer(number))
            assert taken == WINDOW_FRAMES
            wait_for(lambda: far.deliveries, "something is there")
            far.acknowledge()
            wait_for(lambda: bench.offer(taken), "there is room again")
            scope.stop()
            scope.join()
        far.publisher.close(flush=False)


def test_it_says_who_is_missing_and_takes_nothing_on() -> None:
    with Scope("carrier") as scope, registry(OWN) as url:
        nowhere = f"tcp://127.0.0.1:{free_port()}"
        away, alone, other = (Bench(scope, to) for to in (nowhere, url, f"{url}/attic"))
        assert away.carrier.why == f"no registry answers at {nowhere}"
        wait_for(lambda: alone.carrier.why == f"the registry at {url} lists no collector but this one")
        wait_for(lambda: other.carrier.why == f"the registry at {url} lists no collector attic but this one")
        assert not any(bench.offer(0) for bench in (away, alone, other))
        scope.stop()
        scope.join()
