"""Which streams the disk refuses, and when to try again. Pure: time is an argument."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_S = 0.25
MOST_S = 5.0
STALE_S = 60.0


@dataclass(frozen=True, slots=True)
class _Case:
    why: str
    again_at: float
    pause_s: float


class Trouble(Generic[K]):
    """Cases by key. Each is tried again after a pause that doubles, from a quarter of a second to five."""

    def __init__(self) -> None:
        self._cases: dict[K, _Case] = {}

    def __bool__(self) -> bool:
        return bool(self._cases)

    def __repr__(self) -> str:
        return f"<Trouble {sorted(map(str, self._cases))}>"

    @property
    def why(self) -> str:
        """What the first case says; empty where there is none."""
        return next((case.why for case in self._cases.values()), "")

    def failed(self, key: K, why: str, now: float) -> None:
        """It went wrong, perhaps again."""
        before = self._cases.get(key)
        pause = min(2 * before.pause_s, MOST_S) if before else FIRST_S
        self._cases[key] = _Case(why, now + pause, pause)

    def trying(self, key: K, now: float) -> None:
        """It is being tried again: not once more for a pause, unless it is known what came of it."""
        if (case := self._cases.get(key)) is not None:
            self._cases[key] = _Case(case.why, now + case.pause_s, case.pause_s)

    def worked(self, key: K) -> None:
        self._cases.pop(key, None)

    def has(self, key: K) -> bool:
        return key in self._cases

    def must_wait(self, key: K, now: float) -> bool:
        """Whether it is too early to try again."""
        case = self._cases.get(key)
        return case is not None and now < case.again_at

    def due(self, now: float) -> list[K]:
        """What is to be tried again now."""
        return [key for key, case in self._cases.items() if now >= case.again_at]

    def is_stale(self, key: K, now: float) -> bool:
        """Whether nobody has tried again for a minute, because nothing came."""
        case = self._cases.get(key)
        return case is not None and now >= case.again_at + STALE_S
