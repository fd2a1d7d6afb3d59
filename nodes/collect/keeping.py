"""The thread that keeps a folder within its limits: it removes what `retention` says is to go.

Rules kept here: it is never in the way of a frame: it decides and removes beside the thread that records,
some files at a time; a recording's row goes first, then its files: who is killed between the two finds at the
next start which files were to go; a full disk is no reason to remove nothing: there a file goes first, so
that the row can, and where not even the index can be opened, files go by their names.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from itertools import islice
from pathlib import Path

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import StorageError
from mesh.recordings.index import NAME
from mesh.recordings.kept import Kept
from mesh.recordings.limits import Keep
from mesh.stats import Counters, Rarely
from nodes.collect.by_name import to_go
from nodes.collect.recorder import storage_error
from nodes.collect.removal import lock_of, remove_files
from nodes.collect.retention import LEAP_NS, Believed, Disk, Stored, Used, Verdict, believe, decide

log = logging.getLogger(__name__)

TICK_S = 1.0  # how often the disk's room is looked at
LOOK_S = 10.0  # and all else
BATCH = 64  # recordings whose rows go in one transaction
FULL_BYTES = 1 << 20  # with less than this the index may find no room for its log
NOTE_NS = 60 * 1_000_000_000  # how often it is noted up to when age was counted
COMPLAIN_S = 60.0


def disk_of(into: Path) -> Disk:
    """The disk that a folder is on. Raises `OSError`."""
    found = os.statvfs(into)
    return Disk(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def is_full(disk: Disk) -> bool:
    """Whether the index may find no room."""
    return disk.free < FULL_BYTES


class Keeper:
    """Keeps `into` within its limits until `stopping` is set. `run` is for one thread; `counters` for any.

    unwell:   is told which limit cannot be kept, and why; empty: all can
    removed:  is told which recordings are not kept any more
    disk:     what there is of the disk
    """

    def __init__(
        self,
        into: Path,
        keep: Keep,
        unwell: Callable[[str], None],
        *,
        removed: Callable[[list[str]], None] = lambda paths: None,
        disk: Callable[[Path], Disk] = disk_of,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.counters = Counters()
        self._into, self._keep, self._unwell = into, keep, unwell
        self._removed = removed
        self._disk, self._clock = disk, clock
        self._kept: Kept | None = None
        self._believed: Believed | None = None
        self._noted_ns = 0
        self._refusing: set[str] = set()  # cameras whose files the disk refuses to remove
        self._looked_at = float("-inf")
        self._told = ""
        self._rarely = Rarely(COMPLAIN_S)

    def __repr__(self) -> str:
        return f"<Keeper {self._into} {dict(self.counters.snapshot())}>"

    def run(self, stopping: threading.Event) -> None:
        try:
            while not stopping.is_set():
                self._try(stopping)
                self._clock.wait(stopping, TICK_S)
        finally:
            self.close()

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def look(self, stopping: threading.Event) -> None:
        """Remove what is to go now. Raises `StorageError`, or `OSError`."""
        kept = self._kept = self._kept or Kept(self._into)
        now_ns = self._now_ns(kept)
        if self._refusing:
            self._refusing = self._remove_files(kept, kept.removing())
        more = True
        while more and not stopping.is_set():
            verdict = self._decided(kept, now_ns)
            for batch in _batches(verdict.remove):
                if not stopping.is_set():
                    self._remove(kept, batch)
            more = verdict.more
            self._tell(verdict.why)
        self._note(kept, now_ns)

    def is_disk_read_only(self) -> bool:
        """Whether it is mounted so. Raises `StorageError`."""
        try:
            return bool(os.statvfs(self._into).f_flag & os.ST_RDONLY)
        except OSError as error:
            raise storage_error(self._into, error) from error

    def is_disk_full(self) -> bool:
        """Whether the index may find no room. Raises `StorageError`."""
        try:
            return is_full(self._disk(self._into))
        except OSError as error:
            raise storage_error(self._into, error) from error

    def make_room(self) -> None:
        """Let the oldest recordings go until the index finds room, where the limits ask for that: on a disk
        that is so full that it cannot be opened."""
        gone: list[Stored] = []
        try:
            for each in to_go(self._into, self._keep, self._disk(self._into)):
                if self.is_disk_full() and remove_files(self._into, [each.path]).gone:
                    gone.append(each)
            if gone and (self._into / NAME).exists():
                with closing(Kept(self._into)) as kept:
                    kept.remove([each.path for each in gone])
        except OSError as error:
            self._complain(storage_error(self._into, error))
        except StorageError as error:
            self._complain(error)
        if gone:
            log.warning("the disk was full: the oldest %d recordings were removed, to begin", len(gone))
            self._count(gone)

    def _try(self, stopping: threading.Event) -> None:
        """Look when it is time, and again when the disk refuses."""
        try:
            if self._is_due():
                self.look(stopping)
                self._looked_at = self._clock.monotonic()
        except OSError as error:
            self._complain(storage_error(self._into, error))
        except StorageError as error:
            self._complain(error)

    def _is_due(self) -> bool:
        if self._clock.monotonic() - self._looked_at >= LOOK_S:
            return True
        disk = self._disk(self._into)
        return self._keep.free is not None and disk.free < self._keep.free.of(disk.total) and not self._told

    def _decided(self, kept: Kept, now_ns: int) -> Verdict:
        closed, opened = kept.bytes(opened=False), kept.bytes(opened=True)
        used = {c: Used(closed.get(c, 0), opened.get(c, 0)) for c in closed.keys() | opened.keys()}
        kept.see_ahead(closed, now_ns + LEAP_NS, now_ns)

        def oldest(camera: str) -> Iterator[Stored]:
            stays = camera in self._refusing
            for path, last_ns, size in kept.oldest(camera):
                yield Stored(path, camera, last_ns, size, stays or lock_of(self._into, path).exists())

        return decide(used, oldest, self._keep, self._disk(self._into), now_ns)

    def _now_ns(self, kept: Kept) -> int:
        """The time by which age is counted."""
        wall_ns, at = self._clock.wall_ns(), self._clock.monotonic()
        before = self._believed
        if before is None:
            known_ns = kept.aged_ns() or kept.newest_ns() or wall_ns
            before = Believed(min(known_ns, wall_ns), at)
        now = self._believed = believe(before, wall_ns, at)
        if now.ahead_ns and not before.ahead_ns:
            ahead = timedelta(seconds=now.ahead_ns // 1_000_000_000)
            log.warning(
                "the clock is ahead by %s, set forward or after a rest: in twelve hours it counts for ages",
                ahead,
            )
        return now.now_ns

    def _note(self, kept: Kept, now_ns: int) -> None:
        """Have the index remember up to when age was counted, so that a restart does not make it leap."""
        if abs(now_ns - self._noted_ns) >= NOTE_NS:
            kept.age(now_ns)
            self._noted_ns = now_ns

    def _remove(self, kept: Kept, batch: list[Stored]) -> None:
        going = [each for each in batch if not lock_of(self._into, each.path).exists()]
        paths = [each.path for each in going]
        try:
            kept.remove(paths)
        except StorageError:
            self._make_room(kept, paths)
        self._removed(paths)
        self._refusing |= self._remove_files(kept, paths)
        self._count(going)

    def _count(self, going: list[Stored]) -> None:
        self.counters.add("removed_segments", len(going))
        self.counters.add("removed_bytes", sum(each.bytes for each in going))

    def _remove_files(self, kept: Kept, paths: list[str]) -> set[str]:
        """Remove the files of what was forgotten; the cameras of which the disk refuses some. What is not
        found is looked for again at the next start: its disk may be away."""
        done = remove_files(self._into, paths)
        kept.removed(done.gone)
        for path, error in done.refused.items():
            self._complain(storage_error(self._into / path, error))
        return {Path(path).parts[0] for path in done.refused}

    def _make_room(self, kept: Kept, paths: list[str]) -> None:
        """The index found no room: let a file go first. Raises `StorageError` where that was not why."""
        for path in paths:
            if not is_full(self._disk(self._into)):
                break
            remove_files(self._into, [path])
        kept.remove(paths)

    def _tell(self, why: str) -> None:
        if why != self._told:
            self._told = why
            self._unwell(why)
            if why:
                log.warning("%s", why)

    def _complain(self, error: StorageError) -> None:
        if (held := self._rarely.ready(self._clock.monotonic())) is not None:
            log.error("old recordings cannot be removed: %s (%d more like it)", error, held)


def _batches(remove: tuple[Stored, ...]) -> Iterator[list[Stored]]:
    rest = iter(remove)
    while batch := list(islice(rest, BATCH)):
        yield batch
