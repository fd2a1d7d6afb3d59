"""Whether a key that somebody holds may be taken. Pure, but for the question whether a process lives.

Rules kept here: a record that says "ended" or "failed" is free; one whose holder is a living process of this
host is refused at once, because waiting would not help; any other holder may be gone: its lease will tell.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from mesh.registry.base import Value

OVER = frozenset(("ended", "failed"))


class Verdict(Enum):
    TAKE = "take"
    WAIT = "wait"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Here:
    """This process, and how it knows whether another one of its host lives."""

    host: str
    pid: int
    lives: Callable[[int], bool]


def judge(holder: Value, here: Here) -> Verdict:
    """What to do about a key whose value is `holder`."""
    if holder.get("state") in OVER:
        return Verdict.TAKE
    pid = holder.get("pid")
    if holder.get("host") != here.host or not isinstance(pid, int) or pid in (0, here.pid):
        return Verdict.WAIT
    return Verdict.REFUSE if here.lives(pid) else Verdict.WAIT


def describe(holder: Value) -> str:
    """Who holds a key, for a message: as much as the record tells."""
    name = holder.get("id") or holder.get("node") or "another node"
    where = f" on {holder['host']}" if holder.get("host") else ""
    return f"{name}{where}" + (f" (process {holder['pid']})" if holder.get("pid") else "")


def process_lives(pid: int) -> bool:
    """Whether this host has a process `pid`."""
    if not 0 < pid < 2**31:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
