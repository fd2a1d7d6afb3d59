"""What a process of a site says, and what it leaves behind, with real processes."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mesh.errors import MeshError
from mesh.scope import Scope
from mesh.site.child import LONGEST_LINE, Child
from tests.site.processes import DEAF, SHELL, part, runs
from tests.support.waiting import wait_for


class Heard(list[str]):
    """The lines that were said, but for those of a flood."""

    def say(self, name: str, line: str) -> None:
        assert name == "a"
        if line != "y":
            self.append(line)


@contextmanager
def child(folder: Path, script: str) -> Iterator[tuple[Child, Heard]]:
    heard = Heard()
    with Scope("site") as scope:
        made = Child(part("a", script), folder, heard.say, scope, 0.0, SHELL)
        try:
            yield made, heard
        finally:
            made.kill()
            wait_for(lambda: made.poll() is not None)
            made.close()


def ended(folder: Path, script: str) -> tuple[int, str, Heard]:
    """The exit code of a script, the last line that it said, and all of them."""
    heard = Heard()
    with Scope("site") as scope:
        made = Child(part("a", script), folder, heard.say, scope, 0.0, SHELL)
        wait_for(lambda: made.poll() is not None)
        made.close()
        last = made.last  # before whoever listens is waited for
    return made.poll() or 0, last, heard


@pytest.mark.parametrize(
    ("script", "last"),
    [
        ("echo one; echo two; exit 3", "two"),
        ("echo one; printf two; exit 3", "two"),
        ("yes | head -c 1000000; printf 'the end'; exit 3", "the end"),
        ("echo one; echo; echo '│ two │'; echo '╰───╯'; exit 3", "two"),
        (r"printf '\377\000\n'; exit 3", "\ufffd\0"),
    ],
)
def test_what_it_said_last_is_known_when_it_has_been_let_go_of(
    script: str, last: str, tmp_path: Path
) -> None:
    assert ended(tmp_path, script)[:2] == (3, last)


def test_both_its_outputs_are_heard_in_its_folder(tmp_path: Path) -> None:
    code, _, heard = ended(tmp_path, "pwd -P; echo two >&2; cat; echo three")
    assert (code, heard) == (0, [str(tmp_path.resolve()), "two", "three"])


def test_a_line_without_an_end_is_heard_in_pieces(tmp_path: Path) -> None:
    _, _, heard = ended(tmp_path, f"head -c {3 * LONGEST_LINE} /dev/zero | tr '\\0' x")
    assert "".join(heard) == "x" * 3 * LONGEST_LINE
    assert max(map(len, heard)) <= 2 * LONGEST_LINE


def test_it_has_a_session_of_its_own_and_a_leash_that_closes_with_us(tmp_path: Path) -> None:
    script = 'echo $$; [ -p "/dev/fd/$MESH_LEASH" ] && echo held; exec sleep 1000'
    with child(tmp_path, script) as (made, heard):
        wait_for(lambda: len(heard) == 2)
        assert heard == [str(made.pid), "held"]
        assert os.getsid(made.pid) == made.pid


def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    _, last, _ = ended(tmp_path, "sleep 1000 & echo $!; exit 1")
    wait_for(lambda: not runs(int(last)))


@pytest.mark.parametrize("left", ["sleep 1000", "yes"])
def test_what_it_left_behind_holds_up_nobody(left: str, tmp_path: Path) -> None:
    """Though that holds the pipe, and may write to it without end."""
    script = f"setsid sh -c 'echo $$ > left; exec {left}' & until [ -s left ]; do :; done; exit 1"
    try:
        assert ended(tmp_path, script)[0] == 1
    finally:
        pid = int((tmp_path / "left").read_text())
        with suppress(ProcessLookupError):  # who writes where nobody reads has ended
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not runs(pid))


def test_what_is_deaf_is_killed_with_what_it_started(tmp_path: Path) -> None:
    with child(tmp_path, f"sleep 1000 & echo $!; {DEAF}") as (made, heard):
        wait_for(lambda: "ready" in heard)
        made.end()
        assert made.asked
        assert made.poll() is None
        made.kill()
        wait_for(lambda: made.poll() == -signal.SIGKILL)
        wait_for(lambda: not runs(int(heard[0])))


def test_one_that_cannot_be_started_is_told_in_a_line_and_leaves_nothing_open(tmp_path: Path) -> None:
    files = len(os.listdir("/proc/self/fd"))
    with Scope("site") as scope:
        for folder, program in ((tmp_path, ("/no/such/program",)), (tmp_path / "gone", SHELL)):
            with pytest.raises(MeshError, match=r"^a cannot be started: No such file or directory$"):
                Child(part("a"), folder, print, scope, 0.0, program)
    assert len(os.listdir("/proc/self/fd")) == files


def test_one_that_ended_leaves_nothing_open(tmp_path: Path) -> None:
    files = len(os.listdir("/proc/self/fd"))
    ended(tmp_path, "exit 0")
    assert len(os.listdir("/proc/self/fd")) == files
