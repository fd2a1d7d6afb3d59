"""What `mesh` has its libraries do, where the user says nothing."""

import os
import subprocess
import sys

import pytest

from tests.support.processes import ROOT

SCRIPT = """
import contextlib, os, sys
from mesh.cli.main import main

sys.argv = ["mesh", "version"]
with contextlib.suppress(SystemExit):
    main()
import numpy
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.parametrize(("said", "threads"), [(None, 1), ("2", 2)])
def test_numpy_starts_no_threads_unless_they_are_asked_for(said: str | None, threads: int) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core: numpy starts no threads anyway")
    env = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    env |= {"PYTHONPATH": str(ROOT), **({"OPENBLAS_NUM_THREADS": said} if said else {})}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert int(done.stdout.splitlines()[-1]) == threads
