"""A command whose stdout cannot be written: one line says so, and the exit code is 1."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")


def run(*words: str, stdout: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mesh", *words]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)


@pytest.mark.parametrize("words", [["version"], ["config", "init"]])  # flushed at once, and at the end
def test_a_disk_that_is_full_is_told_in_a_line(words: list[str]) -> None:
    with FULL.open("w") as full:
        done = run(*words, stdout=full.fileno())
    assert (done.returncode, done.stderr) == (1, "mesh: cannot write to stdout: No space left on device\n")


def test_a_reader_that_left_is_told_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run("config", "init", stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_an_error_is_not_written_to_stdout_where_stderr_is_closed() -> None:
    command = [sys.executable, "-m", "mesh", "config", "check", "nosuch.toml"]
    done = subprocess.run(["/bin/sh", "-c", '"$@" 2>&-', "sh", *command], stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
