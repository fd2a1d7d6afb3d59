import pytest

from mesh.errors import ConfigError
from mesh.recordings.times import parse_time

NOW = 1_796_041_800_000_000_000  # 2026-11-30 12:30:00 UTC


@pytest.mark.parametrize(
    ("text", "seconds_before"),
    [
        ("now", 0),
        ("-90s", 90),
        ("-1.5m", 90),
        ("-2h", 7200),
        ("-1d", 86_400),
        ("-1w", 604_800),
        ("2026-11-30T12:30:00Z", 0),
        ("2026-11-30T13:30:00+01:00", 0),
        ("2026-11-30T12:00", 1800),
        ("2026-11-30", 45_000),
    ],
)
def test_times_that_people_write(text: str, seconds_before: int) -> None:
    assert parse_time(text, NOW) == NOW - seconds_before * 1_000_000_000


@pytest.mark.parametrize("text", ["", "yesterday", "-2", "2h", "-2y", "12:00", "2026-13-01", "NOW"])
def test_what_is_no_time_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match="is no time: write 2026"):
        parse_time(text, NOW)
