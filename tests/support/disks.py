"""File systems of a test's own. Where none can be mounted, the test is skipped and says why."""

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.support.waiting import wait_for

_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2  # linux/ext4.h


@contextmanager
def mounted(at: Path, options: str) -> Iterator[Path]:
    """A tmpfs over a folder, which is made where it is not there."""
    at.mkdir(parents=True, exist_ok=True)
    if why := _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(at)):
        pytest.skip(f"cannot mount a tmpfs: {why}")
    try:
        yield at
    finally:
        _umount(at)


def remount(disk: Path, how: str) -> None:
    """Have a file system of the test's own be read-only (`ro`), or writable again (`rw`)."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """Take all the room that there is, but for so many bytes."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while (free := os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize - leave) > 0:
            try:
                file.write(bytes(min(free, 1 << 20)))
            except OSError:
                break
    return ballast


class Ext4:
    """A file system in a file, to be cut off from its power: `with Ext4(folder) as disk: disk.at / "…"`."""

    def __init__(self, folder: Path, megabytes: int = 32) -> None:
        self.at = folder / "ext4"
        self._image = folder / "image"
        self._megabytes = megabytes
        self._restarts = 0

    def power_cut(self) -> None:
        """Nothing more comes to the disk, not even the file system's journal (`EXT4_IOC_SHUTDOWN`): what was
        not synced is lost. `restart` mounts it again, once nobody uses it."""
        fd = os.open(self.at, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def restart(self) -> None:
        """Mount what is on the disk, which nobody uses any more."""
        self._mount_again()

    def plug_in_again(self) -> None:
        """What is on the disk is mounted as another one, while processes still hold files of the first."""
        self._mount_again("--lazy")

    def _mount_again(self, *how: str) -> None:
        """A copy of the disk: what was cut off lives on as long as another mount namespace has it, too, and a
        mount of the same image would be that again."""
        _umount(self.at, *how)
        self._restarts += 1
        before, self._image = self._image, self._image.with_suffix(f".{self._restarts}")
        shutil.copyfile(before, self._image)
        before.unlink()
        self._mount()

    def _mount(self) -> None:
        done = _run("mount", "-o", "loop", str(self._image), str(self.at))
        if done:
            pytest.skip(f"cannot mount an ext4: {done}")

    def __enter__(self) -> Self:
        self.at.mkdir(parents=True)
        with self._image.open("wb") as file:
            file.truncate(self._megabytes << 20)
        if why := _run("mkfs.ext4", "-q", "-F", str(self._image)):
            pytest.skip(f"cannot make an ext4: {why}")
        self._mount()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(["umount", str(self.at)], check=False)


def _umount(at: Path, *how: str) -> None:
    """Take a file system away, once nobody is looking at anything there."""
    tried: list[str] = []

    def is_done() -> bool:
        tried.append(_run("umount", *how, str(at)))
        return not tried[-1]

    try:
        wait_for(is_done, f"{at} is taken away")
    except AssertionError as error:
        error.add_note(tried[-1])
        raise


def _run(*command: str) -> str:
    """Why a command failed; empty where it did not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return f"there is no {command[0]} here"
    return done.stderr.strip() or f"it ended with {done.returncode}" if done.returncode else ""
