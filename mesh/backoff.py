"""How long to wait before something that failed is tried again. Pure: nothing here waits."""

import random


class Backoff:
    """Exponential backoff with full jitter: the n-th wait is between half and all of `first * 2**n`, up to
    `most` seconds.

    Source: M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self, first: float = 0.5, most: float = 30.0, rng: random.Random | None = None) -> None:
        self._first = first
        self._most = most
        self._rng = rng or random.Random()
        self._failures = 0

    def reset(self) -> None:
        """It worked: begin again with short waits."""
        self._failures = 0

    def next(self) -> float:
        """Seconds to wait before the next try."""
        longest = min(self._most, self._first * 2.0**self._failures)
        self._failures = min(self._failures + 1, 30)
        return longest * self._rng.uniform(0.5, 1.0)
