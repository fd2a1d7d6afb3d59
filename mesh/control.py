"""A node's control socket: it is asked to do something, and answers.

Rules kept here: whatever comes from the network is answered, or counted and refused, and never ends the node;
an operation does not wait for anything, so that a node which does not answer hangs or is cut off; nothing is
polled for.
"""

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import zmq

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.codec import Buffer
from mesh.errors import MeshError, TransportError, WireError
from mesh.registry import Put, Registry
from mesh.registry.records import NodeRecord, NodeState
from mesh.scope import Scope
from mesh.stats import Counters, Rarely
from mesh.transport.sockets import Waker, bind, connect, open_socket, poll, receive, send
from mesh.wire import (
    Limits,
    Reply,
    Request,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)

log = logging.getLogger(__name__)

Operation = Callable[[Mapping[str, Any]], Any]  # from the arguments to a plain value; raises `MeshError`

HIGH_WATER_MARK = 64
LIMITS = Limits(payload=0)  # a message is as long as a header may be
MAX_WHY = 1000  # characters
LINGER_MS = 500  # the answer to a node's last request still goes out


class ControlRefused(MeshError):
    """The node's: it does not do what it was asked to."""


class ControlServer:
    """Answers requests for `operations`, by name. It listens from the start, and answers once it runs."""

    def __init__(
        self,
        operations: Mapping[str, Operation],
        bind_to: Sequence[str] = ("tcp://127.0.0.1:*",),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._operations = operations
        self._clock = clock
        self._counters = Counters()
        self._rarely = Rarely()
        self._sock = open_socket(zmq.ROUTER, hwm=HIGH_WATER_MARK, limits=LIMITS)
        self.endpoints = tuple(bind(self._sock, endpoint) for endpoint in bind_to)
        self._waker = Waker()

    def __repr__(self) -> str:
        return f"<ControlServer at {self.endpoints[0]} {sorted(self._operations)} {self.stats()}>"

    def run_in(self, scope: Scope) -> None:
        """Answer on a thread of `scope`, until that stops."""
        scope.on_stop(self._waker.wake)
        scope.spawn("control", self._run, scope)

    def stats(self) -> dict[str, int]:
        """Requests `control_answered`; `control_refused`, with an answer that says why; and messages that
        are none: `control_errors`."""
        return dict(self._counters.snapshot())

    def close(self) -> None:
        """Let go of the socket. The scope's threads have ended."""
        self._sock.close(linger=LINGER_MS)
        self._waker.close()

    def _run(self, scope: Scope) -> None:
        poller = zmq.Poller()
        poller.register(self._sock, zmq.POLLIN)
        poller.register(self._waker.fd, zmq.POLLIN)
        while not scope.stopping.is_set():
            poll(poller, None)
            if (parts := receive(self._sock)) is not None:
                self._answer(parts)

    def _answer(self, parts: Sequence[Buffer]) -> None:
        try:
            if len(parts) != 2:
                raise WireError("a request has one part")
            request = decode_request(parts[1])
        except WireError as error:
            self._counters.add("control_errors")
            if (held := self._rarely.ready(self._clock.monotonic())) is not None:
                log.warning("refused a request: %s (%d more like it)", error, held)
            return
        try:
            send(self._sock, (parts[0], self._perform(request)), zmq.NOBLOCK)
        except zmq.Again:  # who asks and does not listen
            log.debug("an answer was not sent")

    def _perform(self, request: Request) -> bytes:
        """Do what is asked; the reply."""
        try:
            value = self._operation(request.operation)(request.arguments)
            reply = encode_reply(Reply(request.id, True, value))
        except MeshError as error:  # an answer that does not fit into a message, too
            self._counters.add("control_refused")
            return encode_reply(Reply(request.id, False, str(error)[:MAX_WHY]))
        self._counters.add("control_answered")
        return reply

    def _operation(self, name: str) -> Operation:
        if name not in self._operations:
            raise ControlRefused(
                f"it has no operation {name!r}: it has {', '.join(sorted(self._operations))}"
            )
        return self._operations[name]


def ask(
    node: NodeRecord,
    operation: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    here: str,
    timeout: float,
    clock: Clock = SYSTEM_CLOCK,
) -> Any:
    """What a node, asked from the place `here`, answers within `timeout` seconds.

    Raises `ControlRefused` when it refuses, and `TransportError` when it does not answer.
    """
    endpoint = node.reach("control", here)
    if not endpoint:
        raise ControlRefused(f"node {node.id!r} ({node.kind}) has no control socket")
    request = Request(secrets.randbits(62), operation, arguments or {})
    reply = _exchange(endpoint, request, clock.monotonic() + timeout, clock)
    if reply is None:
        raise TransportError(
            f"node {node.id!r} did not answer within {timeout:g} s: it hangs, or {endpoint} is not reached "
            "from here"
        )
    if not reply.ok:
        raise ControlRefused(f"node {node.id!r} refuses to {operation}: {reply.value}")
    return reply.value


def ask_at(endpoint: str, operation: str, *, timeout: float, clock: Clock = SYSTEM_CLOCK) -> Reply | None:
    """The reply of whoever listens at an endpoint; None when it does not come within `timeout` seconds."""
    request = Request(secrets.randbits(62), operation, {})
    return _exchange(endpoint, request, clock.monotonic() + timeout, clock)


def _exchange(endpoint: str, request: Request, deadline: float, clock: Clock) -> Reply | None:
    """The reply to a request; None when it does not come in time. Raises `WireError` for what is none."""
    with open_socket(zmq.DEALER, hwm=HIGH_WATER_MARK, limits=LIMITS) as sock:
        connect(sock, endpoint)
        send(sock, (encode_request(request),))  # it waits in the queue until there is a connection
        while (left := deadline - clock.monotonic()) > 0:
            if not sock.poll(1 + int(left * 1000)) or (parts := receive(sock)) is None:
                continue
            reply = decode_reply(parts[-1])
            if reply.id == request.id:
                return reply
    return None


def await_retired(registry: Registry, node: NodeRecord, timeout: float, clock: Clock = SYSTEM_CLOCK) -> bool:
    """Whether the registry is told within `timeout` seconds that a node has ended, or runs anew."""
    deadline = clock.monotonic() + timeout
    with registry.watch(node.key) as watch:
        while (left := deadline - clock.monotonic()) > 0:
            event = watch.get(left)
            if isinstance(event, Put) and event.entry.key == node.key:
                now = NodeRecord.of(event.entry)
                if now.state is NodeState.ENDED or now.started_ns != node.started_ns:
                    return True
    return False
