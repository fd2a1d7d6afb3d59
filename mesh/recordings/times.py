"""Times as people write them: `2026-11-30T10:00:00Z`, `-2h`, `now`. Pure: the present is passed in.

Rules kept here: a time without a zone is UTC, as the names of recordings are.
"""

import re
from datetime import UTC, datetime

from mesh.errors import ConfigError

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BEFORE = re.compile(r"-(\d{1,9}(?:\.\d{1,9})?)([smhdw])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time(text: str, now_ns: int) -> int:
    """Nanoseconds since the epoch. Raises `ConfigError`."""
    if text == "now":
        return now_ns
    if before := _BEFORE.fullmatch(text):
        return max(0, now_ns - round(float(before[1]) * _UNITS_S[before[2]] * 1_000_000_000))
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is no time: write 2026-11-30T10:00:00Z, -2h, or now"
        raise ConfigError(message) from error
    since = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH
    return max(0, (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000)
