"""`tcp://HOST:PORT[/COLLECTOR]`: to the collectors of another site, found and followed by its registry.

Rules kept here: delivery is that of results (`mesh.delivery.Sender`): numbered, acknowledged once it is safe
there, sent again until then, told apart by identity there; what waits is in a bounded window; a node never
forwards to itself. What cannot be put into a message would never get there: it is refused for good.
"""

import logging
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.collectors import collectors_of
from mesh.delivery import Sender
from mesh.errors import MeshError, RegistryError, WireError
from mesh.follow import follow
from mesh.frame import Frame
from mesh.registry import Entry, open_registry
from mesh.registry.records import NodeRecord
from mesh.scope import Scope
from mesh.stats import Counters, Rarely
from nodes.collect.forwarding.address import Address
from nodes.collect.forwarding.carrier import Done

log = logging.getLogger(__name__)

WINDOW_BYTES = 32 * 1024 * 1024  # on its way; a link of 100 MB/s that takes 0.3 s to acknowledge is full
WINDOW_FRAMES = 2048
GONE_S = 2.0  # after that another collector gets what one was to have
SILENT_S = 10.0  # without an acknowledgement, while something is on its way


class CollectorCarrier:
    """Delivers to the collectors that a registry lists, or to the one that `address` names.

    own:  the node that this is part of
    """

    def __init__(
        self, scope: Scope, address: Address, done: Done, clock: Clock = SYSTEM_CLOCK, *, own: NodeRecord
    ) -> None:
        self._url = str(replace(address, path=""))
        self._name, self._own = address.path.strip("/"), own
        self._done, self._clock = done, clock
        self._lock = threading.Lock()
        self._numbers: dict[int, int] = {}  # ours, by the sender's
        self._heard_at = clock.monotonic()
        self._listed: tuple[str, ...] | None = None  # None: the registry has not told yet
        self._lists_own = False
        self._counters = Counters()
        self._rarely = Rarely()
        self._registry = open_registry(self._url, clock=clock)
        scope.on_stop(self._close_registry)
        self._sender = Sender(
            scope,
            own.id,
            max_bytes=WINDOW_BYTES,
            max_results=WINDOW_FRAMES,
            on_delivered=self._delivered,
            clock=clock,
        )
        follow(scope, self._registry, "nodes/", self._meet, gone_s=GONE_S, clock=clock)

    def __repr__(self) -> str:
        return f"<CollectorCarrier {self._url} to {self._listed} {self._sender!r}>"

    def offer(self, number: int, frame: Frame) -> bool:
        """Take a frame on; False while the window is full, or nobody is known to deliver to."""
        if not self._listed:
            return False
        with self._lock:
            try:
                sent = self._sender.offer_if_room(frame)
            except WireError as error:
                self._refuse(frame, error)
            else:
                if sent is None:
                    return False
                if not self._numbers:
                    self._heard_at = self._clock.monotonic()
                self._numbers[sent] = number
                return True
        self._done([number])
        return True

    @property
    def why(self) -> str:
        listed = self._listed
        if listed is None:
            return f"no registry answers at {self._url}"
        if not listed:
            whom = f"collector {self._name}" if self._name else "collector"
            return f"the registry at {self._url} lists no {whom}{' but this one' * self._lists_own}"
        if self._numbers and self._clock.monotonic() - self._heard_at >= SILENT_S:
            return f"no answer from collector {', '.join(listed)} at {self._url}"
        return ""

    def stats(self) -> dict[str, int]:
        return {**self._sender.stats(), **self._counters.snapshot()}

    def _meet(self, entries: Mapping[str, Entry]) -> None:
        others = [entry for entry in entries.values() if not self._is_own(entry)]
        found = [each for each in collectors_of(others) if self._name in ("", each.node)]
        self._lists_own = len(others) < len(entries)
        self._listed = tuple(sorted(each.node for each in found))
        self._sender.set_collectors(found)
        self._done(())  # there may be room now

    def _is_own(self, entry: Entry) -> bool:
        """Whether that is this node itself, and not one of its name elsewhere."""
        with suppress(RegistryError):
            return _life(NodeRecord.of(entry)) == _life(self._own)
        return False

    def _delivered(self, numbers: Iterable[int]) -> None:
        with self._lock:
            self._heard_at = self._clock.monotonic()
            ours = [self._numbers.pop(number) for number in numbers]
        self._done(ours)

    def _refuse(self, frame: Frame, error: MeshError) -> None:
        self._counters.add("forward_refused")
        if (held := self._rarely.ready(self._clock.monotonic())) is not None:
            log.warning("not forwarded: %r: %s (%d more like it)", frame, error, held)

    def _close_registry(self) -> None:
        try:
            self._registry.close()
        except MeshError as error:  # what ended its watches: said, and no reason not to stop
            log.error("%s: %s", self._url, error)


def _life(node: NodeRecord) -> tuple[str, str, int, int]:
    """What two nodes never have in common."""
    return node.id, node.host, node.pid, node.started_ns
