"""Ports for programs that have to be told one.

Rules kept here: two neighbours at a time, as a registry takes the next one, too; below those that systems
hand out by themselves (RFC 6335: 49152 and up; Linux: 32768 and up), so that no connection takes one before
it is used.
"""

import contextlib
import random
import socket

FIRST, LAST = 20_000, 32_000

_chance = random.SystemRandom()  # not what a program may have seeded


def free_port() -> int:
    """A TCP port of loopback that was free a moment ago, together with the next one."""
    while True:
        port = _chance.randrange(FIRST, LAST, 2)
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as next_one:
            one.bind(("127.0.0.1", port))
            next_one.bind(("127.0.0.1", port + 1))
            return port
