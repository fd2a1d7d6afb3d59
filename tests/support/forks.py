"""Processes that start within milliseconds, to be killed by the hundred: one process imports what they need,
has no threads, and forks for each.

    with Forks("tests.support.collector:collect", tmp_path / "forks.log") as forks, forks.watched():
        child = forks.start(into="…")    # calls collect(tell, into="…") in a process of its own
        child.hear()                     # the next thing that it told, or None: it has ended
        child.kill()                     # kill -9; its exit code

Rules kept here: one child at a time; what a child tells before it ends is heard; nothing is left on exit, and
a test that fails shows what the children logged.
"""

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.processes import ROOT

LOG_CHARACTERS_SHOWN = 6000
FAILED = 70

Tell = Callable[[Any], None]


class Child:
    """A forked process. `code` is its exit code once it has ended, negative for a signal."""

    def __init__(self, pid: int, read: Callable[[], Any]) -> None:
        self.pid = pid
        self.code: int | None = None
        self._read = read

    def __repr__(self) -> str:
        return f"<Child {self.pid} code={self.code}>"

    def hear(self) -> Any:
        """What it tells next; None once it has ended."""
        if self.code is not None:
            return None
        said = self._read()
        if "ended" in said:
            self.code = said["ended"]
            return None
        return said["told"]

    def wait(self) -> int:
        """Its exit code, once it has ended by itself."""
        while self.code is None:
            self.hear()
        return self.code

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> int:
        """`kill -9`, and reap it."""
        self.send(signal.SIGKILL)
        return self.wait()


class Forks:
    """Starts `FUNCTION(tell, **arguments)`, named as `MODULE:FUNCTION`, in a process of its own each time."""

    def __init__(self, function: str, log: Path) -> None:
        self._log = log
        self._child: Child | None = None
        with log.open("wb") as stderr:
            self._parent = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forks", function],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                start_new_session=True,
                text=True,
            )

    def __repr__(self) -> str:
        return f"<Forks of {self._parent.pid}>"

    def start(self, **arguments: Any) -> Child:
        assert self._parent.stdin is not None
        self._parent.stdin.write(json.dumps(arguments) + "\n")
        self._parent.stdin.flush()
        self._child = Child(self._read()["pid"], self._read)
        return self._child

    @contextmanager
    def watched(self) -> Iterator[None]:
        """For one test of several: one that fails shows what the children logged, and leaves none."""
        try:
            yield
        except BaseException as error:
            error.add_note(f"--- the children logged:\n{self.logged()}")
            raise
        finally:
            if self._child is not None and self._child.code is None:
                self._child.kill()

    def _read(self) -> Any:
        assert self._parent.stdout is not None
        line = self._parent.stdout.readline()
        assert line, f"the parent of forks has ended: {self.logged()}"
        return json.loads(line)

    def logged(self) -> str:
        """The end of what the children have logged."""
        return self._log.read_text(errors="replace")[-LOG_CHARACTERS_SHOWN:]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self._parent.pid, signal.SIGKILL)
        self._parent.communicate()


def _say(**what: Any) -> None:
    """With one call, so that lines of two processes do not mix."""
    os.write(1, json.dumps(what).encode() + b"\n")


def _be(function: Callable[..., None], arguments: dict[str, Any]) -> None:
    """The child: it never returns."""
    code = FAILED
    try:
        function(lambda told: _say(told=told), **arguments)
        code = 0
    except BaseException:  # noqa: BLE001 -- it ends here, with what it says
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def main() -> None:
    module, _, name = sys.argv[1].partition(":")
    function = getattr(importlib.import_module(module), name)
    gc.freeze()  # a child that collects garbage would copy every page of its parent's
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _say(pid=os.getpid())  # by itself, so that nothing that it tells comes before
            _be(function, json.loads(line))
        _, status = os.waitpid(pid, 0)
        _say(ended=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
