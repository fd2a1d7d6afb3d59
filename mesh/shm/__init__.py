"""Pixels in shared memory: a ring of slots a stream, one writer, any number of readers on the same host.

Rules kept here:

- A ring is one file of /dev/shm, bounded in slots and bytes, its space really taken before it is used: a
  host without room refuses it at the start, never in the middle of a frame (which would be a SIGBUS).
- Who uses a slot holds a lock on it (`locks`), which the kernel takes back when a process dies, however it
  dies. A slot that is pinned by a reader is not written to; one that is being written is not read.
- Each slot has a generation, odd while it is being written. A reader is told a generation, and never sees
  pixels of another one: a slot that was overwritten, or torn by a writer that was killed, is refused.
- Pixels are copied once, into the ring. A reader looks at them where they are, through a mapping that it
  cannot write to, and gives the slot back when it drops the last reference.
- A ring whose writer is gone is removed by the next writer that starts on this host.
"""

from mesh.shm.layout import MAX_BYTES, SLOTS, check_ring_name
from mesh.shm.locks import SUPPORTED
from mesh.shm.reader import RingReader
from mesh.shm.writer import FOLDER, RingWriter, sweep

__all__ = [
    "FOLDER",
    "MAX_BYTES",
    "SLOTS",
    "SUPPORTED",
    "RingReader",
    "RingWriter",
    "check_ring_name",
    "sweep",
]
