"""What a ring's file looks like. Pure: numbers and bytes in, a layout or one error out.

    0      magic (8 bytes), slots (u32), 0 (u32), stride (u64): in the host's own byte order
    64     the generation of each slot (u64)
    4096   slot 0; slot 1 begins `stride` bytes behind it, and so on to the end of the file

Rules kept here: everything that a file says about itself is checked against the file's real size before any
of it is used.
"""

import re
import struct
from dataclasses import dataclass

from mesh.errors import TransportError

MAGIC = b"MESHRNG1"
PAGE = 4096
SLOTS = 8
MIN_SLOTS = 3  # one that is read, one that is waiting to be, one that is written
MAX_SLOTS = 64
MAX_BYTES = 64 * 1024 * 1024

# The bytes that are locked, whatever is in them: the writer holds `LIFE` for as long as it lives, each reader
# `READERS` for as long as it has the ring open, and whoever uses a slot holds its byte.
LIFE = 0
READERS = 1

_NAME = re.compile(r"framemesh-[0-9a-f]{16}")
_FIXED = struct.Struct("=8sIIQ")
_GENERATIONS_AT = 64


@dataclass(frozen=True, slots=True)
class Layout:
    """How many slots of how many bytes; `stride` is a multiple of the page size."""

    slots: int
    stride: int

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return PAGE + self.slots * self.stride

    def at(self, slot: int) -> int:
        """Where a slot's pixels begin."""
        return PAGE + slot * self.stride

    def generation_at(self, slot: int) -> int:
        """Where a slot's generation stands."""
        return _GENERATIONS_AT + 8 * slot

    def header(self) -> bytes:
        """The file's first bytes."""
        return _FIXED.pack(MAGIC, self.slots, 0, self.stride)


def slot_byte(slot: int) -> int:
    """The byte that is locked by whoever uses a slot."""
    return 2 + slot


def plan(frame_bytes: int, slots: int = SLOTS, most: int = MAX_BYTES) -> Layout | None:
    """The ring for frames of so many bytes: up to `slots` of them within `most` bytes; None if that leaves
    fewer than three."""
    stride = -(-frame_bytes // PAGE) * PAGE
    fitting = min(slots, most // stride) if stride > 0 else 0
    return Layout(fitting, stride) if fitting >= MIN_SLOTS else None


def read_layout(header: bytes, size: int) -> Layout:
    """The layout of a file of `size` bytes that begins with `header`. Raises `TransportError`."""
    if len(header) < _FIXED.size:
        raise TransportError("it is too short to be a ring")
    magic, slots, _, stride = _FIXED.unpack_from(header)
    if magic != MAGIC or not 1 <= slots <= MAX_SLOTS or not stride or stride % PAGE:
        raise TransportError("it is no ring of this version")
    layout = Layout(slots, stride)
    if layout.size != size or size > MAX_BYTES + PAGE:
        raise TransportError(f"it has {size} bytes where its header says {layout.size}")
    return layout


def check_ring_name(name: str) -> bool:
    """Whether `name` is a ring's, and so a file's name without any path in it."""
    return _NAME.fullmatch(name) is not None
