"""A node's control socket: it is asked to do something, and answers.

Rules kept here: whatever comes from the network is answered, or counted and refused, and never ends the node;
an operation does not wait for anything: what takes a while is answered later, and a node which does not
answer hangs or is cut off; so many answers are owed at a time, each for so long; nothing is polled for.
"""

import logging
import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import zmq

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.codec import Buffer
from mesh.errors import MeshError, TransportError, WireError
from mesh.later import Answer, ControlRefused, Later
from mesh.registry import Put, Registry
from mesh.registry.records import NodeRecord, NodeState
from mesh.scope import Scope
from mesh.stats import Counters, Rarely
from mesh.transport.sockets import Waker, bind, connect, open_socket, poll, receive, send
from mesh.wire import (
    DEFAULT_LIMITS,
    Limits,
    Reply,
    Request,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)

__all__ = [
    "Answer",
    "ControlRefused",
    "ControlServer",
    "Later",
    "Operation",
    "ask",
    "await_retired",
    "fetch",
]

log = logging.getLogger(__name__)

# From the arguments to a plain value, an `Answer`, or a `Later`; raises `MeshError`.
Operation = Callable[[Mapping[str, Any]], Any]

HIGH_WATER_MARK = 64
LIMITS = Limits(payload=0)  # a message is as long as a header may be
MAX_WHY = 1000  # characters
LINGER_MS = 500  # the answer to a node's last request still goes out
MOST_OWED = HIGH_WATER_MARK // 2  # answers; all of them may go out at the same time
OWED_S = 60.0  # then whoever asked has gone


@dataclass(frozen=True, slots=True)
class _Owed:
    """An answer that is to come: whose it is, and until when."""

    peer: Buffer
    id: int
    later: Later
    until: float


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
        self._owed: dict[int, _Owed] = {}  # by a number of its own
        self._numbers = 0
        self._over: deque[int] = deque()  # those that can be answered now, as other threads say

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
            poll(poller, self._patience())
            self._waker.clear()
            if (parts := receive(self._sock)) is not None:
                self._answer(parts)
            self._answer_late()
        for owed in list(self._owed.values()):
            owed.later.refuse("it is stopping")
        self._answer_late()

    def _patience(self) -> float | None:
        """How many seconds may pass until the next look at what is owed; None while nothing is."""
        if not self._owed:
            return None
        return max(0.0, next(iter(self._owed.values())).until - self._clock.monotonic())

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
            result = self._operation(request.operation)(request.arguments)
        except MeshError as error:
            self._reply(parts[0], _refusal(request.id, error))
            return
        if isinstance(result, Later):
            self._owe(parts[0], request.id, result)
        else:
            self._reply(parts[0], _reply(request.id, result))

    def _owe(self, peer: Buffer, id_: int, later: Later) -> None:
        """Answer once it can be."""
        if len(self._owed) >= MOST_OWED:
            later.refuse(f"{MOST_OWED} others wait for an answer already: ask again later")
        self._numbers += 1
        number, over, wake = self._numbers, self._over, self._waker.wake
        self._owed[number] = _Owed(peer, id_, later, self._clock.monotonic() + OWED_S)

        def tell() -> None:
            over.append(number)
            wake()

        later.then(tell)

    def _answer_late(self) -> None:
        """Answer what can be answered now, and refuse what has been owed for too long."""
        now = self._clock.monotonic()
        for owed in [owed for owed in self._owed.values() if owed.until <= now]:
            owed.later.refuse(f"that took more than {OWED_S:g} s")
        while self._over:
            owed = self._owed.pop(self._over.popleft())
            try:
                self._reply(owed.peer, _reply(owed.id, owed.later.result()))
            except ControlRefused as error:
                self._reply(owed.peer, _refusal(owed.id, error))

    def _reply(self, peer: Buffer, reply: Reply) -> None:
        try:
            parts = encode_reply(reply)
        except MeshError as error:  # an answer that does not fit into a message
            reply = _refusal(reply.id, error)
            parts = encode_reply(reply)
        self._counters.add("control_answered" if reply.ok else "control_refused")
        try:
            send(self._sock, (peer, *parts), zmq.NOBLOCK)
        except zmq.Again:  # who asks and does not listen
            log.debug("an answer was not sent")

    def _operation(self, name: str) -> Operation:
        if name not in self._operations:
            raise ControlRefused(
                f"it has no operation {name!r}: it has {', '.join(sorted(self._operations))}"
            )
        return self._operations[name]


def _reply(id_: int, result: Any) -> Reply:
    answer = result if isinstance(result, Answer) else Answer(result)
    return Reply(id_, True, answer.value, answer.payload)


def _refusal(id_: int, error: MeshError) -> Reply:
    return Reply(id_, False, str(error)[:MAX_WHY])


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

    Raises `ControlRefused` when it refuses, `TransportError` when it does not answer, and `WireError` for
    what is no answer.
    """
    return fetch(node, operation, arguments, here=here, timeout=timeout, limits=LIMITS, clock=clock).value


def fetch(
    node: NodeRecord,
    operation: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    here: str,
    timeout: float,
    limits: Limits = DEFAULT_LIMITS,
    clock: Clock = SYSTEM_CLOCK,
) -> Answer:
    """As `ask`, with the bytes that come with the answer, no more than the limit."""
    endpoint = node.reach("control", here)
    if not endpoint:
        raise ControlRefused(f"node {node.id!r} ({node.kind}) has no control socket")
    id_ = secrets.randbits(62)
    message = encode_request(Request(id_, operation, arguments or {}))
    try:
        reply = _exchange(endpoint, message, id_, limits, clock.monotonic() + timeout, clock)
    except WireError as error:
        raise WireError(f"node {node.id!r} answered what is no answer: {error}") from error
    if reply is None:
        raise TransportError(
            f"node {node.id!r} did not answer within {timeout:g} s: it hangs, or {endpoint} is not reached "
            "from here"
        )
    if not reply.ok:
        raise ControlRefused(f"node {node.id!r} refuses to {operation}: {reply.value}")
    return Answer(reply.value, reply.payload)


def ask_at(endpoint: str, operation: str, *, timeout: float, clock: Clock = SYSTEM_CLOCK) -> Reply | None:
    """The reply of whoever listens at an endpoint; None when it does not come within `timeout` seconds."""
    request = Request(secrets.randbits(62), operation, {})
    deadline = clock.monotonic() + timeout
    return _exchange(endpoint, encode_request(request), request.id, LIMITS, deadline, clock)


def _exchange(
    endpoint: str, message: bytes, id_: int, limits: Limits, deadline: float, clock: Clock
) -> Reply | None:
    """The reply to request `id_`; None when it does not come in time. Raises `WireError` for what is none."""
    with open_socket(zmq.DEALER, hwm=HIGH_WATER_MARK, limits=limits) as sock:
        connect(sock, endpoint)
        send(sock, (message,))  # it waits in the queue until there is a connection
        while (left := deadline - clock.monotonic()) > 0:
            if not sock.poll(1 + int(left * 1000)) or (parts := receive(sock)) is None:
                continue
            reply = decode_reply(parts, limits)
            if reply.id == id_:
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
