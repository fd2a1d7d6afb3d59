"""Which network host a process is on, and what reaches it there without TCP.

Rules kept here: two processes are at the same place when abstract Unix sockets reach from one to the other,
which on Linux is per boot and network namespace, so two containers are two places; elsewhere there is no
place, and everybody is reached by TCP. An abstract socket leaves no file behind.
"""

import os
import secrets
import sys
from functools import cache
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
NETWORK = Path("/proc/self/ns/net")


@cache
def this_place() -> str:
    """`BOOT/NAMESPACE` of this process; empty where abstract sockets do not exist or /proc is hidden."""
    if sys.platform != "linux":
        return ""
    try:
        return f"{BOOT_ID.read_text().strip()}/{os.stat(NETWORK).st_ino}"
    except OSError:
        return ""


def machine(place: str) -> str:
    """The machine of a place, whose processes share one wall clock; empty where that is not known."""
    return place.partition("/")[0]


def local_endpoints() -> tuple[str, ...]:
    """A new endpoint to bind for peers at this place, or none where there is no place."""
    return (f"ipc://@framemesh-{secrets.token_hex(8)}",) if this_place() else ()


def nearest(far: str, local: str, place: str, here: str) -> str:
    """The endpoint to connect to from `here`: the `local` one where the peer is at the same `place`."""
    return local if local and place and place == here else far
