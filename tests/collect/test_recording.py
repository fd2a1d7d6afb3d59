"""The recording thread with real files: what is acknowledged is safe, recorded once, and in order."""

import os
import resource
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.delivery import Delivery, Handover
from mesh.frame import EndOfStream, Frame
from mesh.inbox import Inbox, Policy
from mesh.scope import Scope
from mesh.wire import Envelope, Message, Topic, View
from nodes.collect.admission import HELD_BYTES, Chooses, everything
from nodes.collect.commits import CommitPolicy
from nodes.collect.recorder import Recorder
from nodes.collect.recording import Recording
from nodes.collect.recovery import recover
from nodes.collect.reorder import Bounds
from nodes.collect.streams import LIVE_STREAMS, Streams
from nodes.collect.writing import Outlets
from tests.collect.support import make, read, segments
from tests.support.waiting import wait_for

PATIENT = Bounds(seconds=3600.0, lossless_seconds=3600.0, quiet_seconds=3600.0)
PROMPT = CommitPolicy(0.01)


class Bench:
    """A recording of a folder, fed by hand; `acked` are the numbers of the results that were acknowledged."""

    def __init__(
        self,
        into: Path,
        policy: CommitPolicy,
        bounds: Bounds,
        segment_seconds: float,
        chooses: Chooses = everything,
        held_bytes: int = HELD_BYTES,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.acked: list[int] = []
        self.forwarded: list[int] = []
        self.why = ""
        self.handover: Handover[Delivery] = Handover(1000, 10**9, lambda _: 0)
        self.inbox = Inbox(Policy.FIFO, on_ready=self.handover.wake)
        self.recovered = recover(into)
        self.recorder = Recorder(into, segment_seconds=segment_seconds)
        outlets = Outlets(self._forward, lambda frame: frame, self._acknowledge, self._unwell)
        self.recording = Recording(
            self.recorder,
            self.recovered,
            self.handover,
            self.inbox,
            outlets,
            policy=policy,
            bounds=bounds,
            chooses=chooses,
            held_bytes=held_bytes,
            clock=clock,
        )

    def push(self, *seqs: int, run: int = 1, n: int | None = None, **changes: Any) -> None:
        """Push results whose `n` and number are their `seq`, unless told otherwise."""
        for seq in seqs:
            frame = make(seq, stage="motion", **changes)
            self._hand_over(frame, run, seq if n is None else n)

    def end(
        self, count: int, camera: str = "front", *, run: int = 1, n: int | None = None, **changes: Any
    ) -> None:
        end = EndOfStream(camera, 7, count, "motion", **changes)
        self._hand_over(end, run, count if n is None else n)

    def count(self, camera: str = "front") -> tuple[int, int, int]:
        """Recorded, duplicates, late."""
        found = [c for c in self.recording.counts() if c.camera == camera]
        return (found[0].recorded, found[0].duplicates, found[0].late) if found else (0, 0, 0)

    def _hand_over(self, body: Frame | EndOfStream, run: int, n: int) -> None:
        message = Message(Topic(View.FRAME, "motion", body.camera), run, n, body)
        assert self.handover.put([Delivery(Envelope("process", run, n), message)], 30)

    def _forward(self, item: Frame | EndOfStream) -> None:
        if isinstance(item, Frame):
            self.forwarded.append(item.seq)

    def _acknowledge(self, envelopes: Iterable[Envelope]) -> None:
        self.acked += [envelope.number for envelope in envelopes]

    def _unwell(self, why: str) -> None:
        self.why = why


@contextmanager
def recording(
    into: Path,
    policy: CommitPolicy = PROMPT,
    bounds: Bounds = PATIENT,
    segment_seconds: float = 60.0,
    chooses: Chooses = everything,
    held_bytes: int = HELD_BYTES,
    clock: Clock = SYSTEM_CLOCK,
) -> Iterator[Bench]:
    bench = Bench(into, policy, bounds, segment_seconds, chooses, held_bytes, clock)
    try:
        with Scope("recording") as scope:
            scope.on_stop(bench.handover.wake)
            scope.spawn("record", bench.recording.run, scope.stopping)
            yield bench
    finally:
        bench.recovered.index.close()


def lines(into: Path, camera: str = "front") -> list[dict[str, Any]]:
    """Every line of a camera, each segment checked: as many frames as lines."""
    found = []
    for path in segments(into / camera):
        held = read(path)
        assert len(held.packets) == len(held.lines)
        assert [entry["pts_ms"] for entry in held.lines] == held.pts_ms
        found += held.lines
    return found


def seqs(into: Path, camera: str = "front") -> list[int]:
    return [entry["seq"] for entry in lines(into, camera)]


def test_what_is_acknowledged_is_in_the_files_and_the_index(tmp_path: Path) -> None:
    with recording(tmp_path) as bench:
        bench.push(*range(50))
        wait_for(lambda: len(bench.acked) >= 49)
        assert bench.count()[0] >= 49
        bench.end(50)
        wait_for(lambda: len(bench.acked) == 51)
        assert seqs(tmp_path) == list(range(50))
    assert sorted(bench.acked) == list(range(51))
    assert bench.forwarded == list(range(50))


def test_a_stream_that_goes_quiet_has_its_last_results_acknowledged(tmp_path: Path) -> None:
    with recording(tmp_path) as bench:
        bench.push(0, 1, 2)
        wait_for(lambda: bench.acked == [0, 1, 2])
        assert seqs(tmp_path) == [0, 1, 2]
        bench.push(100, 3)
        wait_for(lambda: 3 in bench.acked)
        bench.push(*range(4, 100))
        wait_for(lambda: len(bench.acked) == 101)
    assert seqs(tmp_path) == list(range(101))
    assert bench.count() == (101, 0, 0)


def test_a_result_that_comes_again_is_acknowledged_again_and_recorded_once(tmp_path: Path) -> None:
    with recording(tmp_path) as bench:
        bench.push(0, 2, 2)  # sent again while it is held: no duplicate
        bench.push(2, run=3, n=5)
        bench.push(1)
        wait_for(lambda: {0, 1, 2, 5} <= set(bench.acked))
        bench.push(0, 1, 2)
        wait_for(lambda: bench.count() == (3, 4, 0))
        wait_for(lambda: [bench.acked.count(n) for n in range(3)] == [2, 2, 2])
    with recording(tmp_path) as again:
        assert again.count() == (3, 4, 0)
        again.push(0, 1, 2, run=2)
        wait_for(lambda: again.acked == [0, 1, 2])
        assert again.count() == (3, 7, 0)
    assert seqs(tmp_path) == [0, 1, 2]


def test_results_wait_for_the_one_before_them_and_are_not_acknowledged_meanwhile(tmp_path: Path) -> None:
    with recording(tmp_path) as bench:
        bench.push(0, 2, 3, 4)
        bench.push(*range(5), camera="back")
        bench.end(5, "back")
        wait_for(lambda: bench.count("back") == (5, 0, 0))
        assert bench.count()[0] <= 1
        bench.push(1)
        bench.end(5)
        wait_for(lambda: bench.count() == (5, 0, 0))
    assert seqs(tmp_path) == [0, 1, 2, 3, 4]


def test_what_comes_too_late_is_recorded_and_flagged(tmp_path: Path) -> None:
    with recording(tmp_path, bounds=Bounds(seconds=0.05)) as bench:
        bench.push(0, 2, 3)
        wait_for(lambda: bench.forwarded == [0, 2, 3])
        bench.push(1)
        bench.end(4)
        wait_for(lambda: bench.count() == (4, 0, 1))
    assert [(entry["seq"], entry.get("late")) for entry in lines(tmp_path)] == [
        (0, None),
        (2, None),
        (3, None),
        (1, True),
    ]
    with recording(tmp_path) as again:
        assert again.count() == (4, 0, 1)


def test_after_a_restart_it_knows_what_is_missing(tmp_path: Path) -> None:
    with recording(tmp_path) as bench:
        bench.push(*range(10))
        wait_for(lambda: bench.count()[0] == 10)
    with recording(tmp_path) as again:
        again.push(11, 12)
        again.push(10)
        wait_for(lambda: again.forwarded == [10, 11, 12])


def test_what_is_held_when_it_stops_is_recorded(tmp_path: Path) -> None:
    with recording(tmp_path, CommitPolicy(3600.0, 10_000)) as bench:
        bench.push(0, 1, 5, 3)
        wait_for(lambda: bench.forwarded == [0, 1])
        assert bench.acked == []
    assert bench.acked == [0, 1, 3, 5]
    assert seqs(tmp_path) == [0, 1, 3, 5]


def test_a_group_is_committed_when_it_is_large_enough(tmp_path: Path) -> None:
    with recording(tmp_path, CommitPolicy(3600.0, 10)) as bench:
        bench.push(*range(9))
        wait_for(lambda: len(bench.forwarded) == 9)
        assert bench.acked == []
        bench.push(9)
        wait_for(lambda: bench.acked == list(range(10)))


def test_a_group_is_committed_when_its_pictures_are_large_enough(tmp_path: Path) -> None:
    size = len(make().payload)
    with recording(tmp_path, CommitPolicy(3600.0, 10_000, 5 * size)) as bench:
        bench.push(*range(4))
        wait_for(lambda: len(bench.forwarded) == 4)
        assert bench.acked == []
        bench.push(4, 5)
        wait_for(lambda: len(bench.acked) >= 5)


def test_the_only_result_of_a_camera_is_acknowledged_while_its_file_is_open(tmp_path: Path) -> None:
    with recording(tmp_path) as bench:
        bench.push(0)
        wait_for(lambda: bench.acked == [0])
        assert bench.recorder.stats().open == 1
        assert seqs(tmp_path) == [0]


def test_a_camera_that_is_silent_for_a_segments_length_has_its_file_ended(tmp_path: Path) -> None:
    with recording(tmp_path, segment_seconds=0.2) as bench:
        bench.push(0, 1)
        bench.push(0, camera="back")
        wait_for(lambda: len(bench.forwarded) == 3)
        wait_for(lambda: bench.recorder.stats().open == 0)
        bench.push(2)
        wait_for(lambda: set(bench.acked) == {0, 1, 2})
    assert seqs(tmp_path) == [0, 1, 2]


def test_what_is_no_picture_is_acknowledged_and_not_recorded(tmp_path: Path) -> None:
    with recording(tmp_path) as bench:
        bench.push(0)
        bench.push(1, payload=b"no jpeg")
        bench.push(2)
        bench.end(3)
        wait_for(lambda: sorted(bench.acked) == [0, 1, 2, 3])
        assert bench.recording.counters.get("pushed_decode") == 1
    assert seqs(tmp_path) == [0, 2]


def test_subscribed_stages_are_recorded_too(tmp_path: Path) -> None:
    with recording(tmp_path) as bench:
        for seq in range(200):
            bench.inbox.offer(Message(Topic(View.FRAME, "raw", "front"), 1, seq, make(seq)))
        bench.push(*range(20), camera="back")
        wait_for(lambda: bench.inbox.idle() and bench.count("back")[0] >= 19)
    assert seqs(tmp_path) == list(range(200))
    assert seqs(tmp_path, "back") == list(range(20))


def test_a_camera_whose_folder_cannot_be_made_costs_the_others_nothing(tmp_path: Path) -> None:
    (tmp_path / "front").write_text("")
    with recording(tmp_path) as bench:
        bench.push(0)
        wait_for(lambda: "a file stands where a folder is needed" in bench.why)
        bench.push(*range(10), camera="back")
        wait_for(lambda: bench.count("back")[0] == 10)
        assert 0 not in bench.forwarded or bench.count("front") == (0, 0, 0)
        (tmp_path / "front").unlink()

        def sent_again() -> bool:
            bench.push(0)
            return bench.count("front")[0] == 1

        wait_for(sent_again)
        wait_for(lambda: bench.why == "")
    assert seqs(tmp_path) == [0]


@contextmanager
def no_file_may_grow_beyond(size: int) -> Iterator[Callable[[], None]]:
    """The disk refuses until the function that this gives is called."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def lift() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield lift
    finally:
        lift()
        signal.signal(signal.SIGXFSZ, before)


def test_an_index_that_cannot_be_written_holds_every_acknowledgement_back(tmp_path: Path) -> None:
    with recording(tmp_path) as bench:
        bench.push(0, 1, 2)
        wait_for(lambda: bench.count()[0] == 3)
        acked = len(bench.acked)
        with no_file_may_grow_beyond(30_000) as lift:  # the index's write-ahead log passes it soon
            seq = 3

            def more() -> bool:
                """One at a time, each in a commit of its own: the log grows faster than the video."""
                nonlocal seq
                if bench.count()[0] == seq:
                    bench.push(seq, size=(16, 16))
                    seq += 1
                return "index.db" in bench.why

            wait_for(more)
            recorded = bench.count()[0]
            assert len(bench.acked) >= acked
            lift()
            wait_for(lambda: bench.why == "")
        missing = [n for n in range(seq) if n not in bench.acked]
        bench.push(*missing)
        bench.end(seq)
        wait_for(lambda: bench.count()[0] == seq)
        assert recorded < seq
    assert sorted(seqs(tmp_path)) == list(range(seq))


def test_the_index_and_the_lines_agree_whenever_it_is_killed(tmp_path: Path) -> None:
    """A copy of the folder at any moment is what a kill at that moment leaves."""
    (tmp_path / "rec").mkdir()
    with recording(tmp_path / "rec") as bench:
        stop = threading.Event()

        def feed() -> None:
            seq = 0
            while not stop.is_set():
                bench.push(seq)
                seq += 1
                stop.wait(0.002)

        with Scope("feeding") as feeding:
            feeding.spawn("feed", feed)
            try:
                for number in range(5):
                    wait_for(lambda number=number: len(bench.acked) > 20 * (number + 1))  # type: ignore[misc]
                    acked = set(bench.acked)
                    copy = tmp_path / f"copy-{number}"
                    os.makedirs(copy)
                    # The index first: what it knows must be in the files, which only grow.
                    for path in sorted(
                        (tmp_path / "rec").rglob("*"), key=lambda p: not p.name.startswith("index")
                    ):
                        target = copy / path.relative_to(tmp_path / "rec")
                        target.parent.mkdir(parents=True, exist_ok=True)
                        if path.is_file():
                            target.write_bytes(path.read_bytes())
                    found = recover(copy)
                    found.index.close()
                    held = seqs(copy)
                    assert acked <= set(held)
                    assert held == sorted(set(held))
                    assert found.streams["motion", "front", 7].recorded == len(held)
            finally:
                stop.set()


def test_two_runs_of_a_sender_are_one_stream(tmp_path: Path) -> None:
    with recording(tmp_path, bounds=Bounds(seconds=3600)) as bench:
        bench.push(*range(5))
        frames = [make(seq, stage="motion") for seq in range(3, 10)]
        for n, frame in enumerate(frames):
            message = Message(Topic(View.FRAME, "motion", "front"), 2, n, replace(frame))
            bench.handover.put([Delivery(Envelope("process", 2, 100 + n), message)], 30)
        wait_for(lambda: bench.count()[0] == 10)
        wait_for(lambda: {100, 101} <= set(bench.acked))
    assert seqs(tmp_path) == list(range(10))
    assert bench.count() == (10, 2, 0)


@pytest.mark.parametrize("items", [1, 3])
def test_a_handover_that_is_full_makes_its_giver_wait(items: int) -> None:
    handover: Handover[int] = Handover(items, 10**6, lambda _: 10)
    assert handover.put(list(range(items)), 0)
    assert not handover.put([9], 0.01)
    assert handover.take(0) == list(range(items))
    assert handover.put([9], 0)
    handover.close()
    assert not handover.put([10], 0)
    assert handover.take(None) == [9]


def test_streams_that_are_still_are_let_go_and_known_again() -> None:
    streams = Streams({}, 5, PATIENT)
    busy = streams["motion", "busy", 0]
    busy.written_at = 1.0
    for boot in range(3 * LIVE_STREAMS):
        stream = streams["motion", "front", boot]
        stream.duplicates = boot
        stream.reorder.skip(9, 0, (0, 0), 0.0)
    assert streams["motion", "busy", 0] is busy
    again = streams["motion", "front", 7]
    assert (again.duplicates, again.reorder.expected()) == (7, {9: 1})
    for boot in range(10):
        streams.row(("motion", "front", boot))
    streams.show(("motion", "front", boot) for boot in range(10))
    assert [count.boot for count in streams.counts()] == [6, 7, 8, 9]


def test_a_subscribed_stream_that_the_disk_refuses_waits_in_its_inbox(tmp_path: Path) -> None:
    (tmp_path / "front").write_text("")
    with recording(tmp_path) as bench:
        for seq in range(20):
            for camera in ("front", "back"):
                frame = make(seq, camera=camera)
                bench.inbox.offer(Message(Topic(View.FRAME, "raw", camera), 1, seq, frame))
        wait_for(lambda: bench.count("back")[0] == 20)
        assert "a file stands where a folder is needed" in bench.why
        assert [count.in_flight for count in bench.inbox.counts()] == [20, 0]
        (tmp_path / "front").unlink()
        wait_for(lambda: bench.count("front")[0] == 20)
        wait_for(lambda: bench.why == "")
    assert seqs(tmp_path) == list(range(20))


def test_what_was_subscribed_to_and_comes_behind_a_later_frame_is_late(tmp_path: Path) -> None:
    with recording(tmp_path) as bench:
        for seq in (0, 2, 1, 4, 3):  # of two partitions, published by nodes of different speed
            frame = make(seq, partitions=2)
            topic = Topic(View.FRAME, "raw", "front", seq % 2)
            bench.inbox.offer(Message(topic, 1 + seq % 2, seq // 2, frame))
        wait_for(lambda: bench.count() == (5, 0, 2))
    assert [line["seq"] for line in lines(tmp_path) if line.get("late")] == [1, 3]
