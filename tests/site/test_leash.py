"""The leash, in real processes."""

import os
import signal
import subprocess
import sys

from mesh.site.leash import LEASH

OBEYS = "from mesh.site.leash import obey; obey(); print('goes on', flush=True); input()"


def started(leash: str, *held: int) -> "subprocess.Popen[bytes]":
    """A process that obeys a leash, says that it goes on, and does until its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", OBEYS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, LEASH: leash},
        pass_fds=held,
    )


def test_one_whose_holder_has_ended_before_it_looked_ends_at_once() -> None:
    held, leash = os.pipe()
    os.close(leash)
    process = started(str(held), held)
    os.close(held)
    assert process.communicate()[0] == b""
    assert process.returncode == -signal.SIGTERM


def test_one_goes_on_until_its_holder_ends() -> None:
    held, leash = os.pipe()
    process = started(str(held), held)
    os.close(held)
    assert process.stdout is not None
    assert process.stdin is not None
    with process, process.stdin, process.stdout:
        assert process.stdout.readline() == b"goes on\n"
        assert process.poll() is None
        os.close(leash)
        assert process.wait(60) == -signal.SIGTERM


def test_what_is_no_leash_holds_nobody() -> None:
    for leash in ("x", "987"):
        process = started(leash)
        assert process.communicate(b"\n")[0] == b"goes on\n"
        assert process.returncode == 0
