"""The entries that a session means to have in the registry: what is written, what is not yet, what is lost.

Rules kept here: only the latest value of a key waits to be written; a key that another holder took stays lost
until it is claimed anew; claimed keys are written before all others, and once the first of them is lost, the
name that the session stands under, so are the others. Every method may be called from any thread, and none of
them asks the registry.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

from mesh.registry.base import Value


@dataclass(frozen=True, slots=True)
class Held:
    """A key of a session. `revision` is that of the entry as last written; 0: not under this lease."""

    key: str
    value: Value
    claimed: bool
    revision: int = 0
    dirty: bool = True


class Holdings:
    """A session's keys."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}
        self._withdrawn: set[str] = set()
        self._lost: dict[str, bool] = {}  # and whether the loss has been told
        self._name = ""  # the key that was claimed first

    def __repr__(self) -> str:
        return f"<Holdings {sorted(self._held)} lost={sorted(self._lost)}>"

    def update(self, key: str, value: Value) -> None:
        """Mean to write `value`, unless the key is lost."""
        with self._lock:
            if key in self._lost:
                return
            held = self._held.get(key, Held(key, value, claimed=False))
            self._held[key] = replace(held, value=value, dirty=True)
            self._withdrawn.discard(key)

    def claimed(self, key: str, value: Value, revision: int) -> None:
        """Note that the key was claimed and written."""
        with self._lock:
            self._name = self._name or key
            self._lost.pop(key, None)
            self._withdrawn.discard(key)
            self._held[key] = Held(key, value, True, revision, dirty=False)

    def withdraw(self, key: str) -> None:
        """Mean to remove the key."""
        with self._lock:
            if self._held.pop(key, None) is not None:
                self._withdrawn.add(key)

    def unwritten(self) -> list[Held]:
        with self._lock:
            dirty = [held for held in self._held.values() if held.dirty]
        return sorted(dirty, key=lambda held: not held.claimed)

    def unremoved(self) -> list[str]:
        with self._lock:
            return list(self._withdrawn)

    def written(self, held: Held, revision: int) -> None:
        """Note that `held` was written; it stays unwritten where there is a newer value."""
        with self._lock:
            now = self._held.get(held.key)
            if now is not None:
                self._held[held.key] = replace(now, revision=revision, dirty=now.value is not held.value)

    def removed(self, key: str) -> None:
        with self._lock:
            self._withdrawn.discard(key)

    def unwrite(self) -> None:
        """The lease is gone, and with it every entry: all are to be written again."""
        with self._lock:
            self._withdrawn.clear()
            self._held = {key: replace(held, revision=0, dirty=True) for key, held in self._held.items()}

    def lose(self, key: str) -> None:
        with self._lock:
            self._held.pop(key, None)
            self._lost[key] = False

    def is_lost(self, key: str) -> bool:
        with self._lock:
            return key in self._lost

    @property
    def is_displaced(self) -> bool:
        """Whether another holder has the name that all the other keys were written under."""
        with self._lock:
            return self._name in self._lost

    def is_claimed(self, key: str) -> bool:
        with self._lock:
            return key in self._held and self._held[key].claimed

    def untold(self) -> Iterable[str]:
        """The lost keys that nobody has been told of; now they have."""
        with self._lock:
            keys = [key for key, told in self._lost.items() if not told]
            self._lost.update(dict.fromkeys(keys, True))
            return keys
