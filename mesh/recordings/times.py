"""When: what a person types for a time, as nanoseconds since the epoch, and back. Pure.

Rules kept here: times are UTC unless they say otherwise, as the names of recorded files are: devices of one
site may stand in several zones, and an hour of local time comes twice a year. What is shown says `Z`, and is
read again as it was shown. A day stands for its beginning.
"""

import re
from datetime import UTC, date, datetime, time, timedelta

from mesh.errors import ConfigError
from mesh.recordings.query import FAR_NS

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
UNITS = {"w": 7 * 86_400, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
FORMS = (
    "now, today, yesterday, -2h, -1h30m, 10:00, 2026-11-30 or 2026-11-30T10:00[:00][+01:00] (UTC if not said)"
)

_AGO = re.compile(r"-(?:\d+(?:\.\d+)?[wdhms])+\Z")
_PART = re.compile(r"(\d+(?:\.\d+)?)([wdhms])")
_CLOCK = re.compile(r"\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?Z?\Z")
_NANOSECONDS = re.compile(r"\d{16,19}\Z")
_FRACTION = re.compile(r"(:\d\d)\.(\d{1,9})")


def parse_time(text: str, now_ns: int) -> int:
    """Nanoseconds since the epoch for a time as people write it; `FORMS` lists how. `now_ns` is the present.

    Raises `ConfigError`.
    """
    said = text.strip()
    now = datetime.fromtimestamp(now_ns // SECOND_NS, UTC)
    if said == "now":
        return now_ns
    if said in ("today", "yesterday"):
        return _midnight(now.date() - timedelta(days=said == "yesterday"))
    if _NANOSECONDS.match(said):
        return int(said)
    try:
        if _AGO.match(said):
            ago = sum(round(float(n) * UNITS[unit] * SECOND_NS) for n, unit in _PART.findall(said))
            return max(0, now_ns - ago)
        clock = f"0{said}" if said[1:2] == ":" else said
        return max(0, _absolute(f"{now:%Y-%m-%d}T{clock}" if _CLOCK.match(said) else said))
    except (ValueError, OverflowError):
        raise ConfigError(f"{text!r} is no time: use {FORMS}") from None


def parse_range(begin: str | None, end: str | None, now_ns: int) -> tuple[int, int]:
    """From when, and until when: what is not given is open. Raises `ConfigError`."""
    from_ns = parse_time(begin, now_ns) if begin is not None else 0
    to_ns = min(parse_time(end, now_ns), FAR_NS) if end is not None else FAR_NS
    if from_ns >= to_ns:
        raise ConfigError(
            f"{begin or 'the beginning'} is not before {end or 'the end'}: nothing lies between"
        )
    return from_ns, to_ns


def show_time(at_ns: int) -> str:
    """A time as a person and `parse_time` read it: `2026-11-30T10:00:00.123Z`, whole milliseconds."""
    at = datetime.fromtimestamp(at_ns // SECOND_NS, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ns // 1_000_000 % 1000:03}Z"


def show_length(ns: int) -> str:
    """How long something took, for people: 3.2 s, 12 min, 5 h, 40 days."""
    seconds = ns / SECOND_NS
    for unit, name in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.1f} s"


def day_of(at_ns: int) -> int:
    """When the day of a time begins."""
    return at_ns - at_ns % DAY_NS


def show_day(at_ns: int) -> str:
    """`2026-11-30`."""
    return f"{datetime.fromtimestamp(at_ns // SECOND_NS, UTC):%Y-%m-%d}"


def _absolute(said: str) -> int:
    """Raises `ValueError`."""
    if len(said) == len("2026-11-30"):
        return _midnight(date.fromisoformat(said))
    fraction = _FRACTION.search(said)
    at = datetime.fromisoformat(_FRACTION.sub(r"\1", said).replace("z", "Z"))
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return round(aware.timestamp()) * SECOND_NS + (int(fraction[2].ljust(9, "0")) if fraction else 0)


def _midnight(day: date) -> int:
    return round(datetime.combine(day, time(), UTC).timestamp()) * SECOND_NS
