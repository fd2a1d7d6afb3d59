"""Whether there is room where frames and results are kept, here and where nodes and the registry say. Pure.

Rules kept here: what is full, or cannot be written, has failed; shares of a large disk are no measure for it,
so that 4 % of 10 TB, on which a recording is meant to fill the disk, is room enough.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.doctor.findings import Finding, failed, ok, warning
from mesh.doctor.reach import Reached
from mesh.registry import Folder

CHECK = "disk"
MIB, GIB = 1 << 20, 1 << 30
LOW = (0.05, 1 * GIB, 20 * GIB)  # this share of the disk, but no less than so much and no more than so much
EMPTY = (0.01, 200 * MIB, 2 * GIB)
SHARED = "/dev/shm"
SHARED_BYTES = 256 * MIB  # some streams' pixels, of 64 MiB at most each
FOLDERS = "folders"


@dataclass(frozen=True, slots=True)
class Local:
    """A folder of this machine as it was found; `what` it is for. `trouble` says why it cannot be looked at.

    there:  what of its path exists
    """

    what: str
    path: str
    there: str = ""
    exists: bool = False
    free_bytes: int = 0
    total_bytes: int = 0
    writable: bool = False
    trouble: str = ""

    @classmethod
    def of(cls, what: str, path: str, found: Mapping[str, Any] | None, timeout: float) -> "Local":
        """From what `mesh.doctor.probe` found; None: it did not come in time."""
        if found is None:
            return cls(what, path, trouble=f"it does not answer within {timeout:g} s")
        if "error" in found:
            return cls(what, path, trouble=str(found["error"]).lower())
        return cls(what, path, **found)


def judge(
    local: Iterable[Local], reached: Iterable[Reached], registry: Iterable[Folder], registry_host: str
) -> Iterator[Finding]:
    for folder in local:
        if folder.path == SHARED:
            yield from judge_shared(folder)
        else:
            yield judge_local(folder)
    for one in reached:
        for told in told_folders(one):
            yield judge_told(f"{one.node.id}: {told.path}", one.node.host, told)
    for told in registry:
        yield judge_told(f"registry: {told.path}", registry_host or "this machine", told)


def told_folders(reached: Reached) -> Iterator[Folder]:
    """The folders that a node names when it is asked how it is; an older one names none."""
    value = reached.answer.value if reached.answer is not None else None
    folders = (value or {}).get(FOLDERS)
    for told in folders if isinstance(folders, list) else ():
        try:
            yield Folder.model_validate(told)
        except ValueError:  # what is no folder is not one that is full
            continue


def judge_local(folder: Local) -> Finding:
    subject = f"{folder.what}: {folder.path}"
    if folder.trouble:
        return failed(
            CHECK,
            subject,
            folder.trouble,
            f"look at the disk or network share that it is on: findmnt -T {folder.path}; dmesg",
        )
    return judge_room(subject, "this machine", folder.there, folder.free_bytes, folder.total_bytes)


def judge_told(subject: str, host: str, folder: Folder) -> Finding:
    if not folder.writable:
        return failed(
            CHECK,
            subject,
            f"it cannot write there on {host}",
            f"on {host}: see who owns it (ls -ld {folder.path}) and whether the disk is read-only "
            f"(findmnt -T {folder.path})",
        )
    return judge_room(subject, host, folder.path, folder.free_bytes, folder.total_bytes)


def judge_room(subject: str, host: str, path: str, free: int, total: int) -> Finding:
    told = f"{_shown(free)} free of {_shown(total)} on {host}"
    do = f"on {host}: make room (du -xh --max-depth=1 {path} | sort -h), or move it to a larger disk"
    if free < _limit(EMPTY, total):
        return failed(CHECK, subject, f"{told}: it is full", do)
    if free < _limit(LOW, total):
        return warning(CHECK, subject, f"{told}: it is filling up", do)
    return ok(CHECK, subject, told)


def judge_shared(folder: Local) -> Iterator[Finding]:
    """Shared memory; a machine without it takes frames encoded."""
    if folder.trouble or not folder.exists:
        return
    told = f"{_shown(folder.free_bytes)} free of {_shown(folder.total_bytes)}"
    if folder.free_bytes < SHARED_BYTES:
        yield warning(
            CHECK,
            f"shared memory: {SHARED}",
            f"{told}: when it is used up, frames go encoded, which costs more CPU",
            "in a container: --shm-size 1g (docker run) or shm_size: 1g (compose); else: "
            f"mount -o remount,size=1g {SHARED}; rm what no program uses in it",
        )
    else:
        yield ok(CHECK, f"shared memory: {SHARED}", told)


def _limit(limit: tuple[float, int, int], total: int) -> float:
    share, least, most = limit
    return max(least, min(share * total, most))


def _shown(size: int) -> str:
    for unit, name in ((1 << 40, "TiB"), (GIB, "GiB"), (MIB, "MiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size / 1024:.0f} KiB"
