"""The collector is gone for long while memory is small, and the process node is killed meanwhile: whatever
the spool had taken is recorded in the end, and in order."""

import json
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import msgpack
import pytest

from tests.e2e.site import Site
from tests.faults.figures import LONG, row
from tests.faults.settled import wait_accounted
from tests.support.waiting import wait_for

STAGE = "passthrough"
CAMERAS = ("door", "gate")
GONE_S = 60.0 if LONG else 6.0
WINDOW = ("--policy", "fifo", "--window-mb", "0.2")

Identity = tuple[str, int, int]  # camera, boot, seq


def spooled(folder: Path) -> list[Identity]:
    """What stands in the spools of a folder, in order."""
    found = []
    for file in sorted(folder.glob("*.spool")):
        for camera, packed in rows_of(file):
            header = msgpack.unpackb(packed)
            found.append((camera, header["boot"], header["seq"]))
    return found


def rows_of(file: Path) -> list[tuple[str, bytes]]:
    """A spool's results; none of one that its node is just making, or has emptied and removed."""
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=30)) as db:
            return db.execute(
                "SELECT camera, header FROM results JOIN streams ON stream = id WHERE frames ORDER BY number"
            ).fetchall()
    except sqlite3.OperationalError as error:
        if file.exists() and "no such table" not in str(error):
            raise
        return []


def recorded(site: Site, camera: str) -> list[Identity]:
    """What the files of a recording say, in the order in which they were written."""
    files = list((site.recordings / camera).glob(f"*/*-{STAGE}*.jsonl"))
    files.sort(key=lambda file: file.stat().st_mtime_ns)
    lines = (json.loads(line) for file in files for line in file.read_text().splitlines())
    return [(camera, line["boot"], line["seq"]) for line in lines]


@pytest.mark.timeout(300)
def test_a_collector_that_is_gone_and_a_process_node_that_is_killed_cost_nothing_that_was_spooled(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "spool"
    options = (STAGE, *WINDOW, "--spool", folder, "--drain", 60)
    with Site(tmp_path) as site:
        collector = site.collect(name="first")
        victim = site.node("process", *options, name="process")
        site.wait_nodes("first", "process")
        capture = site.capture(*(f"{name}=synthetic:?size=320x240&fps=30" for name in CAMERAS))
        for camera in CAMERAS:
            site.wait_recorded(camera, STAGE)
        collector.kill()
        gone_at = time.monotonic()
        files = folder / STAGE
        wait_for(
            lambda: time.monotonic() - gone_at > GONE_S / 2 and len(spooled(files)) > 60,
            "the spool has taken over",
        )
        victim.kill()
        kept = spooled(files)
        site.node("process", *options, name="second")
        wait_for(
            lambda: time.monotonic() - gone_at > GONE_S and len(spooled(files)) > len(kept),
            "the next one adds to what it found",
        )
        site.collect(name="again")
        back_at = time.monotonic()
        assert capture.stop() == 0
        for camera in CAMERAS:
            wait_accounted(site, camera)
        wait_for(lambda: not spooled(files), "the spool has drained")
        drained = time.monotonic() - back_at
        in_order = {camera: recorded(site, camera) for camera in CAMERAS}
        everything = {identity for found in in_order.values() for identity in found}
        assert len(kept) > 60
        assert set(kept) <= everything, "nothing that was spooled is lost"
        ledger = site.stats()
        for camera, found in in_order.items():
            group = ledger[camera]["groups"][STAGE]
            assert list(dict.fromkeys(found)) == sorted(set(found)), "in order"
            assert ledger[camera]["unaccounted"] == 0
            assert group["waiting"] == 0
            assert set(group["undelivered"]) <= {"died"}
            assert group["results"] == group["delivered"] + sum(group["undelivered"].values())
        groups = [ledger[camera]["groups"][STAGE] for camera in CAMERAS]
        dropped: Counter[str] = Counter()
        for group in groups:
            dropped.update(group["dropped"])
            dropped.update({f"{cause}_results": count for cause, count in group["undelivered"].items()})
        row(
            fault=f"2 collector gone for {GONE_S:g} s, process node killed meanwhile",
            offered=sum(ledger[camera]["captured"] for camera in CAMERAS),
            delivered=sum(group["delivered"] for group in groups),
            recorded=len(everything),
            spooled_at_the_kill=len(kept),
            dropped=dropped,
            lost=sum(group["lost"] for group in groups),
            duplicates=sum(ledger[camera]["duplicates"] for camera in CAMERAS),
            recovery_s=round(drained, 1),
        )
