"""`file:`: hand edits, comments, and other processes."""

import logging
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from mesh.errors import ConfigError, Conflict, StorageError
from mesh.registry import Delete, Put, open_registry, sidecar
from mesh.registry.file import STALL, FileRegistry
from mesh.registry.sidecar import KEEP
from mesh.scope import Scope
from tests.registry.helpers import take, take_snapshot
from tests.support.clock import ManualClock
from tests.support.waiting import WITHIN_S

TEXT = """\
# My cameras
[cameras.door]
source = "rtsp://door"  # the street
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "mesh.toml"
    path.write_text(TEXT)
    return path


def test_a_persons_text_is_read_and_survives(path: Path) -> None:
    with open_registry(f"file:{path}") as registry:
        entry = registry.get("cameras/door")
        assert entry is not None
        assert (entry.value, entry.lease) == ({"source": "rtsp://door"}, 0)
        assert entry.revision > 0
        registry.put("cameras/yard", {"source": "rtsp://yard"})
        registry.put("nodes/a", {}, lease=registry.grant(60))
    text = path.read_text()
    assert text.startswith(TEXT)
    assert "nodes/a" not in text
    with open_registry(f"file:{path}") as registry:
        assert [entry.key for entry in registry.list()] == ["cameras/door", "cameras/yard", "nodes/a"]
        assert registry.get("cameras/door") == entry


def test_a_watch_sees_hand_edits(path: Path) -> None:
    with open_registry(f"file:{path}") as registry, registry.watch("cameras/") as watch:
        take_snapshot(watch)
        path.write_text(TEXT.replace("rtsp://door", "rtsp://gate") + '[cameras.yard]\nsource = "y"\n')
        changed, added = take(watch), take(watch)
        assert isinstance(changed, Put)
        assert isinstance(added, Put)
        assert changed.entry.value == {"source": "rtsp://gate"}
        assert (added.entry.key, added.entry.revision) == ("cameras/yard", changed.entry.revision + 1)
        with pytest.raises(Conflict):
            registry.put("cameras/yard", {}, expect=0)
        path.write_text("# none\n")
        assert {event.key for event in (take(watch), take(watch)) if isinstance(event, Delete)} == {
            "cameras/door",
            "cameras/yard",
        }


def test_a_broken_edit_stops_nobody(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_registry(f"file:{path}") as registry:
        lease = registry.grant(60)
        path.write_text("[cameras.door\n")
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                registry.keep_alive(lease)
                registry.put("nodes/a", {}, lease=lease)
        assert [record.message for record in caplog.records if "going on" in record.message] == [
            f"{path}: Expected ']' at the end of a table declaration (at line 1, column 14); "
            "going on with what stood there before"
        ]
        assert registry.get("cameras/door") is not None
        with pytest.raises(ConfigError, match="line 1"):
            registry.put("cameras/yard", {})
        assert path.read_text() == "[cameras.door\n"
        path.write_text("[cameras.gate]\n")
        assert [entry.key for entry in registry.list()] == ["cameras/gate", "nodes/a"]


def test_an_editor_that_moves_the_file_away_deletes_nothing(path: Path) -> None:
    with open_registry(f"file:{path}") as registry:
        path.rename(path.with_suffix(".bak"))
        assert [entry.key for entry in registry.list()] == ["cameras/door"]
        registry.put("cameras/yard", {})
        assert path.read_text().count("cameras/") == 2


def test_bytes_that_are_not_text_survive_in_a_comment(path: Path) -> None:
    path.write_bytes(b"# caf\xe9\n")
    with open_registry(f"file:{path}") as registry:
        registry.put("cameras/yard", {})
    assert path.read_bytes().startswith(b"# caf\xe9\n")


def test_a_watch_that_falls_behind_the_log_is_given_the_difference(path: Path) -> None:
    with open_registry(f"file:{path}") as registry, registry.watch("nodes/") as watch:
        lease = registry.grant(60)
        first = registry.put("nodes/a", {}, lease=lease)
        assert take_snapshot(watch)[0] == [first]
        registry.put("nodes/b", {"n": -1}, lease=lease)
        registry.delete("nodes/a")
        for number in range(KEEP):
            last = registry.put("nodes/b", {"n": number}, lease=lease)
        assert take(watch) == Put(last)
        assert take(watch) == Delete("nodes/a", last.revision)
        assert take_snapshot(watch) == ([], last.revision)


def test_leases_survive_the_program_but_not_a_reboot(path: Path) -> None:
    clock = ManualClock(start=1000.0)
    with open_registry(f"file:{path}", clock=clock) as registry:
        lease = registry.grant(5)
        registry.put("nodes/a", {}, lease=lease)
    with open_registry(f"file:{path}", clock=clock) as registry:
        registry.keep_alive(lease)
        assert registry.get("nodes/a") is not None
    with open_registry(f"file:{path}", clock=ManualClock(start=3.0)) as registry:
        assert registry.get("nodes/a") is None


def test_another_process_that_has_the_files_for_long_ends_no_lease(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sidecar, "BUSY", WITHIN_S)
    clock, waits = ManualClock(), threading.Event()
    with (
        FileRegistry(path, clock) as registry,
        closing(sqlite3.connect(f"{path}.live", isolation_level=None, check_same_thread=False)) as other,
        Scope("test") as scope,
    ):
        lease, kept = registry.grant(5), registry.grant(5)
        registry.put("nodes/a", {}, lease=lease)
        registry.put("nodes/b", {}, lease=kept)
        other.execute("BEGIN IMMEDIATE")

        def hold() -> None:
            waits.wait()
            threading.Event().wait(2 * STALL)  # the fault itself
            other.execute("COMMIT")

        def transaction() -> AbstractContextManager[None]:
            waits.set()
            return real()

        def only_kept() -> bool:
            registry.keep_alive(kept)  # its own renewal comes before the end of leases
            return [entry.key for entry in registry.list("nodes/")] == ["nodes/b"]

        real = registry._sidecar.transaction
        monkeypatch.setattr(registry._sidecar, "transaction", transaction)
        scope.on_stop(waits.set)
        scope.spawn("hold", hold)
        clock.advance(5.1)
        assert [entry.key for entry in registry.list("nodes/")] == ["nodes/a", "nodes/b"]
        clock.advance(5)
        clock.advance_until(only_kept)


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"directory .*/none of the registry file does not exist"):
        open_registry(f"file:{tmp_path}/none/mesh.toml")
    (tmp_path / "broken.toml").write_text("a = 1\nb = = 2\n")
    with pytest.raises(ConfigError, match=r"broken\.toml: .*line 2"):
        open_registry(f"file:{tmp_path}/broken.toml")
    assert not (tmp_path / "broken.toml.live").exists()
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="cannot read"):
        open_registry(f"file:{tmp_path}/folder")
    (tmp_path / "odd.toml.live").write_text("not a database, but long enough to be looked at" * 40)
    with pytest.raises(StorageError, match="delete it; it holds no configuration"):
        open_registry(f"file:{tmp_path}/odd.toml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_read_only_file_is_read_and_not_written(path: Path) -> None:
    path.chmod(0o444)
    with open_registry(f"file:{path}") as registry:
        registry.put("nodes/a", {}, lease=registry.grant(5))
        with pytest.raises(StorageError, match="read-only"):
            registry.put("cameras/yard", {})
        assert registry.get("cameras/yard") is None


COUNT = """
import sys
from mesh.errors import Conflict
from mesh.registry import open_registry
with open_registry(sys.argv[1]) as registry:
    done = 0
    while done < 20:
        entry = registry.get("cameras/count")
        try:
            registry.put("cameras/count", {"n": entry.value["n"] + 1}, expect=entry.revision)
            done += 1
        except Conflict:
            pass
"""


def test_processes_share_a_file(path: Path) -> None:
    url = f"file:{path}"
    with open_registry(url) as registry, registry.watch("cameras/count") as watch:
        registry.put("cameras/count", {"n": 0})
        take_snapshot(watch)
        with (
            subprocess.Popen([sys.executable, "-c", COUNT, url]) as one,
            subprocess.Popen([sys.executable, "-c", COUNT, url]) as two,
        ):
            seen = [
                event.entry.value["n"] for event in (take(watch) for _ in range(40)) if isinstance(event, Put)
            ]
        assert (one.returncode, two.returncode) == (0, 0)
        assert seen == list(range(1, 41))
    assert path.read_text().startswith(TEXT)
    assert not [name for name in os.listdir(path.parent) if name.startswith(".")]
