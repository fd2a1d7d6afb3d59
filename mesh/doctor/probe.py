"""Looks at folders and files and looks names up, in a process of its own: each of these can hang for ever.

Run by `mesh.doctor.aside`, which ends it. A list of [kind, subject] comes as JSON on stdin; a line of JSON
goes out for each, [kind, subject, what was found], as soon as it is known. Standard library only, so that it
starts in a few hundredths of a second; a thread each, so that what hangs does not hide the others. Nothing is
written or changed.
"""

import json
import os
import socket
import stat
import sys
import threading
from collections.abc import Callable
from typing import Any

Found = dict[str, Any]


def folder(path: str) -> Found:
    """How much room is in a folder, or would be, and whether this user may write there; `there` is what of
    its path exists."""
    there = os.path.abspath(path)
    while not os.path.lexists(there) and there != os.path.dirname(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        return {"error": f"{there} is no folder"}
    disk = os.statvfs(there)
    return {
        "there": there,
        "exists": there == os.path.abspath(path),
        "free_bytes": disk.f_bavail * disk.f_frsize,
        "total_bytes": disk.f_blocks * disk.f_frsize,
        "writable": os.access(there, os.W_OK | os.X_OK),
    }


def file(path: str) -> Found:
    """Who may read and write a file."""
    found = os.stat(path)
    return {
        "regular": stat.S_ISREG(found.st_mode),
        "mode": stat.S_IMODE(found.st_mode),
        "readable": os.access(path, os.R_OK),
        "writable": os.access(path, os.W_OK),
    }


def name(host: str) -> Found:
    """The address of a host by its name, as nodes look it up: IPv4."""
    found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    return {"address": found[0][4][0]}


KINDS: dict[str, Callable[[str], Found]] = {"folder": folder, "file": file, "name": name}
_telling = threading.Lock()


def answer(kind: str, subject: str) -> None:
    try:
        found = KINDS[kind](subject)
    except (OSError, ValueError) as error:  # a name or a path that is none raises the latter
        found = {"error": getattr(error, "strerror", None) or str(error)}
    with _telling:
        sys.stdout.write(json.dumps([kind, subject, found]) + "\n")
        sys.stdout.flush()


def main() -> None:
    for kind, subject in json.load(sys.stdin):
        threading.Thread(target=answer, args=(kind, subject)).start()


if __name__ == "__main__":
    main()
