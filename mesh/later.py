"""What an operation gives: a value and perhaps bytes, at once or later.

Rules kept here: an answer is given once, and the first one counts; it may come from any thread; whoever waits
for it is told on the thread that gives it, and only notes that there.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mesh.codec import Buffer
from mesh.errors import MeshError


class ControlRefused(MeshError):
    """The node's: it does not do what it was asked to."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A plain value, and bytes that go with it: a picture."""

    value: Any
    payload: Buffer = b""


class Later:
    """An answer that is not there yet. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outcome: Answer | MeshError | None = None
        self._tell: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<Later {'open' if self._outcome is None else type(self._outcome).__name__}>"

    @property
    def is_over(self) -> bool:
        """Whether it was answered, or refused: nobody waits any more."""
        return self._outcome is not None

    def give(self, value: Any, payload: Buffer = b"") -> bool:
        """Answer; False when that had been done."""
        return self._settle(Answer(value, payload))

    def refuse(self, why: str) -> bool:
        """Say in a line why there is no answer; False when that had been done."""
        return self._settle(ControlRefused(why))

    def then(self, tell: Callable[[], None]) -> None:
        """Call `tell` once it is over; at once if it is."""
        with self._lock:
            if self._outcome is None:
                self._tell = tell
                return
        tell()

    def result(self) -> Answer:
        """The answer, once it `is_over`. Raises `ControlRefused`."""
        if isinstance(self._outcome, Answer):
            return self._outcome
        raise self._outcome or ControlRefused("there is no answer yet")

    def _settle(self, outcome: Answer | MeshError) -> bool:
        with self._lock:
            if self._outcome is not None:
                return False
            self._outcome, tell = outcome, self._tell
        if tell is not None:
            tell()
        return True


def when_all(parts: list[Later], value: Callable[[], Any]) -> Later:
    """What `value` gives once all `parts` are over; where one was refused, that."""
    whole, lock, left = Later(), threading.Lock(), len(parts)

    def one_is_over() -> None:
        nonlocal left
        with lock:
            left -= 1
            if left:
                return
        try:
            for part in parts:
                part.result()
        except ControlRefused as error:
            whole.refuse(str(error))
        else:
            whole.give(value())

    for part in parts:
        part.then(one_is_over)
    if not parts:
        whole.give(value())
    return whole
