"""A process's end of the leash that `mesh up` holds it by: a pipe whose other end closes when that ends."""

import fcntl
import os
import select
import signal

LEASH = "MESH_LEASH"  # the environment's name for the pipe's number


def obey() -> None:
    """Have SIGTERM come to this process when `mesh up`, if it started it, has ended, however that was.

    The kernel sends it when the pipe's last writer is gone: nothing waits, and nothing is polled.
    """
    number = os.environ.pop(LEASH, "")
    if not number.isdigit() or not hasattr(fcntl, "F_SETSIG"):  # another system: a supervisor cleans up
        return
    fd = int(number)
    try:
        fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGTERM)
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
    except OSError:  # no such pipe: it was set by somebody else
        return
    os.set_inheritable(fd, False)
    if select.select([fd], [], [], 0)[0]:  # it has ended already
        os.kill(os.getpid(), signal.SIGTERM)
