"""A signal that another thread than the main one is given."""

import subprocess
import sys

import pytest

from tests.support.processes import ROOT

WAITS = """
import signal, threading
from mesh.signals import WakeOnSignal

done = threading.Event()
signal.signal(signal.SIGTERM, lambda number, frame: print("handled", number, flush=True))
signal.signal(signal.SIGUSR1, lambda number, frame: None)
def take(*numbers):
    for number in numbers:
        signal.pthread_kill(threading.get_ident(), number)

other = threading.Thread(target=take, args=(signal.SIGUSR1, signal.SIGTERM))
with WakeOnSignal({signal.SIGTERM}, done.set):
    other.start()
    done.wait()
    other.join()
print("woken; left:", threading.active_count() - 1, signal.set_wakeup_fd(-1))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_main_thread_that_waits_is_woken_by_a_signal_that_another_thread_was_given() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WAITS], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.splitlines() == ["handled 15", "woken; left: 0 -1"]
