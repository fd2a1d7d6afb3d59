"""The ring alone: what a reader gets, whoever dies, lags, or writes nonsense."""

import contextlib
import gc
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.codec import Buffer, Image
from mesh.errors import DecodeError, TransportError
from mesh.frame import Slot
from mesh.shm import SUPPORTED, RingReader, RingWriter, sweep
from mesh.shm.layout import MAX_BYTES, MIN_SLOTS, PAGE, plan, read_layout
from tests.shm.child import SHAPE, SIZE
from tests.support.processes import Process, Processes
from tests.support.waiting import wait_for

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="rings need Linux's locks of open files")

CHILD = "tests.shm.child"


def put(ring: RingWriter, value: int) -> Slot:
    """A picture of one value, written."""
    slot = ring.write(SHAPE, lambda into: into.fill(value))
    assert slot is not None
    return slot


def values(pixels: Buffer | None) -> set[int]:
    """The values that pixels have."""
    assert pixels is not None
    return set(np.unique(np.frombuffer(pixels, np.uint8)).tolist())


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[RingWriter]:
    ring = RingWriter(SIZE, tmp_path)
    yield ring
    ring.close()


def said(process: Process) -> dict[str, object]:
    wait_for(lambda: process.out.endswith("\n") or not process.alive)
    found: dict[str, object] = json.loads(process.out)
    return found


def test_pixels_are_not_copied_and_cannot_be_written_to(ring: RingWriter, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, SHAPE, dtype=np.uint8)
    slot = ring.write(SHAPE, lambda into: np.copyto(into, picture))
    assert slot is not None
    pixels = RingReader(ring.name, tmp_path).take(slot, SIZE)
    assert isinstance(pixels, memoryview)
    assert pixels.readonly
    image = np.frombuffer(pixels, np.uint8).reshape(SHAPE)
    assert np.array_equal(image, picture)
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0, 0] = 1


def test_a_slot_is_free_again_when_the_last_view_of_it_is_gone(ring: RingWriter, tmp_path: Path) -> None:
    reader = RingReader(ring.name, tmp_path)
    view: Image | None = np.frombuffer(reader.take(put(ring, 1), SIZE) or b"", np.uint8)[5:9]
    for value in range(2, 20):
        put(ring, value)
    assert values(view.data if view is not None else None) == {1}
    assert ring.passed_over == 2
    view = None
    gc.collect()
    for value in range(20, 40):
        put(ring, value)
    assert ring.passed_over == 2


def test_an_overwritten_slot_is_refused(ring: RingWriter, tmp_path: Path) -> None:
    reader = RingReader(ring.name, tmp_path)
    slots = [put(ring, value) for value in range(9)]
    assert reader.take(slots[0], SIZE) is None
    assert [values(reader.take(slot, SIZE)) for slot in slots[1:]] == [{value} for value in range(1, 9)]


def test_a_slow_reader_keeps_its_pixels_and_others_are_refused_what_is_gone(
    ring: RingWriter, tmp_path: Path
) -> None:
    slow, fast = RingReader(ring.name, tmp_path), RingReader(ring.name, tmp_path)
    held = [slow.take(put(ring, value), SIZE) for value in (1, 2, 3)]
    for value in range(10, 60):
        assert values(fast.take(put(ring, value), SIZE)) == {value}
    assert [values(pixels) for pixels in held] == [{1}, {2}, {3}]


def test_one_reader_pins_half_of_the_slots_and_copies_beyond_that(ring: RingWriter, tmp_path: Path) -> None:
    reader = RingReader(ring.name, tmp_path)
    held = [reader.take(put(ring, value), SIZE) for value in range(8)]
    assert [isinstance(pixels, memoryview) for pixels in held] == [True] * 4 + [False] * 4
    for value in range(10, 30):
        put(ring, value)
    assert [values(pixels) for pixels in held] == [{value} for value in range(8)]


def test_there_is_no_slot_while_readers_have_pinned_all_of_them(ring: RingWriter, tmp_path: Path) -> None:
    readers = [RingReader(ring.name, tmp_path) for _ in range(2)]
    held = [readers[value % 2].take(put(ring, value), SIZE) for value in range(8)]
    assert ring.write(SHAPE, lambda into: into.fill(9)) is None
    held.pop()
    assert put(ring, 9).index == 7


def test_a_picture_that_could_not_be_drawn_is_never_seen(ring: RingWriter, tmp_path: Path) -> None:
    def fail(into: Image) -> None:
        into[:10] = 3
        raise DecodeError("damaged")

    reader = RingReader(ring.name, tmp_path)
    with pytest.raises(DecodeError):
        ring.write(SHAPE, fail)
    assert [reader.take(Slot(ring.name, 0, generation), SIZE) for generation in range(4)] == [None] * 4
    for value in range(8):
        assert values(reader.take(put(ring, value), SIZE)) == {value}


def test_a_writer_killed_in_mid_write_leaves_nothing_that_a_reader_takes(tmp_path: Path) -> None:
    folder = tmp_path / "rings"
    folder.mkdir()
    with Processes(tmp_path / "logs") as processes:
        child = processes.start("writer", folder, module=CHILD)
        what = said(child)
        name, whole = str(what["ring"]), int(str(what["generation"]))
        reader = RingReader(name, folder)
        torn = [Slot(name, 1, generation) for generation in range(whole + 2)]
        assert [reader.take(slot, SIZE) for slot in torn] == [None] * len(torn)  # it is being written
        assert sweep(folder) == 0
        child.kill()
        assert [reader.take(slot, SIZE) for slot in torn] == [None] * len(torn)  # and is torn now
        assert values(reader.take(Slot(name, 0, whole), SIZE)) == {1}
        assert sweep(folder) == 1
        assert list(folder.iterdir()) == []
        assert values(reader.take(Slot(name, 0, whole), SIZE)) == {1}  # whoever has it open, keeps it


def test_a_reader_that_is_killed_pins_nothing_any_more(ring: RingWriter, tmp_path: Path) -> None:
    first = put(ring, 5)
    with Processes(tmp_path / "logs") as processes:
        arguments = ("reader", tmp_path, ring.name, first.index, first.generation)
        child = processes.start(*arguments, module=CHILD)
        assert said(child) == {"first": 5}
        for value in range(8):
            put(ring, value)
        assert ring.passed_over == 1
        child.kill()
        indices = {put(ring, value).index for value in range(8)}
    assert first.index in indices


def test_a_child_that_is_forked_gives_nothing_back(ring: RingWriter, tmp_path: Path) -> None:
    held = [RingReader(ring.name, tmp_path).take(put(ring, 1), SIZE)]
    pid = os.fork()
    if pid == 0:
        held.clear()
        os._exit(0)
    os.waitpid(pid, 0)
    for value in range(8):
        put(ring, value)
    assert ring.passed_over == 1
    assert values(held[0]) == {1}


def test_pixels_never_change_while_the_writer_laps_the_reader(ring: RingWriter, tmp_path: Path) -> None:
    """Torn writes: each picture has one value, and one that has two was read while it was written."""
    latest: list[Slot] = [put(ring, 0)]
    done = threading.Event()

    def write() -> None:
        for value in range(3000):
            slot = ring.write(SHAPE, lambda into, value=value: into.fill(value % 251))  # type: ignore[misc]
            if slot is not None:
                latest.append(slot)
        done.set()

    reader, seen, refused = RingReader(ring.name, tmp_path), 0, 0
    thread = threading.Thread(target=write)
    thread.start()
    while not done.is_set() or not seen:
        at = max(0, len(latest) - 7)  # about to be overwritten
        if (pixels := reader.take(latest[at], SIZE)) is None:
            refused += 1
            continue
        assert len(values(pixels)) == 1
        seen += 1
    thread.join()
    assert seen


def test_a_folder_without_room_refuses_a_ring_at_once(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    try:
        with pytest.raises(TransportError, match="no room of 5 MiB"):
            RingWriter(640_000, disk)
        assert list(disk.iterdir()) == []
        with (
            contextlib.closing(RingWriter(SIZE, disk)),
            pytest.raises(TransportError, match="others need it"),
        ):
            RingWriter(80_000, disk)  # it would fit, and leave too little
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_is_not_there_refuses_a_ring(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="No such file"):
        RingWriter(SIZE, tmp_path / "none")
    with pytest.raises(TransportError, match="No such file"):
        RingReader("framemesh-0123456789abcdef", tmp_path)


def test_closing_removes_the_file_and_leaves_readers_their_pixels(tmp_path: Path) -> None:
    ring = RingWriter(SIZE, tmp_path)
    reader = RingReader(ring.name, tmp_path)
    slot = put(ring, 3)
    pixels = reader.take(slot, SIZE)
    ring.close()
    ring.close()
    assert list(tmp_path.iterdir()) == []
    assert values(pixels) == values(reader.take(slot, SIZE)) == {3}
    assert ring.write(SHAPE, lambda into: into.fill(1)) is None


def test_no_file_descriptor_is_left(tmp_path: Path) -> None:
    gc.collect()
    before = set(os.listdir("/proc/self/fd"))
    ring = RingWriter(SIZE, tmp_path)
    reader = RingReader(ring.name, tmp_path)
    held = [reader.take(put(ring, value), SIZE) for value in range(6)]
    ring.close()
    del reader
    assert [values(pixels) for pixels in held] == [{value} for value in range(6)]
    held.clear()
    gc.collect()
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "name", ["", "../framemesh-0123456789abcdef", "framemesh-0123456789ABCDEF", "passwd", "framemesh-\n"]
)
def test_a_name_that_is_no_rings_is_never_opened(name: str, tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="no ring's name"):
        RingReader(name, tmp_path)


def test_a_foreign_or_truncated_file_is_refused(ring: RingWriter, tmp_path: Path) -> None:
    good = (tmp_path / ring.name).read_bytes()
    bad = {
        "empty": b"",
        "short": good[:16],
        "cut": good[:-1],
        "header only": good[:PAGE],
        "longer": good + bytes(PAGE),
        "other": bytes(len(good)),
        "slots": good[:8] + b"\xff\xff\xff\xff" + good[12:],
        "stride": good[:16] + b"\xff" * 8 + good[24:],
    }
    for number, data in enumerate(bad.values()):
        name = f"framemesh-{number:016x}"
        (tmp_path / name).write_bytes(data)
        with pytest.raises(TransportError, match=name):
            RingReader(name, tmp_path)


def test_a_link_a_folder_and_a_pipe_are_refused(ring: RingWriter, tmp_path: Path) -> None:
    names = [f"framemesh-{number:016x}" for number in range(3)]
    (tmp_path / names[0]).symlink_to(tmp_path / ring.name)
    (tmp_path / names[1]).mkdir()
    os.mkfifo(tmp_path / names[2])
    for name in names:
        with pytest.raises(TransportError, match=name):
            RingReader(name, tmp_path)


def test_a_slot_that_the_ring_does_not_have_is_refused(ring: RingWriter, tmp_path: Path) -> None:
    reader = RingReader(ring.name, tmp_path)
    slot = put(ring, 1)
    for wrong, size in ((Slot(ring.name, 8, 2), SIZE), (slot, SIZE * 2)):
        with pytest.raises(TransportError, match="has no slot"):
            reader.take(wrong, size)


def test_sweeping_leaves_living_rings_and_other_peoples_files(ring: RingWriter, tmp_path: Path) -> None:
    (tmp_path / "framemesh-0000000000000000").write_bytes(b"left by a writer that was killed")
    (tmp_path / "other").touch()
    assert sweep(tmp_path) == 1
    assert {path.name for path in tmp_path.iterdir()} == {ring.name, "other"}
    assert sweep(tmp_path / "none") == 0


@given(st.integers(0, 2**40), st.integers(0, 100), st.integers(0, MAX_BYTES))
def test_a_plan_is_bounded_and_read_back(frame_bytes: int, slots: int, most: int) -> None:
    layout = plan(frame_bytes, slots, most)
    if layout is None:
        assert frame_bytes == 0 or slots < MIN_SLOTS or most < MIN_SLOTS * (frame_bytes + PAGE)
        return
    assert MIN_SLOTS <= layout.slots <= slots
    assert layout.size <= most + PAGE
    assert frame_bytes <= layout.stride
    if layout.slots <= 64:
        assert read_layout(layout.header(), layout.size) == layout


@given(st.binary(max_size=64), st.integers(0, 2**33))
def test_any_header_is_a_layout_of_that_very_size_or_refused(header: bytes, size: int) -> None:
    with contextlib.suppress(TransportError):
        assert read_layout(header, size).size == size
