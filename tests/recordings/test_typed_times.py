"""Times as people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import ConfigError
from mesh.recordings.times import day_of, parse_range, parse_time, show_day, show_length, show_time

SECOND = 1_000_000_000
NOW = 1_792_065_600 * SECOND + 123_456_789  # 2026-10-15 12:00:00.123456789 UTC
MIDNIGHT = 1_792_022_400 * SECOND


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("now", NOW),
        ("today", MIDNIGHT),
        ("yesterday", MIDNIGHT - 86_400 * SECOND),
        ("-2h", NOW - 7_200 * SECOND),
        ("-30m", NOW - 1_800 * SECOND),
        ("-1d", NOW - 86_400 * SECOND),
        ("-1w", NOW - 7 * 86_400 * SECOND),
        ("-1h30m", NOW - 5_400 * SECOND),
        ("-0.5s", NOW - SECOND // 2),
        ("10:00", MIDNIGHT + 36_000 * SECOND),
        ("9:05", MIDNIGHT + 32_700 * SECOND),
        ("9:05:07.5", MIDNIGHT + 32_707 * SECOND + SECOND // 2),
        ("10:00Z", MIDNIGHT + 36_000 * SECOND),
        ("2026-10-15", MIDNIGHT),
        ("2026-10-15T10:00", MIDNIGHT + 36_000 * SECOND),
        ("2026-10-15 10:00", MIDNIGHT + 36_000 * SECOND),
        ("2026-10-15T10:00:00Z", MIDNIGHT + 36_000 * SECOND),
        ("2026-10-15T10:00:00+02:00", MIDNIGHT + 28_800 * SECOND),
        ("2026-10-14T23:00-01:00", MIDNIGHT),
        ("2026-10-15T10:00:00.000000001Z", MIDNIGHT + 36_000 * SECOND + 1),
        (str(NOW), NOW),
    ],
)
def test_a_time_is_understood_in_utc(text: str, ns: int) -> None:
    assert parse_time(text, NOW) == ns


@pytest.mark.parametrize(
    "text",
    ["", "noon", "-2", "2h", "-2y", "-", "25:00", "2026-13-01", "2026-02-30T10:00", "1792000000", "-9e9d"],
)
def test_what_is_no_time_is_said_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(ConfigError, match="is no time: use now, today, yesterday, -2h"):
        parse_time(text, NOW)


def test_a_range_is_open_where_nothing_is_given_and_never_turned_round() -> None:
    assert parse_range(None, None, NOW) == (0, (1 << 63) - 1)
    assert parse_range("-2h", "now", NOW) == (NOW - 7_200 * SECOND, NOW)
    assert parse_range("now", "9999-12-31", NOW) == (NOW, (1 << 63) - 1), "what an index can be asked for"
    with pytest.raises(ConfigError, match=r"now is not before -2h: nothing lies between"):
        parse_range("now", "-2h", NOW)


@given(st.integers(min_value=0, max_value=4_000_000_000_000))
def test_what_is_shown_is_read_again(millis: int) -> None:
    at_ns = millis * 1_000_000
    assert parse_time(show_time(at_ns), NOW) == at_ns
    assert parse_time(show_day(at_ns), NOW) == day_of(at_ns)


def test_a_length_is_shown_in_the_unit_of_which_there_are_two() -> None:
    seconds = (0, 1.04, 119.94, 120, 7199, 7200, 172_799, 172_800, 1e8)
    shown = ["0.0 s", "1.0 s", "119.9 s", "2 min", "120 min", "2 h", "48 h", "2 days", "1157 days"]
    assert [show_length(round(each * SECOND)) for each in seconds] == shown
