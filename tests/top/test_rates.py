"""What passes between two reports of a node."""

import pytest

from mesh.registry.records import FoundCount, ResultCount
from mesh.top.rates import STALE_S, Flows, History, advanced, flows
from tests.top.world import captured, grouped, recorded, report


def after(*looks: list[object], at: float | None = None) -> Flows | None:
    """The flows of node `n` after looks one second apart, each with its reports."""
    history: History = {}
    for second, reports in enumerate(looks):
        history = advanced(history, reports, float(second))  # type: ignore[arg-type]  # reports, each
    last = max(history, key=lambda run: run[1])
    return flows(history[last], len(looks) - 1.0 if at is None else at)


def test_one_look_tells_no_rate() -> None:
    assert after([report("n", 0, captured("door", 100))]) is None


def test_a_rate_is_over_the_time_between_two_reports() -> None:
    found = after(
        [report("n", 0.0, captured("door", 100), cpu_s=10.0)],
        [report("n", 1.25, captured("door", 125), cpu_s=10.5)],
    )
    assert found is not None
    assert (found.captured[0].camera, found.captured[0].fps_out) == ("door", 20)
    assert found.cpu == 0.4


def test_a_look_between_two_reports_changes_nothing() -> None:
    first, second = report("n", 0, captured("door", 100)), report("n", 1, captured("door", 130))
    found = after([first], [second], [second], [second])
    assert found is not None
    assert found.captured[0].fps_out == 30


def test_a_node_that_went_silent_has_no_rate() -> None:
    first, second = report("n", 0, captured("door", 100)), report("n", 1, captured("door", 130))
    assert after([first], [second], at=1 + STALE_S) is not None
    assert after([first], [second], at=1.1 + STALE_S) is None


def test_a_node_that_has_left_has_none() -> None:
    last = report("n", 1, captured("door", 130), final=True)
    assert after([report("n", 0, captured("door", 100))], [last]) is None


def test_a_clock_that_is_set_back_gives_none_until_the_next_report() -> None:
    assert after([report("n", 5, captured("door", 100))], [report("n", 2, captured("door", 130))]) is None


def test_a_node_that_started_anew_is_not_compared_with_its_former_run() -> None:
    former, first = report("n", 0, captured("door", 1000)), report("n", 1, captured("door", 3), run=2)
    assert after([former], [former, first]) is None
    found = after([former], [former, first], [report("n", 2, captured("door", 28), run=2)])
    assert found is not None
    assert found.captured[0].fps_out == 25


def test_a_camera_that_starts_anew_is_counted_from_nothing() -> None:
    found = after(
        [report("n", 0, captured("door", 1000))],
        [report("n", 1, captured("door", 7, boot=2))],
    )
    assert found is not None
    assert found.captured[0].fps_out == 7


def test_what_a_count_lost_is_no_negative_rate() -> None:
    found = after([report("n", 0, grouped("door", offered=9))], [report("n", 1, grouped("door", offered=5))])
    assert found is not None
    assert found.grouped[0].fps_in == 0


def test_frames_of_other_members_are_neither_taken_in_nor_dropped() -> None:
    before = grouped("door", offered=100, dropped={"elsewhere": 50, "overwritten": 1})
    now = grouped(
        "door", offered=160, dropped={"elsewhere": 80, "overwritten": 4, "before_join": 5}, results=20
    )
    found = after([report("n", 0, before)], [report("n", 1, now)])
    assert found is not None
    (flow,) = found.grouped
    assert (flow.fps_in, flow.fps_out, flow.dropped) == (25, 20, {"overwritten": 3})


def test_ages_are_those_of_frames_since_the_report_before() -> None:
    before, now = grouped("door", ages=(5, 5)), grouped("door", ages=(5, 7, 0, 3))
    found = after([report("n", 0, before)], [report("n", 1, now)])
    assert found is not None
    assert found.grouped[0].ages == (0, 2, 0, 3)


@pytest.mark.parametrize("known", [True, False])
def test_what_a_folder_or_a_spool_held_before_did_not_pass_now(known: bool) -> None:
    found_before = FoundCount(recorded=500, duplicates=1, skipped=40)
    stored = recorded("door", 510, duplicates=3, skipped=45, found=found_before)
    spooled = grouped("door", results=70, carried=ResultCount(results=60))
    earlier = [recorded("door", 500, duplicates=1, skipped=40, found=stored.found)] if known else []
    found = after([report("n", 0, *earlier)], [report("n", 1, stored, spooled)])
    assert found is not None
    assert (found.recorded[0].fps_out, found.recorded[0].fps_in) == (10, 17)
    assert found.recorded[0].fps_skipped == 5
    assert found.grouped[0].fps_out == 10
