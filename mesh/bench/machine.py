"""What machine and which versions a bench ran on."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import zmq
from simplejpeg import _jpeg

from mesh.presence import this_version

LIBRARIES = ("pyzmq", "simplejpeg", "numpy", "opencv-python", "av", "msgpack")


def this_machine() -> dict[str, str]:
    """Name and value of everything that a figure depends on; "unknown" where the system does not say."""
    return {
        "cpu": _first("/proc/cpuinfo", "model name"),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": _memory(),
        "load": f"{os.getloadavg()[0]:.1f} when it began",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "mesh": this_version(),
        "libzmq": zmq.zmq_version(),
        "libjpeg-turbo": _libjpeg_turbo(),
        **{name: _version(name) for name in LIBRARIES},
    }


def _first(path: str, key: str) -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    values = (line.partition(":")[2].strip() for line in lines if line.startswith(key))
    return next(values, "unknown")


def _memory() -> str:
    kib = _first("/proc/meminfo", "MemTotal").split()[0]
    return f"{int(kib) / 2**20:.1f} GiB" if kib.isdigit() else "unknown"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _libjpeg_turbo() -> str:
    """The version that is built into simplejpeg, which says it nowhere but in libjpeg-turbo's own banner."""
    found = re.search(rb"libjpeg-turbo version ([0-9.]+)", Path(_jpeg.__file__).read_bytes())
    return found[1].decode() if found else "unknown"
