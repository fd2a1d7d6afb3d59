"""Connecting again where ZeroMQ does not.

A socket that connected makes its connection again when the peer goes away. But when the peer broke the
protocol (a message over `ZMQ_MAXMSGSIZE` does), libzmq gives the connection up for good: `session_base_t`
ends on `protocol_error`. So the socket's monitor is watched: an endpoint that was lost, and that libzmq does
not try again within a second, is connected anew from here.

An endpoint that was given by a host's name is told of by that name or by an address, as libzmq likes: it is
known again by its port.

What a monitor sends is read here, as zmq_socket_monitor(3) has it: pyzmq's own reader brings asyncio and ssl
with it, 25 to 50 ms at the start of every process.
"""

import contextlib
import ipaddress
import struct

import zmq

from mesh.transport.sockets import SyncSocket, connect

PATIENCE_S = 1.0
_EVENT = struct.Struct("=hi")  # an event, and its value; the endpoint follows in a part of its own
_TRYING = zmq.EVENT_CONNECTED | zmq.EVENT_CONNECT_DELAYED | zmq.EVENT_CONNECT_RETRIED


class Reconnector:
    """Watches one socket; used by the thread that owns it."""

    def __init__(self, sock: SyncSocket) -> None:
        self._sock = sock
        self._lost: dict[str, float] = {}
        self.monitor: SyncSocket = sock.get_monitor_socket(_TRYING | zmq.EVENT_DISCONNECTED)

    def hear(self, now: float, wanted: set[str]) -> None:
        """Read what the monitor says of the `wanted` endpoints. Call it when `monitor` is readable."""
        while int(self.monitor.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            about, told = self.monitor.recv_multipart(zmq.NOBLOCK)
            event, _ = _EVENT.unpack(about)
            for endpoint in meant(told.decode(), wanted):
                if event == zmq.EVENT_DISCONNECTED:
                    self._lost[endpoint] = now + PATIENCE_S
                else:
                    self._lost.pop(endpoint, None)

    def wait_s(self, now: float) -> float | None:
        """Seconds until `act` has something to do; None when nothing is lost."""
        return max(0.0, min(self._lost.values()) - now) if self._lost else None

    def act(self, now: float, wanted: set[str]) -> int:
        """Connect anew to those of the `wanted` endpoints that were given up; how many."""
        if not self._lost:
            return 0
        due = [endpoint for endpoint, at in self._lost.items() if at <= now]
        for endpoint in due:
            del self._lost[endpoint]
            if endpoint in wanted:
                with contextlib.suppress(zmq.ZMQError):  # libzmq has forgotten it, or not quite
                    self._sock.disconnect(endpoint)
                connect(self._sock, endpoint)
        return len(due)

    def close(self) -> None:
        self._sock.disable_monitor()
        self.monitor.close(linger=0)


def meant(told: str, wanted: set[str]) -> set[str]:
    """Which of the `wanted` endpoints an event tells of."""
    if told in wanted:
        return {told}
    port = told.rpartition(":")[2]
    return {endpoint for endpoint in wanted if endpoint.rpartition(":")[2] == port and _is_named(endpoint)}


def _is_named(endpoint: str) -> bool:
    """Whether an endpoint names a host, where others give its address."""
    host = endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return endpoint.startswith("tcp://")
    return False
