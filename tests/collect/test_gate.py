"""Which frames are recorded around what is found: a pure decision, held to a reckoning over whole streams."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.choice import Choice, choice_of, choices_of
from mesh.frame import Detection, Frame
from mesh.steps import Step
from nodes.collect.gate import Gate

SECOND = 1_000_000_000
BEGIN_NS = 1_792_000_000 * SECOND
MOVES = Detection("motion", 0.7, (1, 1, 4, 4), "motion")


def frame(seq: int, at_s: float, *, found: bool = False, part: int = 0, step: Step | None = None) -> Frame:
    return Frame(
        camera="door",
        boot=7,
        seq=seq,
        part=part,
        stage="motion",
        captured_ns=BEGIN_NS + round(at_s * SECOND),
        width=8,
        height=8,
        payload=b"picture",
        detections=(MOVES,) if found else (),
        attributes=step.attributes if step else {},
    )


def choice(text: str) -> Choice:
    return choices_of([text]).of("door", None)


@dataclass
class Stream:
    """A gate, and the places of what it had recorded."""

    gate: Gate
    recorded: list[tuple[int, int]]

    def give(self, one: Frame, what: Choice, came: float = 0.0) -> list[int]:
        """The seqs that this frame has recorded."""
        wanted = self.gate.judge(one, what, came)
        for each in wanted:
            self.gate.wrote(each)
        self.recorded += [each.place for each in wanted]
        return [each.place[0] for each in wanted]


@pytest.fixture
def stream() -> Stream:
    return Stream(Gate(), [])


MOTION = choice("motion,pre=2,post=3")


def test_frames_before_and_after_are_recorded_and_the_rest_is_counted(stream: Stream) -> None:
    told = [stream.give(frame(seq, seq, found=seq == 10), MOTION) for seq in range(20)]
    assert told[10] == [8, 9, 10]
    assert [seq for seq, _ in stream.recorded] == list(range(8, 14))
    assert stream.gate.passed + len(stream.gate.held) == 14
    assert [held.place[0] for held in stream.gate.held] == [17, 18, 19]


def test_what_is_left_out_before_a_stretch_is_told_by_when_it_began(stream: Stream) -> None:
    for seq in range(10):
        stream.give(frame(seq, seq), MOTION)
    assert stream.gate.skipped_at == BEGIN_NS
    stream.give(frame(10, 10, found=True), MOTION)
    assert stream.gate.skipped_at is None
    for seq in range(11, 20):
        stream.give(frame(seq, seq), MOTION)
    assert stream.gate.skipped_at == BEGIN_NS + 14 * SECOND


def test_the_parts_of_a_frame_come_together(stream: Stream) -> None:
    none = choice("motion,pre=0,post=0")
    assert stream.give(frame(0, 0), none) == []
    assert stream.give(frame(1, 1, part=0), none) == []
    assert stream.give(frame(1, 1, part=1, found=True), none) == [1, 1]
    assert stream.give(frame(1, 1, part=2), none) == [1]
    assert stream.give(frame(2, 2), none) == []


def test_a_late_frame_is_recorded_where_it_lies_within_a_roll_and_else_held_at_its_place(
    stream: Stream,
) -> None:
    for seq in (0, 1, 2, 3, 5, 6):
        stream.give(frame(seq, seq, found=seq == 3), MOTION)
    assert stream.give(frame(4, 4), MOTION) == [4]
    for seq in (7, 9):
        stream.give(frame(seq, seq), MOTION)
    assert stream.give(frame(8, 8), MOTION) == []
    assert stream.give(frame(10, 10, found=True), MOTION) == [8, 9, 10]


def test_what_a_late_frame_shows_has_those_recorded_that_are_held_beside_it(stream: Stream) -> None:
    for seq in (0, 1, 3, 4):
        stream.give(frame(seq, seq), MOTION)
    assert stream.give(frame(2, 2, found=True), MOTION) == [2, 3, 4]
    assert stream.give(frame(5, 5), MOTION) == [5]
    assert stream.give(frame(6, 6), MOTION) == []


@pytest.mark.parametrize("step_s", [-3600.0, 86_400.0, -0.75, 0.75])
def test_rolls_are_of_the_time_that_has_passed_whatever_the_clock_says(stream: Stream, step_s: float) -> None:
    """The clock is set one frame before something moves, and put right again within the post-roll."""

    def told(seq: int) -> Frame:
        is_off = 9 <= seq < 12
        steps = {9: Step(step_s, 9), 10: Step(step_s, 9), 12: Step(-step_s, 12), 14: Step(-step_s, 12)}
        return frame(seq, seq + step_s * is_off, found=seq == 10, step=steps.get(seq))

    for seq in range(20):
        stream.give(told(seq), MOTION)
    assert [seq for seq, _ in stream.recorded] == list(range(8, 14))


def test_a_clock_that_is_set_back_without_a_word_neither_stops_nor_prolongs(stream: Stream) -> None:
    for seq in range(40):
        at = seq if seq < 11 else seq - 3600
        stream.give(frame(seq, at, found=seq in (10, 30)), MOTION)
    seqs = [seq for seq, _ in stream.recorded]
    assert seqs == [*range(8, 15), *range(28, 34)]  # one more: how long the step took cannot be told


def test_a_step_that_is_none_is_none(stream: Stream) -> None:
    for seq in range(12):
        one = frame(seq, seq, found=seq == 10)
        odd = {"clock_step_s": [1e300, True, "x", float("nan")][seq % 4], "clock_step_seq": seq}
        stream.give(one.annotate(**odd), MOTION)
    assert [seq for seq, _ in stream.recorded] == [8, 9, 10, 11]


def test_another_choice_holds_from_the_next_frame_on(stream: Stream) -> None:
    for seq in range(5):
        stream.give(frame(seq, seq), MOTION)
    assert stream.give(frame(5, 5), choice("continuous")) == [5]
    assert (stream.gate.passed, stream.gate.held) == (5, [])
    assert stream.give(frame(6, 6, found=True), choice("off")) == []
    assert stream.gate.passed == 6
    assert stream.give(frame(7, 7, found=True), MOTION) == [7]
    assert stream.give(frame(8, 8, found=True), choice("continuous,stage=codes")) == []
    assert stream.gate.skipped_at == BEGIN_NS + 8 * SECOND


@pytest.mark.parametrize(
    ("then", "last"),
    [("motion,pre=2,post=5", 11), ("motion,pre=2,post=20", 26), ("events,pre=2,post=100", 9)],
)
def test_another_choice_holds_for_the_rolls_of_what_was_found_before(
    stream: Stream, then: str, last: int
) -> None:
    for seq in range(5, 30):
        what = choice("motion,pre=2,post=100" if seq < 10 else then)
        stream.give(frame(seq, seq, found=seq == 6), what)
        if seq == 20:
            stream.give(frame(seq, seq, part=1), choice("off"))
    assert [seq for seq, _ in stream.recorded] == [*range(5, last + 1)]


@pytest.mark.parametrize("step_s", [-3600.0, 86_400.0 * 365 * 56])
def test_since_when_frames_were_left_out_is_told_by_the_clock_as_it_is_now(
    stream: Stream, step_s: float
) -> None:
    """One without a battery says 1970 until it is set: then it was not 56 years that were left out."""
    for seq in range(10):
        stream.give(frame(seq, seq), MOTION)
    for seq in range(10, 20):
        one = frame(seq, seq + step_s, found=seq == 15, step=Step(step_s, 10))
        if wanted := stream.gate.judge(one, MOTION, 0.0):
            assert stream.gate.skipped_before(wanted[0]) == BEGIN_NS + round(step_s * SECOND)
            break
    assert wanted


STREAMS = st.lists(
    st.tuples(
        st.floats(0, 4).map(lambda s: round(s, 2)),  # seconds since the frame before
        st.booleans(),
        st.sampled_from([0.0] * 6 + [-3600.0, 86_400.0, 2.0, -2.0]),  # by which the clock was set before it
    ),
    min_size=1,
    max_size=60,
)
ROLLS = st.tuples(st.sampled_from([0, 1, 2.5, 8]), st.sampled_from([0, 1, 2.5, 8]))


@given(STREAMS, ROLLS)
def test_recorded_is_what_lies_within_a_roll_and_nothing_else(
    steps: list[tuple[float, bool, float]], rolls: tuple[float, float]
) -> None:
    pre_s, post_s = rolls
    what = choice(f"motion,pre={pre_s},post={post_s}")
    stream, true_s, off_s = Stream(Gate(), []), 0.0, 0.0
    times, found = [], []
    for seq, (since_s, is_found, step_s) in enumerate(steps):
        true_s, off_s = round(true_s + since_s, 2), off_s + step_s
        step = Step(step_s, seq) if step_s else None
        stream.give(frame(seq, true_s + off_s, found=is_found, step=step), what, came=float(seq))
        times.append(true_s)
        found += [true_s] if is_found else []
        # What is held is within the pre-roll, and all of it in order.
        assert all(times[held.place[0]] >= true_s - pre_s - 1e-6 for held in stream.gate.held)
        assert [held.place for held in stream.gate.held] == sorted(held.place for held in stream.gate.held)
        assert stream.gate.bytes == sum(held.bytes for held in stream.gate.held)
        total = len(stream.recorded) + len(stream.gate.held) + stream.gate.passed
        assert total == seq + 1
    edge = 1e-6
    wanted = [
        s for s, at in enumerate(times) if any(t - pre_s - edge <= at <= t + post_s + edge for t in found)
    ]
    assert [seq for seq, _ in stream.recorded] == wanted
    since_ns, to_ns = stream.gate.left_out()
    rest = range(max(wanted, default=-1) + 1, len(times))
    if not rest:
        assert (since_ns, to_ns) == (0, 0)
    else:
        assert to_ns == BEGIN_NS + round((true_s + off_s) * SECOND)
        assert to_ns - since_ns == pytest.approx((true_s - times[rest[0]]) * SECOND, abs=1e3)


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)))
def test_nothing_is_recorded_twice_or_lost_whatever_order_it_comes_in(
    order: list[int], found: set[int]
) -> None:
    stream = Stream(Gate(), [])
    for seq in order:
        stream.give(frame(seq, seq, found=seq in found), MOTION)
    seqs = [seq for seq, _ in stream.recorded]
    assert len(seqs) == len(set(seqs))
    assert found <= set(seqs)
    assert len(seqs) + len(stream.gate.held) + stream.gate.passed == len(order)


def test_a_choice_of_events_is_met_by_what_is_more_than_motion(stream: Stream) -> None:
    events = choice_of("events,pre=0,post=0")
    assert stream.give(frame(0, 0, found=True), events) == []
    code = frame(1, 1).annotate(Detection("code", 1.0, (0, 0, 1, 1), "codes"))
    assert stream.give(code, events) == [1]
