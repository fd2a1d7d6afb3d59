"""Days added up. Pure."""

from mesh.recordings.daily import Day, daily
from mesh.recordings.index import SegmentRow
from mesh.recordings.query import Occurrence, Query
from mesh.recordings.spans import Span
from mesh.recordings.times import DAY_NS, SECOND_NS

FIRST = 20_000 * DAY_NS
HOUR = 3600 * SECOND_NS
STREAM = ("door", "raw")


def row(at_ns: int, seconds: int) -> SegmentRow:
    times = at_ns, at_ns + seconds * SECOND_NS
    return SegmentRow(f"door/{at_ns}.mkv", "raw", "door", 7, False, seconds, 0, *times, 1000)


def test_what_lasts_over_midnight_is_of_both_days_and_begins_on_one() -> None:
    begin, end = FIRST + 23 * HOUR, FIRST + 25 * HOUR
    event = Occurrence(*STREAM, "person", "motion", begin, end, 100, 0.5)
    spans = {STREAM: [Span(begin, end)]}
    days = daily([row(begin, 7200)], spans, [event], Query(), FIRST + 10 * DAY_NS)
    day = 86_400.0
    assert days == [
        Day(*STREAM, FIRST, 1, 7200, 1000, 3600.0, day, days[0].events),
        Day(*STREAM, FIRST + DAY_NS, 0, 0, 0, 3600.0, day, days[1].events),
    ]
    assert (dict(days[0].events), dict(days[1].events)) == ({"person": 1}, {})
    assert round(days[0].coverage, 3) == round(100 / 24, 3)


def test_a_day_that_goes_on_counts_up_to_now_and_a_part_that_is_asked_for_alone() -> None:
    spans = {STREAM: [Span(FIRST, FIRST + 2 * HOUR)]}
    (today,) = daily([row(FIRST, 7200)], spans, [], Query(), FIRST + 4 * HOUR)
    assert today.coverage == 50.0
    part = Query(from_ns=FIRST + HOUR, to_ns=FIRST + 3 * HOUR)
    (asked,) = daily([row(FIRST, 7200)], spans, [], part, FIRST + 10 * DAY_NS)
    assert (asked.seconds, asked.of_seconds, asked.coverage) == (3600.0, 7200.0, 50.0)
