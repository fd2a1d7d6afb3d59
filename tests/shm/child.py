"""Writers and readers of a ring that stop in the middle of something, to be killed there.

    python -m tests.shm.child writer FOLDER              writes slot 0, then half of slot 1
    python -m tests.shm.child reader FOLDER RING SLOT GENERATION   pins a slot

Each says on stdout how far it is, as a line of JSON, and then waits for SIGKILL.
"""

import json
import signal
import sys
from pathlib import Path

import numpy as np

from mesh.codec import Image
from mesh.frame import Slot
from mesh.shm import RingReader, RingWriter

SHAPE = (120, 160, 3)
SIZE = 120 * 160 * 3


def say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def write(folder: Path) -> None:
    ring = RingWriter(SIZE, folder)
    whole = ring.write(SHAPE, lambda slot: np.copyto(slot, 1))
    assert whole is not None

    def tear(slot: Image) -> None:
        slot[: SHAPE[0] // 2] = 2
        say(ring=ring.name, generation=whole.generation)
        signal.pause()

    ring.write(SHAPE, tear)


def read(folder: Path, ring: str, index: int, generation: int) -> None:
    pixels = RingReader(ring, folder).take(Slot(ring, index, generation), SIZE)
    assert pixels is not None
    say(first=pixels[0])
    signal.pause()


if __name__ == "__main__":
    role, where, *rest = sys.argv[1:]
    if role == "writer":
        write(Path(where))
    else:
        read(Path(where), rest[0], int(rest[1]), int(rest[2]))
