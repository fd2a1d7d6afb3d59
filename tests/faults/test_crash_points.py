"""A collector, cut off at each step of its disk's, by `kill -9` and by a power cut: what was acknowledged is
there when it starts again, once and whole; what is being removed is there or gone, and not half of it."""

import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import mesh
from mesh.recordings.kept import Kept
from mesh.recordings.verify import verify
from nodes.collect.rebuild import rebuild
from nodes.collect.recovery import Recovered, recover
from tests.collect.support import read_lines
from tests.faults.figures import LONG, row
from tests.recordings.made import holdings
from tests.support.crashing import made
from tests.support.forks import Child, Forks
from tests.support.power import OF_INDEX

KILLED = -9
Held = dict[str, list[int]]  # seqs by camera


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with Forks("tests.support.crashing:crash", tmp_path_factory.mktemp("forks") / "log") as forks:
        yield forks


@dataclass
class Heard:
    """What a child told: what it acknowledged, and the steps that it took, if it came to its end."""

    acked: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    steps: list[str] = field(default_factory=list)

    def all_of(self, child: Child) -> "Heard":
        while (said := child.hear()) is not None:
            self.steps = said.get("steps", self.steps)
            for camera, seq in said.get("acked", ()):
                self.acked[camera].add(seq)
        return self


class Bench:
    """Does a job again and again, each time on a fresh copy of `template`."""

    def __init__(self, forks: Forks, folder: Path, job: str, template: Path | None = None) -> None:
        self.forks, self.folder, self.job, self.template = forks, folder, job, template
        self.whole = self.cut(0)[1]
        assert self.whole.steps

    def cut(self, at: int) -> tuple[Path, Heard]:
        """The folder in which lies what is left, and what was heard."""
        base = self.folder / f"{self.job}-{at}"
        into = base / "killed"
        if self.template is None:
            into.mkdir(parents=True)
        else:
            shutil.copytree(self.template, into)
        child = self.forks.start(job=self.job, into=str(into), after=str(base), at=at)
        heard = Heard().all_of(child)
        assert child.code == (0 if heard.steps else KILLED)
        return base, heard

    def leavings(self, every: int = 1) -> Iterator[tuple[str, Path, Heard]]:
        """What is left by a kill and by power cuts at each step, or each so many; with its name."""
        for at in range(1, len(self.whole.steps) + 1, every):
            base, heard = self.cut(at)
            if heard.steps:  # fewer than before: files were synced in another way
                assert 2 * at > len(self.whole.steps), "most of the steps are there each time"
                return
            is_write = self.whole.steps[at - 1] == "pwrite"  # before it nothing is safer than before
            for kind in ("killed", "torn") if is_write else ("killed", "torn", "strict"):
                if kind == "strict":
                    age_index(base, at)
                name = f"{self.job}, {kind} before step {at}, {self.whole.steps[at - 1]}"
                yield name, base / kind, heard
            shutil.rmtree(base)


def age_index(base: Path, at: int) -> None:
    """Have the index be of some time ago, or gone, every other time."""
    if at % 3:
        for name in OF_INDEX:
            (base / "strict" / name).unlink(missing_ok=True)
    if at % 3 == 1 and (base / "old").exists():
        shutil.copytree(base / "old", base / "strict", dirs_exist_ok=True)


def recovered(into: Path) -> Recovered:
    found = recover(into)
    found.index.close()
    return found


def held(into: Path) -> Held:
    """What is recorded; each frame is whole, decodes, and is there once."""
    found: Held = {}
    with mesh.open_recordings(into) as recordings:
        for camera in recordings.cameras():
            frames = list(recordings.frames(camera))
            assert all(bytes(f.payload) == made(camera, f.seq).payload for f in frames)
            assert all(f.image.shape == (16, 16, 3) for f in frames)
            found[camera] = [f.seq for f in frames]
        assert (recordings.stats().bad_files, recordings.stats().bad_frames) == (0, 0)
    assert all(seqs == sorted(set(seqs)) for seqs in found.values())
    return found


def check_acknowledged(into: Path, heard: Heard) -> None:
    recovered(into)
    there = held(into)
    for camera, seqs in heard.acked.items():
        assert seqs <= set(there[camera]), f"{camera}: acknowledged, and gone"


def check_index(into: Path) -> None:
    """The index says what the files say, row for row."""
    assert not any(each.is_problem for each in verify(into))
    before = holdings(into)
    assert rebuild(into).aside == 0
    assert holdings(into) == before


@pytest.mark.parametrize(("job", "every"), [("few", 1), ("many", 1 if LONG else 17)])
@pytest.mark.timeout(600)
def test_what_was_acknowledged_survives_the_end_at_any_step(
    forks: Forks, tmp_path: Path, job: str, every: int
) -> None:
    with forks.watched():
        bench = Bench(forks, tmp_path, job)
        synced = {"few": {"fdatasync"}, "many": {"fdatasync", "syncfs"}}[job]
        assert set(bench.whole.steps) == {"mkdir", "pwrite", "fsync", "commit"} | synced
        for count, (name, into, heard) in enumerate(bench.leavings(every)):
            try:
                check_acknowledged(into, heard)
                assert into.name != "killed" or not (into / "quarantine").exists(), "it is cut cleanly"
                if into.name == "killed" and (LONG or count % 5 == 0):
                    check_index(into)
            except BaseException as error:
                error.add_note(name)
                raise
    row(f"cut off at each {every} of {len(bench.whole.steps)} steps, {job}", lost=0)


@pytest.fixture(scope="module")
def recorded(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of several recordings of two cameras, all of them ended."""
    into = Bench(forks, tmp_path_factory.mktemp("recorded"), "few").folder / "few-0" / "killed"
    recovered(into)
    return into


@pytest.fixture(scope="module")
def crashed(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Heard]:
    """A folder of a collector that was killed, with all that a recovery may find; and what is safe."""
    folder = tmp_path_factory.mktemp("crashed")
    bench = Bench(forks, folder, "few")
    base, heard = bench.cut(len(bench.whole.steps) - 8)
    assert not heard.steps
    into = base / "killed"
    first = min(into.glob("cam00/*/*.mkv"))
    unread = first.with_name("11-00-00-raw.mkv")  # it goes to the quarantine
    unread.write_bytes(b"no video")
    shutil.copyfile(first.with_suffix(".jsonl"), unread.with_suffix(".jsonl"))
    with closing(Kept(into)) as kept:  # as retention leaves it that was killed then
        kept.remove([str(first.relative_to(into))])
    heard.acked["cam00"] -= {entry["seq"] for entry in read_lines(first)}
    return into, heard


def test_what_is_being_removed_is_there_or_gone(forks: Forks, tmp_path: Path, recorded: Path) -> None:
    whole = holdings(recorded)
    frames = {path: listed.row.frames for path, listed in whole.items()}
    with forks.watched():
        bench = Bench(forks, tmp_path, "keep", recorded)
        assert {"unlink", "fsync", "commit"} <= set(bench.whole.steps)
        for name, into, _ in bench.leavings():
            try:
                found = recovered(into)
                left = holdings(into)
                assert all(whole[path] == listed for path, listed in left.items())
                assert {p.with_suffix(end) for p in map(Path, left) for end in (".mkv", ".jsonl")} == {
                    p.relative_to(into) for p in into.glob("cam*/*/*") if p.suffix != ".lock"
                }
                assert sum(map(len, held(into).values())) == sum(frames[path] for path in left)
                if into.name != "strict":  # whose index is none, or one that does not know
                    assert sum(row.recorded for row in found.streams.values()) == sum(frames.values())
            except BaseException as error:
                error.add_note(name)
                raise


@pytest.mark.parametrize("job", ["recover", "rebuild"])
def test_recovering_and_rebuilding_can_be_cut_off_at_any_step(
    forks: Forks, tmp_path: Path, crashed: tuple[Path, Heard], job: str
) -> None:
    template, heard = crashed
    with forks.watched():
        bench = Bench(forks, tmp_path, job, template)
        assert {"rename", "unlink", "fsync", "commit"} <= set(bench.whole.steps)
        for name, into, _ in bench.leavings():
            try:
                check_acknowledged(into, heard)
                assert any((into / "quarantine").glob("*.mkv"))
            except BaseException as error:
                error.add_note(name)
                raise
