"""Asks `mesh.doctor.probe` in a process of its own, and ends that when its time is over.

Rules kept here: a disk, a network mount or a name server that hangs costs `timeout` once, and hides nothing
else; a process that even the kernel cannot end is left to it.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

PROBE = Path(__file__).with_name("probe.py")
KILLED_WITHIN_S = 1.0

Question = tuple[str, str]  # ("folder" or "file", its path), ("name", a host)
# What was found; `error` says why nothing was, and what was not answered in time is absent.
Answers = Mapping[Question, Mapping[str, Any]]


def ask_aside(questions: Collection[Question], timeout: float) -> Answers:
    """What the probe found out within `timeout` seconds."""
    if not questions:
        return {}
    asked = json.dumps(sorted(set(questions)))
    # -P: what lies beside the probe must not stand in for the standard library.
    command = [sys.executable, "-P", str(PROBE)]
    with contextlib.ExitStack() as stack:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stack.callback(_let_go, process)
        try:
            told, _ = process.communicate(asked, timeout)
        except subprocess.TimeoutExpired:
            told = _rest(process)
        return _read(told)


def _rest(process: "subprocess.Popen[str]") -> str:
    """What a process had said before it was killed."""
    process.kill()
    try:
        return process.communicate(timeout=KILLED_WITHIN_S)[0]
    except subprocess.TimeoutExpired as error:
        told = error.output or b""
        return told.decode() if isinstance(told, bytes) else str(told)


def _let_go(process: "subprocess.Popen[str]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _read(told: str) -> Answers:
    answers = {}
    for line in told.splitlines():
        with contextlib.suppress(ValueError):  # the last line of one that was killed may be cut
            kind, subject, found = json.loads(line)
            answers[kind, subject] = found
    return answers
