"""What processes say, on real pipes."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from mesh.scope import Scope
from mesh.site.output import KEPT_LINES, Lines, Output
from tests.support.clock import ManualClock
from tests.support.waiting import wait_for


@contextmanager
def piped() -> Iterator[tuple[int, TextIO]]:
    """The reading end of a pipe, and a stream that writes to it."""
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "w") as stream:
            yield reading, stream
    finally:
        os.close(reading)


def everything(reading: int, into: list[bytes]) -> None:
    while chunk := os.read(reading, 65536):
        into.append(chunk)


def test_lines_come_in_order_with_their_names_before_them() -> None:
    with piped() as (reading, stream):
        output = Output(stream)
        output.name(["registry", "capture-gate"])
        with Scope("test") as scope:
            output.run_in(scope)
            output.say("registry", "listens")
            output.say("capture-gate", "is running")
            Lines(output, "up").write("one\ntwo\n")
        lines = os.read(reading, 65536).decode().splitlines()
    assert lines == [
        "registry     | listens",
        "capture-gate | is running",
        "up           | one",
        "up           | two",
    ]


def test_as_json_each_line_is_an_object_with_its_process() -> None:
    with piped() as (reading, stream):
        output = Output(stream, as_json=True)
        with Scope("test") as scope:
            output.run_in(scope)
            output.say("capture-gate", '{"level": "info", "message": "is running"}')
            output.say("process-motion", "a line of somebody's library")
        lines = [json.loads(line) for line in os.read(reading, 65536).splitlines()]
    assert lines == [
        {"process": "capture-gate", "level": "info", "message": "is running"},
        {"process": "process-motion", "message": "a line of somebody's library"},
    ]


def test_a_reader_that_hangs_holds_up_nobody_and_what_it_missed_is_counted() -> None:
    with piped() as (reading, stream):
        output = Output(stream)
        with Scope("test") as scope:
            output.run_in(scope)
            line = "x" * 1000
            for number in range(3 * KEPT_LINES):  # returns, though nobody reads
                output.say("noisy", f"{number} {line}")
            read: list[bytes] = []
            reader = threading.Thread(target=everything, args=(reading, read))
            reader.start()
            wait_for(lambda: f"noisy | {3 * KEPT_LINES - 1} ".encode() in b"".join(read), "the last line")
        stream.close()
        reader.join()
    lines = b"".join(read).decode().splitlines()
    told = [int(line.split()[2]) for line in lines if "were left out here" in line]
    numbers = [int(line.split()[2]) for line in lines if line.startswith("noisy")]
    assert numbers == sorted(numbers)
    assert told
    assert sum(told) == 3 * KEPT_LINES - len(numbers)


def test_a_reader_that_hangs_does_not_hold_up_the_end() -> None:
    with piped() as (_, stream):
        output = Output(stream)
        with Scope("test") as scope:
            output.run_in(scope)
            for _ in range(KEPT_LINES):
                output.say("noisy", "x" * 1000)
    assert scope.error is None


class Leaping(ManualClock):
    """An hour passes between any two looks at it, as for a thread that is held up."""

    def monotonic(self) -> float:
        self.advance(3600.0)
        return super().monotonic()


def test_what_there_is_room_for_is_written_at_the_end_however_late_the_writer_comes_to_it() -> None:
    with piped() as (reading, stream):
        output = Output(stream, clock=Leaping())
        with Scope("test") as scope:
            output.say("registry", "has ended")
            scope.stop()
            output.run_in(scope)
        stream.close()
        assert os.read(reading, 65536) == b"registry | has ended\n"


def test_a_reader_that_is_gone_ends_nothing() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        os.close(reading)
        output = Output(stream)
        with Scope("test") as scope:
            output.run_in(scope)
            output.say("registry", "listens")
            wait_for(lambda: "0 lines wait" in repr(output), "the line was let go")
            output.say("registry", "goes on")
    assert scope.error is None


def test_whatever_a_line_holds_as_json_it_is_an_object_and_the_end_of_nothing() -> None:
    """Nested so deeply that it can just, or just not, be read; a surrogate alone; a number without end."""
    deep = [
        f"{opens * n}1{closes * n}"
        for n in (*range(900, 1000), 5000)
        for opens, closes in (("[", "]"), ('{"a":', "}"))
    ]
    lines = [*(f'{{"message": {line}}}' for line in deep), '{"message": "\\ud800"}', f'{{"a": {"9" * 5000}}}']
    lines += ["\ud800", '{"process": "another", "message": "x"}', "[]", "null", "{", ""]
    with piped() as (reading, stream):
        output = Output(stream, as_json=True, clock=ManualClock())  # it waits for whoever reads
        read: list[bytes] = []
        reader = threading.Thread(target=everything, args=(reading, read))
        reader.start()
        with Scope("test") as scope:
            output.run_in(scope)
            for line in lines:
                output.say("own", line)
        stream.close()
        reader.join()
    assert scope.error is None
    written = b"".join(read).decode().splitlines()
    assert len(written) == len(lines)
    assert all(
        line.startswith('{"message": ') and line.endswith(', "process": "own"}') for line in written[:-8]
    )
    assert [json.loads(line) for line in written[-8:]] == [
        {"message": "\ud800", "process": "own"},
        {"message": lines[-7], "process": "own"},
        {"message": "\ud800", "process": "own"},
        {"process": "own", "message": "x"},
        *({"message": line, "process": "own"} for line in lines[-4:]),
    ]


def test_a_surrogate_alone_is_written_as_text_too() -> None:
    with piped() as (reading, stream):
        output = Output(stream)
        with Scope("test") as scope:
            output.run_in(scope)
            output.say("own", "a \ud800 b")
            output.say("own", "goes on")
        assert os.read(reading, 65536) == b"own | a \\ud800 b\nown | goes on\n"
