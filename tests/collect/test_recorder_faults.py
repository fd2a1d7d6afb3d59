"""What a disk may do to a recorder: no folder, no permission, no space, a process that is killed."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.errors import StorageError
from mesh.recordings.ebml import whole
from nodes.collect.recorder import Recorder, check_target
from tests.collect.support import START_NS, make, read, segments
from tests.support.disks import mounted

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    with mounted(tmp_path / "disk", "size=1m") as disk:
        yield disk


def fill(recorder: Recorder, why: str = "the disk is full: free some space or record elsewhere") -> int:
    """Write until the disk refuses; the number of frames that were taken, of which the last one waits."""
    for seq in range(10_000):
        recorder.write(make(seq))
        if failed := recorder.commit().failed:
            assert why in str(failed["front", "raw"])
            return seq + 1
    raise AssertionError("the disk never filled up")


def test_a_target_that_is_missing_is_made(tmp_path: Path) -> None:
    check_target(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StorageError, match="a file stands where a folder is needed"):
            check_target(target)


def test_a_folder_that_cannot_be_made_never_was_there() -> None:
    with pytest.raises(
        StorageError, match="to /proc/nope/rec: no folder can be made there; record elsewhere"
    ):
        check_target(Path("/proc/nope/rec"))


def test_a_file_in_the_way_of_a_camera(tmp_path: Path) -> None:
    (tmp_path / "front").write_text("")
    with Recorder(tmp_path) as recorder:
        with pytest.raises(StorageError, match=r"cannot record to .*/front: a file stands where"):
            recorder.write(make())
        recorder.write(make(camera="back"))
    assert len(segments(tmp_path)) == 1


def test_a_target_that_may_not_be_written(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    if os.access(locked, os.W_OK):  # root may
        with pytest.raises(StorageError, match=r"cannot record to /proc/[^:]*: "):
            check_target(Path("/proc/recordings"))
        return
    with pytest.raises(StorageError, match="permission denied: choose a folder that this user may write"):
        check_target(locked)


def test_a_folder_that_goes_away_is_made_again(tmp_path: Path) -> None:
    into = tmp_path / "rec"
    recorder = Recorder(into)
    into.rmdir()
    recorder.write(make())
    recorder.close()
    assert len(segments(into)) == 1


def seqs(into: Path) -> list[int]:
    """The numbers of all frames in all segments, each of which must be whole."""
    found: list[int] = []
    for path in segments(into):
        recorded = read(path)
        assert len(recorded.packets) == len(recorded.pts_ms) == len(recorded.lines) > 0
        assert [entry["pts_ms"] for entry in recorded.lines] == recorded.pts_ms
        numbers = [entry["seq"] for entry in recorded.lines]
        assert numbers == sorted(numbers)
        found += numbers
    return sorted(found)


def test_a_full_disk_leaves_whole_segments(small_disk: Path) -> None:
    recorder = Recorder(small_disk)
    taken = fill(recorder)
    assert taken > 20
    stats = recorder.stats()
    assert seqs(small_disk) == list(range(stats.frames))
    assert (stats.frames, stats.waiting, stats.open) == (taken - 1, 1, 0)
    (path,) = segments(small_disk)
    cut_off = bytes(make(taken - 1).payload)[1000:1100]  # beyond the tables that all pictures share
    assert cut_off not in path.read_bytes()


def test_what_was_taken_in_is_written_when_there_is_space_again(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(200_000))
    recorder = Recorder(small_disk)
    taken = fill(recorder)
    for seq in range(1000, 1005):
        with pytest.raises(StorageError):
            recorder.write(make(seq, size=(960, 640)))
    assert len(segments(small_disk)) == 1
    ballast.unlink()
    for seq in range(500, 510):
        recorder.write(make(seq))
    recorder.close()
    assert seqs(small_disk) == [*range(taken), *range(500, 510)]
    assert recorder.stats().waiting == 0
    assert recorder.stats().frames == taken + 10


def test_a_disk_that_is_full_when_a_segment_ends_costs_no_frame(small_disk: Path) -> None:
    """Only the table to seek by does not fit any more: the file is finished without it."""
    recorder = Recorder(small_disk, segment_seconds=3600)
    frames = [make(seq, size=(16, 16), captured_ns=START_NS + seq * 10**9) for seq in range(400)]
    for frame in frames:
        recorder.write(frame)
    assert [frame.seq for frame in recorder.commit().safe] == list(range(400))
    disk, ballast = os.statvfs(small_disk), small_disk / "ballast"
    ballast.write_bytes(bytes(disk.f_bavail * disk.f_bsize))
    recorder.close()
    assert seqs(small_disk) == list(range(400))
    (path,) = segments(small_disk)
    assert whole(path.read_bytes()).finished
    assert (recorder.stats().frames, recorder.stats().waiting) == (400, 0)


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    """Without a mount: the system refuses to let a file grow beyond a limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    recorder = Recorder(tmp_path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        taken = fill(recorder, "the file would pass the size that is allowed")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    recorder.close()
    assert seqs(tmp_path) == list(range(taken))


def test_a_recorder_that_is_killed_leaves_a_readable_segment(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from nodes.collect.recorder import Recorder; from tests.collect.support import make\n"
        "recorder = Recorder(Path(sys.argv[1]))\n"
        "for seq in range(100): recorder.write(make(seq))\n"
        "recorder.commit()\n"
        "for seq in range(100, 200): recorder.write(make(seq))\n"
        "print('written', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
    (path,) = segments(tmp_path)
    recorded = read(path)
    assert len(recorded.lines) == 100
    assert len(recorded.packets) == len(recorded.pts_ms) == 100
    assert recorded.packets == [bytes(make(seq).payload) for seq in range(len(recorded.packets))]
    assert [entry["pts_ms"] for entry in recorded.lines][: len(recorded.pts_ms)] == recorded.pts_ms
