"""All that a collector forwards: a forwarder for each destination, and which carrier takes what where.

Rules kept here: destinations know nothing of one another: one that is away holds up neither another nor what
is recorded; what cannot be is said before anything is recorded.
"""

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ConfigError, StorageError
from mesh.recordings.index import SegmentRow
from mesh.registry.records import ForwardCount, NodeRecord
from mesh.scope import Scope
from nodes.collect.forwarding.address import Address, since_ns, without_from
from nodes.collect.forwarding.collectors import CollectorCarrier
from nodes.collect.forwarding.cursor import waiting_everywhere
from nodes.collect.forwarding.forwarder import Forwarder, Made
from nodes.collect.forwarding.mqtt import MqttCarrier
from nodes.collect.forwarding.webhook import WebhookCarrier

log = logging.getLogger(__name__)


class Forwarding:
    """Forwards what is recorded in `into` to each of `addresses`, until `close`.

    own, registry:  the node that this is part of, and the URL of the registry that it stands in
    changed:        is called from any thread when `held_up` has changed

    Raises `StorageError`, and `ConfigError` for a destination that cannot be. What was recorded before this
    is made is told apart from what comes then.
    """

    def __init__(
        self,
        into: Path,
        addresses: Iterable[Address],
        own: NodeRecord,
        registry: str,
        scope: Scope | None = None,
        clock: Clock = SYSTEM_CLOCK,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._forwarders: list[Forwarder] = []
        makers = carriers(own, registry)
        try:
            for address in addresses:
                since, make = since_ns(address, clock.wall_ns()), makers[address.scheme]
                made = Forwarder(into, without_from(address), since, make, scope, clock, changed)
                self._forwarders.append(made)
        except BaseException:
            self.close()
            raise
        _tell_of_those_left_out(into, {str(forwarder.address) for forwarder in self._forwarders})

    def __repr__(self) -> str:
        return f"<Forwarding {self._forwarders}>"

    def recorded(self, rows: Iterable[SegmentRow]) -> None:
        """These files are in the index with so many frames."""
        rows = list(rows)
        for forwarder in self._forwarders:
            forwarder.recorded(rows)

    def removed(self, paths: Iterable[str]) -> None:
        """These files are not kept any more."""
        paths = list(paths)
        for forwarder in self._forwarders:
            forwarder.removed(paths)

    def counts(self) -> tuple[ForwardCount, ...]:
        return tuple(forwarder.count() for forwarder in self._forwarders)

    @property
    def held_up(self) -> str:
        """Which destinations nothing gets through to, and why; empty where there is none."""
        held = ((str(each.address), each.held_up) for each in self._forwarders)
        return "; ".join(why if to.rstrip("/") in why else f"{to}: {why}" for to, why in held if why)

    def counters(self) -> dict[str, int]:
        """What belongs to no destination alone."""
        lost = sum(forwarder.lost_cursor for forwarder in self._forwarders)
        return {"forward_begun_anew": lost} if lost else {}

    def status(self) -> list[dict[str, Any]]:
        """How each destination is, for a person."""
        now_ns = self._clock.wall_ns()
        return [_told(count, now_ns) for count in self.counts()]

    def drain(self, timeout: float, rush: threading.Event) -> None:
        """Go on until all is forwarded, `timeout` seconds at most and not when `rush` is set or a destination
        is not reached; then stop. What is left waits for the next start."""
        deadline = self._clock.monotonic() + timeout
        for forwarder in self._forwarders:
            if not forwarder.drain(deadline - self._clock.monotonic(), rush):
                log.warning("not all was forwarded to %s: the rest goes at the next start", forwarder.address)
        for forwarder in self._forwarders:
            forwarder.stop()

    def close(self) -> None:
        for forwarder in self._forwarders:
            forwarder.close()


def carriers(own: NodeRecord, registry: str) -> Mapping[str, Made]:
    """What makes the carrier of a destination, by its scheme."""
    to_collectors = partial(_to_collectors, own, registry)
    return {
        "tcp": to_collectors,
        "mqtt": MqttCarrier,
        "mqtts": MqttCarrier,
        "http": WebhookCarrier,
        "https": WebhookCarrier,
    }


def _to_collectors(
    own: NodeRecord, registry: str, scope: Scope, address: Address, done: Any, clock: Clock
) -> CollectorCarrier:
    site, _, name = str(address).removeprefix("tcp://").partition("/")
    if f"tcp://{site}" == registry and name in ("", own.id):
        raise ConfigError(
            f"--forward {address}: that is where this node itself is: name the registry of the other site, "
            f"or another collector of this one as {registry}/NAME"
        )
    return CollectorCarrier(scope, address, done, clock, own=own)


def _tell_of_those_left_out(into: Path, given: Collection[str]) -> None:
    """What waits for a destination that is not given any more goes nowhere, also where that is only called
    otherwise now. Whoever cannot tell records all the same."""
    try:
        waiting = waiting_everywhere(into)
    except StorageError as error:
        log.warning("nobody knows what waits for destinations that are not given any more: %s", error)
        return
    for name, frames in waiting.items():
        if name not in given:
            log.warning(
                "%d frames wait for %s, to which nothing is forwarded any more; where that has another "
                "URL now, add ?from=TIME to it for its first start",
                frames,
                name,
            )


def _told(count: ForwardCount, now_ns: int) -> dict[str, Any]:
    told: dict[str, Any] = {"to": count.to, "forwarded": count.forwarded, "waiting": count.waiting}
    told |= {cause: n for cause, n in count.dropped.items() if n}
    if count.why:
        told["why"] = count.why
        if count.since_ns:
            told["since_s"] = round(max(0, now_ns - count.since_ns) / 1e9)
    return told
