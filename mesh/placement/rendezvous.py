"""The plain form: one key, members that are all alike, no bound."""

import hashlib
from collections.abc import Iterable


def rendezvous(key: str, members: Iterable[str]) -> str | None:
    """The member that `key` belongs to, by highest random weight; None when there are no members.

    When a member leaves, only its own keys move; when one joins, it takes keys from each of the others alike.
    Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998.
    """
    return max(members, key=lambda member: (_weight(key, member), member), default=None)


def _weight(key: str, member: str) -> bytes:
    return hashlib.blake2b(f"{key}\0{member}".encode(), digest_size=8).digest()
