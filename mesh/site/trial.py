"""Asks a module that is run as a process of its own, where a site's processes run.

Rules kept here: it costs `within_s` at most; what it has not answered by then is not known, and is no fault;
what it was at when it ended by itself is one.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def ask(module: str, words: Sequence[str], folder: Path, within_s: float) -> list[str]:
    """What it answers to each word, a JSON string a line: what is wrong; empty: nothing that is known."""
    command = [sys.executable, "-P", "-m", module, *words]  # as the site's processes are started
    with contextlib.ExitStack() as stack:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:  # no process can be started: nor can the site's, who will say so
            return [""] * len(words)
        stack.enter_context(process)
        stack.callback(_kill, process)
        try:
            told, _ = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            return _answers(process.communicate()[0], len(words))
        ended = f"the process that loads it ends at once ({_told(process.returncode)})"
        return _answers(told, len(words), ended)


def _answers(told: bytes, count: int, next_one: str = "") -> list[str]:
    """So many answers; `next_one` is the first that was not given."""
    answers: list[str] = []
    with contextlib.suppress(ValueError):  # the last line of one that was killed may be cut
        answers.extend(str(json.loads(line)) for line in told.splitlines())
    return [*answers, next_one, *[""] * count][:count]


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _told(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
