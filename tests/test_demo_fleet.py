"""Processes of the demo that outlive it."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import wait_for

STARTS = """
import os, sys
from pathlib import Path
from mesh.demo.fleet import Fleet
from mesh.ports import free_port

with Fleet(Path(sys.argv[1])) as fleet:
    fleet.start("registry", ["registry", "--bind", f"tcp://127.0.0.1:{free_port()}"])
    print(fleet.pid("registry"), flush=True)
    os.kill(os.getpid(), 9)
"""


def test_they_end_when_it_is_killed(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", STARTS, tmp_path], stdout=subprocess.PIPE, check=False)
    assert done.returncode == -signal.SIGKILL
    status = Path(f"/proc/{int(done.stdout)}/status")
    wait_for(lambda: not status.exists() or "State:\tZ" in status.read_text(), "it has ended")
