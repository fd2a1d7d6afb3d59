"""The receiving end of a delivery: a PULL socket whose results are acknowledged once they are recorded.

Rules kept here: nothing that can be recorded is acknowledged by itself; what breaks the wire format is
counted and refused, and acknowledged where it says who sent it: else it would be sent, and refused, for ever;
a sink that blocks holds the socket back, and with it the senders, in whose windows results then wait.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import zmq

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.codec import Buffer
from mesh.errors import WireError
from mesh.scope import Scope
from mesh.stats import Counters, Rarely
from mesh.transport.sockets import Waker, bind, open_socket, poll, receive
from mesh.wire import DEFAULT_LIMITS, Ack, Envelope, Limits, Message, decode, decode_envelope, encode_ack

log = logging.getLogger(__name__)

HIGH_WATER_MARK = 64
BATCH = 64
PAUSE_S = 0.005


@dataclass(frozen=True, slots=True)
class Delivery:
    """A result as it came in, and what to acknowledge it by."""

    envelope: Envelope
    message: Message


class Receiver:
    """Pulls results on a thread of `scope` and gives them to `sink` in batches, as they come in.

    sink:         takes a batch, and may block for some seconds; whoever records it calls `acknowledge` later
    publish_ack:  sends the parts of an acknowledgement on the collector's own publisher
    """

    def __init__(
        self,
        scope: Scope,
        sink: Callable[[list[Delivery]], None],
        publish_ack: Callable[[Iterable[bytes]], None],
        *,
        bind_to: Sequence[str] = ("tcp://127.0.0.1:*",),
        limits: Limits = DEFAULT_LIMITS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._sink = sink
        self._publish_ack = publish_ack
        self._limits = limits
        self._clock = clock
        self._counters = Counters()
        self._rarely = Rarely()
        self._scope = scope
        self._sock = open_socket(zmq.PULL, hwm=HIGH_WATER_MARK, limits=limits)
        self.endpoints = tuple(bind(self._sock, endpoint) for endpoint in bind_to)
        self._waker = Waker()
        scope.on_stop(self._waker.wake)
        scope.spawn("receiver", self._run)

    def __repr__(self) -> str:
        return f"<Receiver at {self.endpoint} {dict(self._counters.snapshot())}>"

    @property
    def endpoint(self) -> str:
        """The first address that it listens on."""
        return self.endpoints[0]

    def stats(self) -> dict[str, int]:
        """Results received, and `wire_errors`: messages refused, of which `refused` were acknowledged."""
        return dict(self._counters.snapshot())

    def acknowledge(self, envelopes: Iterable[Envelope]) -> None:
        """Tell the senders that these are recorded. Call it from any thread."""
        numbers: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for envelope in envelopes:
            numbers[envelope.sender, envelope.run].append(envelope.number)
        for (sender, run), acked in numbers.items():
            self._publish_ack(encode_ack(Ack(sender, run, tuple(acked))))

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._sock, zmq.POLLIN)
        poller.register(self._waker.fd, zmq.POLLIN)
        try:
            while not self._scope.stopping.is_set():
                if self._sock in poll(poller, None) and self._receive() < BATCH:
                    # Nobody waits for a single result: several at a time wake half as many threads.
                    self._scope.stopping.wait(PAUSE_S)
        finally:
            self._sock.close(linger=0)
            self._waker.close()

    def _receive(self) -> int:
        """Take in what is there; how many results, a batch at most."""
        batch: list[Delivery] = []
        taken = 0
        while taken < BATCH and (parts := receive(self._sock)) is not None:
            taken += 1
            if (delivery := self._decode(parts)) is not None:
                batch.append(delivery)
        if batch:
            self._counters.add("received", len(batch))
            self._sink(batch)
        return taken

    def _decode(self, parts: list[Buffer]) -> Delivery | None:
        envelope = None
        try:
            envelope = decode_envelope(parts[0])
            message = decode(parts[1:], self._limits, self._clock.wall_ns())
        except WireError as error:
            self._refuse(envelope, error)
            return None
        return Delivery(envelope, message)

    def _refuse(self, envelope: Envelope | None, error: WireError) -> None:
        self._counters.add("wire_errors")
        sender = "a stranger" if envelope is None else envelope.sender
        if (held := self._rarely.ready(self._clock.monotonic())) is not None:
            log.warning("refused a result of %s: %s (%d more like it)", sender, error, held)
        if envelope is not None:
            self._counters.add("refused")
            self.acknowledge([envelope])
