"""What every end-to-end test is held to: it leaves no thread and no child process behind."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import wait_for


def _children() -> set[str]:
    """This process's children, by id."""
    pids: set[str] = set()
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        try:
            pids.update((task / "children").read_text().split())
        except OSError:  # the thread ended meanwhile
            continue
    return pids


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """Fail a test that leaves a thread or a child process; those of wider fixtures are theirs."""
    threads, children = set(threading.enumerate()), _children()
    yield
    wait_for(lambda: not _children() - children, "a test's child processes have ended")
    left = [thread.name for thread in threading.enumerate() if thread not in threads]
    assert not left, f"threads were left behind: {left}"
