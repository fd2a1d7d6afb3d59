"""Ports for programs that have to be told one.

Rules kept here: two neighbours at a time, as a registry takes the next one, too; below those that systems
hand out by themselves (RFC 6335: 49152 and up; Linux: 32768 and up), so that no connection takes one before
it is used; and no other program that asks here is given the same one meanwhile: a name that lives as long as
this process, or until it has asked for many more, marks what was given away (Linux's abstract names of
sockets, which leave no file and belong to a network namespace, as ports do).
"""

import contextlib
import os
import random
import socket
import sys
from collections import deque

FIRST, LAST = 20_000, 32_000
MARKED = 64  # ports whose marks are kept: those asked for earlier are in use by now, or will not be

_chance = random.SystemRandom()  # not what a program may have seeded
_marks: deque[int] = deque()  # open files


def free_port() -> int:
    """A TCP port of loopback that was free a moment ago, together with the next one."""
    while True:
        port = _chance.randrange(FIRST, LAST, 2)
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as next_one:
            one.bind(("127.0.0.1", port))
            next_one.bind(("127.0.0.1", port + 1))
            _mark(port)
            return port


def _mark(port: int) -> None:
    """Raises `OSError` where another program, or this one, has marked that port."""
    if sys.platform != "linux":
        return
    with socket.socket(socket.AF_UNIX) as mark:
        mark.bind(f"\0mesh-port-{port}")
        _marks.append(mark.detach())
    while len(_marks) > MARKED:
        os.close(_marks.popleft())
