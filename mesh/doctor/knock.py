"""Tries to connect to many addresses at once, and lets go again.

Rules kept here: addresses that are silent cost the time once, however many there are; nothing is sent, and
nothing waits for a name server: hosts are given by their addresses.
"""

import errno
import os
import selectors
import socket
from collections import deque
from collections.abc import Callable, Collection
from typing import Any

from mesh.clock import Clock
from mesh.doctor.address import IPC, where

AT_ONCE = 256  # connections that are being tried

NO_ADDRESS = "that is no address"
SILENT = "nothing answers there"


def _nobody(endpoint: str) -> None:
    """Who is told of what is reached, where nobody asked to be."""


def knock(
    endpoints: Collection[str], timeout: float, clock: Clock, reached: Callable[[str], None] = _nobody
) -> dict[str, str]:
    """Try to connect to each `tcp://ADDRESS:PORT` (or `http://…`) and `ipc://@NAME`, all together: why it
    could not be within `timeout` seconds each; empty where it could. `reached` is told of those at once."""
    waiting, found = deque(sorted(set(endpoints))), dict[str, str]()
    with selectors.DefaultSelector() as selector:
        while waiting or selector.get_map():
            while waiting and len(selector.get_map()) < AT_ONCE:
                _begin(waiting.popleft(), selector, clock.monotonic() + timeout, found)
            for key, _ in selector.select(_patience(selector, clock)):
                if not _settle(key, selector, found):
                    reached(key.data[0])
            _give_up(selector, clock.monotonic(), found)
    return found


def _begin(endpoint: str, selector: selectors.BaseSelector, deadline: float, found: dict[str, str]) -> None:
    family, address = _socket_address(endpoint)
    if family is None:
        found[endpoint] = NO_ADDRESS
        return
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    code = sock.connect_ex(address)
    if code in (0, errno.EINPROGRESS):
        selector.register(sock, selectors.EVENT_WRITE, (endpoint, deadline))
        return
    sock.close()
    found[endpoint] = _reason(code)


def _socket_address(endpoint: str) -> tuple[int | None, Any]:
    if endpoint.startswith(IPC):
        return socket.AF_UNIX, "\0" + endpoint.removeprefix(IPC)
    place = where(endpoint)
    if place is None:
        return None, None
    return (socket.AF_INET6 if ":" in place.host else socket.AF_INET), (place.host, place.port)


def _settle(key: selectors.SelectorKey, selector: selectors.BaseSelector, found: dict[str, str]) -> int:
    sock, (endpoint, _) = key.fileobj, key.data
    assert isinstance(sock, socket.socket)
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    found[endpoint] = _reason(code) if code else ""
    selector.unregister(sock)
    sock.close()
    return code


def _give_up(selector: selectors.BaseSelector, now: float, found: dict[str, str]) -> None:
    for key in list(selector.get_map().values()):
        endpoint, deadline = key.data
        if now >= deadline:
            assert isinstance(key.fileobj, socket.socket)
            found[endpoint] = SILENT
            selector.unregister(key.fileobj)
            key.fileobj.close()


def _patience(selector: selectors.BaseSelector, clock: Clock) -> float:
    deadlines = (key.data[1] for key in selector.get_map().values())
    return max(0.0, min(deadlines, default=0.0) - clock.monotonic())


def _reason(code: int) -> str:
    if code == errno.ECONNREFUSED:
        return "nobody listens there"
    return os.strerror(code).lower()
