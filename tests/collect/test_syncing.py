"""Files that are synced together: real ones, on real file systems."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.collect.syncing import APART_S, MANY, SLOW_S, Crew, file_system, tells_errors
from tests.support.waiting import wait_for

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
31 22 0:26 / /dev/shm rw shared:5 - tmpfs tmpfs rw
40 22 8:17 / /media/my\\040disk rw - vfat /dev/sdb1 rw
"""


class Written:
    """A file that was written to; `calls` counts how often it was synced by itself."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT)
        os.write(self._fd, bytes(5000))
        self.device = os.fstat(self._fd).st_dev
        self.calls = 0

    def fileno(self) -> int:
        return self._fd

    def hasten(self) -> None:
        pass

    def flush(self) -> None:
        pass

    def sync(self) -> None:
        self.calls += 1
        os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def crew() -> Iterator[Crew]:
    crew = Crew()
    yield crew
    crew.close()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[Written]]:
    files = [Written(tmp_path / f"{number}") for number in range(MANY + 1)]
    yield files
    for file in files:
        file.close()


def synced(crew: Crew, files: list[Written]) -> list[OSError | None]:
    done = threading.Event()
    crew.start(files, done.set)
    wait_for(done.is_set)
    assert crew.landed
    return crew.wait()


@pytest.mark.parametrize("count", [1, 3, 4, 5, MANY - 1])
def test_a_few_files_are_synced_one_by_one(crew: Crew, files: list[Written], count: int) -> None:
    assert synced(crew, files[:count]) == [None] * count
    assert [file.calls for file in files] == [1] * count + [0] * (len(files) - count)
    assert crew.wait() == []


def test_what_the_disk_refuses_is_told_of_its_file_alone(crew: Crew, files: list[Written]) -> None:
    reading, writing = os.pipe()
    os.dup2(writing, files[2].fileno())  # a pipe cannot be synced
    errors = synced(crew, files[:6])
    assert [error is not None for error in errors] == [False, False, True, False, False, False]
    os.close(reading)
    os.close(writing)


def test_many_files_are_synced_with_their_file_system_where_that_tells_of_errors(
    crew: Crew, files: list[Written]
) -> None:
    together = tells_errors(files[0].device)
    assert synced(crew, files) == [None] * len(files)
    assert [file.calls for file in files] == [not together] * len(files)


def test_files_of_several_file_systems_are_synced_apart(crew: Crew, files: list[Written]) -> None:
    files[0].device += 1
    assert synced(crew, files) == [None] * len(files)
    assert [file.calls for file in files] == [1] * len(files)


def test_a_file_system_that_was_slow_is_left_alone_for_a_while(files: list[Written]) -> None:
    if not tells_errors(files[0].device):
        pytest.skip("the temporary folder is on a file system that is synced apart anyway")
    begun = 100.0
    times = iter([begun, begun + 2 * SLOW_S, begun + 2 * SLOW_S, begun + 10, begun + 2 * APART_S, begun])
    crew = Crew(now=lambda: next(times, begun + 2 * APART_S))
    assert synced(crew, files) == [None] * len(files)
    assert sum(file.calls for file in files) == 0
    synced(crew, files)
    assert [file.calls for file in files] == [1] * len(files)
    synced(crew, files)
    assert [file.calls for file in files] == [1] * len(files)
    crew.close()


def test_the_type_of_a_file_system_stands_in_the_mounts() -> None:
    assert file_system(MOUNTS, os.makedev(254, 0)) == "ext4"
    assert file_system(MOUNTS, os.makedev(8, 17)) == "vfat"
    assert file_system(MOUNTS, os.makedev(9, 9)) is None
