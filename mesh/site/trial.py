"""Asks a module that is run as a process of its own, where a site's processes run.

Rules kept here: it costs `within_s` at most, whatever what is loaded does or leaves behind; what it has not
answered by then is not known, and is no fault; what it was at when it ended by itself is one. It ends with
whoever asks, however that ends.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from mesh.site.leash import LEASH


class Trial:
    """Runs `module` for each question. Thread-safe."""

    def __init__(self, module: str, within_s: float) -> None:
        self._module, self._within_s = module, within_s
        self._lock = threading.Lock()
        self._over = False
        self._running: list[subprocess.Popen[bytes]] = []

    def ask(self, words: Sequence[str], folder: Path) -> list[str]:
        """What it answers to each word, a JSON string a line: what is wrong; empty: nothing that is known."""
        with contextlib.ExitStack() as stack:
            try:
                told = stack.enter_context(tempfile.TemporaryFile())  # a pipe might be held by who is left
                process = self._started(words, folder, told, stack)
            except OSError:  # no process can be started: nor can the site's, who will say so
                return [""] * len(words)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self._within_s)
            return self._answers(process.poll(), told, len(words))

    def stop(self) -> None:
        """Nothing that is asked, now or later, is answered any more."""
        with self._lock:
            self._over = True
            for process in self._running:
                _kill(process)

    def _started(
        self, words: Sequence[str], folder: Path, told: IO[bytes], stack: contextlib.ExitStack
    ) -> "subprocess.Popen[bytes]":
        """One that is ended with the stack. Raises `OSError`."""
        held, leash = os.pipe()
        stack.callback(os.close, leash)
        stack.callback(os.close, held)
        with self._lock:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", self._module, *words],  # as the site's processes are started
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=subprocess.DEVNULL,
                env={**os.environ, LEASH: str(held)},
                pass_fds=(held,),
                start_new_session=True,
            )
            self._running.append(process)
            stack.callback(self._end, process)
            if self._over:
                _kill(process)
        return process

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        with self._lock:
            self._running.remove(process)
            _kill(process)
        process.wait()

    def _answers(self, code: int | None, told: IO[bytes], count: int) -> list[str]:
        """So many answers; the first that was not given is that it has ended, where it did so by itself."""
        told.seek(0)
        answers: list[str] = []
        with contextlib.suppress(ValueError):  # the last line of one that was killed may be cut
            answers.extend(str(json.loads(line)) for line in told.read().splitlines())
        if code is not None and not self._over:
            answers.append(f"the process that loads it ends at once ({_told(code)})")
        return [*answers, *[""] * count][:count]


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _told(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
