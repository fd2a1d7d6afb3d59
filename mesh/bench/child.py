"""A bench's own process: `python -m mesh.bench.child MODULE:ROLE OPTIONS`, started by `children`.

It runs one role, speaks JSON lines with its parent over stdin and stdout, and says the role's result last.

Rules kept here: only roles of this package are run; a process ends after the time it was given, even where
it hangs in a library (SIGALRM, which nobody catches); it fails with one line on stderr.
"""

import importlib
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from mesh.errors import MeshError

Values = dict[str, Any]
Role = Callable[..., Values]

PACKAGE = "mesh.bench."


class Channel:
    """A role's line to its parent."""

    def say(self, **values: Any) -> None:
        """Tell the parent, which `hear`s it."""
        sys.stdout.write(json.dumps(values) + "\n")
        sys.stdout.flush()

    def hear(self) -> Values:
        """What the parent `tell`s, once it does. Raises `MeshError` when the parent has left."""
        line = sys.stdin.readline()
        if not line:
            raise MeshError("the bench that started this process has ended")
        return dict(json.loads(line))

    def is_told(self) -> bool:
        """Whether the parent has said something that was not heard yet, or has left."""
        return bool(select.select([sys.stdin], [], [], 0)[0])


class Meter:
    """Time and CPU (user and system, of all threads of this process) since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), _cpu_s()

    @property
    def wall_s(self) -> float:
        return time.monotonic() - self._wall

    def read(self) -> Values:
        return {"wall_s": self.wall_s, "cpu_s": _cpu_s() - self._cpu}


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def role_name(role: Role) -> str:
    return f"{role.__module__}:{role.__qualname__}"


def _role(name: str) -> Role:
    module, _, function = name.partition(":")
    if not module.startswith(PACKAGE):
        raise MeshError(f"{name} is no role of a bench")
    role: Role = getattr(importlib.import_module(module), function)
    return role


def main() -> int:
    """Run the role that the command line names."""
    name, options, limit_s = sys.argv[1:4]
    signal.setitimer(signal.ITIMER_REAL, float(limit_s))
    channel = Channel()
    try:
        channel.say(result=_role(name)(channel, **json.loads(options)))
    except BrokenPipeError as error:
        print(f"nobody reads what it writes: {error}", file=sys.stderr)  # noqa: T201 - for the parent
        os._exit(1)  # flushing stdout at exit would fail once more
    except Exception as error:  # noqa: BLE001 - the end of this process: said in one line
        detail = str(error) if isinstance(error, MeshError) else f"{type(error).__name__}: {error}"
        print(detail, file=sys.stderr)  # noqa: T201 - for the parent
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
