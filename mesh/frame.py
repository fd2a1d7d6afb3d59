"""The Frame: what travels through the mesh, with the values that it is made of.

Rules kept here: everything is frozen; `(camera, boot, seq)` is a frame's identity and never changes on the
way; the payload is passed through untouched unless somebody changes the pixels; pixels are decoded on first
use, no larger than asked for and not again for what a larger picture serves, and are read-only, so that no
change to them goes unseen.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from mesh import codec as jpegs
from mesh.codec import Buffer, Image
from mesh.errors import DecodeError
from mesh.pixels import Look, derived

# Where `mesh.wire` keeps what it made of a frame, and what a frame was made of, beside its fields. No copy
# has the first; every copy that is made here has the second.
PACKED, ORIGIN = "_packed", "_origin"


class Codec(StrEnum):
    """How a payload is encoded."""

    JPEG = "jpeg"
    RAW = "raw"  # BGR24 with 3 channels, gray with 1, rows without padding
    NONE = "none"  # no image at all: the `meta` view


@dataclass(frozen=True, slots=True)
class Detection:
    """Something seen in a frame.

    `box` is (x, y, width, height) in pixels of the full-size frame, origin at the top left; `score` is 0 to
    1; `by` names what found it (a processor, or "truth" for a synthetic camera's own boxes); `attributes`
    holds what else is known, such as a code's text: msgpack-able, for everybody down the chain.
    """

    label: str
    score: float
    box: tuple[float, float, float, float]
    by: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hop:
    """A node that the frame passed. Times are that node's wall clock, nanoseconds since the epoch."""

    node: str
    received_ns: int
    sent_ns: int


@dataclass(frozen=True, slots=True)
class Slot:
    """Where pixels are in shared memory: the ring's name, its slot, and the generation of what is in it."""

    ring: str
    index: int
    generation: int


@dataclass(frozen=True, eq=False, kw_only=True)  # no slots: see `with_fields`
class Frame:
    """One frame of one camera, at one stage of its way.

    camera, boot, seq:  its identity. `boot` is drawn anew each time that the camera's capture starts; `seq`
                        counts the frames captured since then, from 0.
    captured_ns:        the capture device's wall clock when the frame was taken.
    pts_ns:             the source's own presentation time (nanoseconds from its start), where it has one.
    stage:              what published it last; a capture node's stage is `raw`.
    width, height:      pixels of the encoded image.
    codec, payload:     the encoded image; `channels` is for `raw` (3 for BGR, 1 for gray).
    keyframe, config:   whether decoding can begin here, and a codec's configuration (for packets that
                        build on one another; always True and empty for jpeg and raw).
    part:               tells apart several frames that a processor made from one; else 0.
    partitions:         among how many topics its camera's frames are spread, for a boot; see `partition`.
    detections, hops:   what was found in it, and the nodes that it passed.
    attributes:         whatever else processors want to say about it (msgpack-able).
    shm:                on the wire only: where the pixels are, for a subscriber on the publisher's host.
    lossless:           whether its stream waits for its consumers, so that no frame is dropped.
    received_ns:        this machine's wall clock when it arrived here; 0 where it was made.

    A copy with other fields is made by `annotate` and `with_image`, or by `dataclasses.replace`.
    """

    camera: str
    boot: int
    seq: int
    captured_ns: int
    width: int
    height: int
    payload: Buffer
    codec: Codec = Codec.JPEG
    channels: int = 3
    stage: str = "raw"
    part: int = 0
    partitions: int = 1
    pts_ns: int | None = None
    keyframe: bool = True
    config: bytes = b""
    detections: tuple[Detection, ...] = ()
    hops: tuple[Hop, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    shm: Slot | None = None
    lossless: bool = False
    received_ns: int = 0
    _pixels: dict[Look, Image] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        what = f"{self.width}x{self.height} {self.codec} {len(self.payload)} B"
        identity = f"{self.stage}/{self.camera} boot={self.boot} seq={self.seq}"
        return f"<Frame {identity} {what} detections={len(self.detections)}>"

    @property
    def identity(self) -> tuple[str, int, int]:
        """(camera, boot, seq)."""
        return self.camera, self.boot, self.seq

    @property
    def partition(self) -> int:
        """Which of its camera's partitions it belongs to: those of one partition stay together, in order."""
        return self.seq % self.partitions

    @property
    def image(self) -> Image:
        """The pixels: (H, W, 3) uint8 BGR, read-only, decoded on first use. Raises `DecodeError`.

        Take `frame.image.copy()` to draw on it, and `with_image` to send what you drew.
        """
        return self._cached(True, None)

    def gray(self, max_side: int | None = None) -> Image:
        """(H, W) uint8 luma, read-only, the longest side at most `max_side` pixels. Raises `DecodeError`.

        A JPEG is decoded at a reduced scale straight away, unless a larger picture of it is there already.
        """
        return self._cached(False, max_side)

    def thumbnail(self, max_side: int) -> Image:
        """(H, W, 3) uint8 BGR, read-only, longest side at most `max_side` pixels. Raises `DecodeError`."""
        return self._cached(True, max_side)

    def crop(self, x: float, y: float, width: float, height: float) -> Image:
        """A box as (h, w, 3) uint8 BGR, read-only, with each pixel that it touches: `crop(*detection.box)`.

        It is clipped to the picture, and empty where it lies outside. It is a part of `image`, which is
        decoded whole: none of the libraries here decodes a region of a JPEG. Raises `DecodeError`.
        """
        left, top = max(0, math.floor(x)), max(0, math.floor(y))
        right, bottom = max(left, math.ceil(x + width)), max(top, math.ceil(y + height))
        return self.image[top:bottom, left:right]

    @property
    def looks(self) -> tuple[Look, ...]:
        """What has been looked at of its pixels, here or where it was copied from."""
        return tuple(self._pixels)

    @property
    def jpeg(self) -> bytes:
        """The frame as a JPEG: its own bytes where it is one, else encoded. Raises `DecodeError`."""
        return bytes(self.encoded().payload)

    def encoded(self, quality: int = jpegs.DEFAULT_QUALITY) -> "Frame":
        """This frame with a JPEG payload: itself, unless it holds raw pixels. Raises `DecodeError`."""
        if self.codec is Codec.JPEG:
            return self
        jpeg = jpegs.encode(self._raw(), quality)
        return with_fields(self, payload=jpeg, codec=Codec.JPEG, channels=3)

    def with_image(self, image: Image) -> "Frame":
        """This frame with other pixels: (H, W, 3) BGR or (H, W) gray uint8; same identity and annotations.

        The array is not copied, so leave it alone afterwards. Raises `ConfigError` for any other array.
        Detections keep their boxes: give an image of the same size, or replace them.
        """
        pixels = np.ascontiguousarray(jpegs.check_image(image)).view()
        pixels.flags.writeable = False
        look = Look(pixels.ndim == 3, pixels.shape[1], pixels.shape[0])
        return with_fields(
            self,
            width=pixels.shape[1],
            height=pixels.shape[0],
            payload=pixels.data.cast("B"),
            codec=Codec.RAW,
            channels=1 if pixels.ndim == 2 else 3,
            keyframe=True,
            config=b"",
            _pixels={look: pixels},
        )

    def annotate(self, *detections: Detection, **attributes: Any) -> "Frame":
        """This frame with more detections and attributes: itself, when there are none."""
        if not detections and not attributes:
            return self
        return with_fields(
            self,
            detections=self.detections + detections,
            attributes={**self.attributes, **attributes} if attributes else self.attributes,
        )

    def without_image(self) -> "Frame":
        """This frame's identity and annotations alone; `width` and `height` stay those of the full frame."""
        return with_fields(self, payload=b"", codec=Codec.NONE, config=b"", shm=None, _pixels={})

    def _cached(self, colour: bool, max_side: int | None) -> Image:
        look = Look(colour, *jpegs.fitted(self.width, self.height, max_side))
        pixels = self._pixels.get(look)
        if pixels is None:
            pixels = self._pixels[look] = self._made(look).view()
            pixels.flags.writeable = False
        return pixels

    def _made(self, look: Look) -> Image:
        """That look, of another one where one serves it, else of the payload."""
        pixels = derived(self._pixels, look)
        if pixels is not None:
            return pixels
        if self.codec is Codec.JPEG:
            decode = jpegs.decode_bgr if look.colour else jpegs.decode_gray
            return decode(self.payload, self.width, self.height, max(look.size))
        convert = jpegs.bgr if look.colour else jpegs.gray
        return convert(jpegs.shrunk(self._raw(), look.size))

    def _raw(self) -> Image:
        if self.codec is not Codec.RAW:
            raise DecodeError(f"frame {self.identity} carries no image (codec {self.codec})")
        shape = (self.height, self.width, 3) if self.channels == 3 else (self.height, self.width)
        return np.frombuffer(self.payload, dtype=np.uint8).reshape(shape)


def new_frame(fields: dict[str, Any]) -> Frame:
    """A frame of these fields, which are not checked and must hold all that have no default.

    What `Frame(...)` makes, in a quarter of its time: a frozen dataclass sets each field through
    `object.__setattr__`. The mapping becomes the frame's own.
    """
    frame = object.__new__(Frame)
    fields.setdefault("attributes", {})
    fields.setdefault("_pixels", {})
    object.__setattr__(frame, "__dict__", fields)
    return frame


def with_fields(frame: Frame, **changes: Any) -> Frame:
    """A copy with some fields changed: `dataclasses.replace`, in a fifth of its time, and as unchecked.

    For the mesh's own hot path, which makes several a frame. Pixels that are decoded are shared with the
    copy: whoever changes the payload's pixels gives an empty `_pixels`.
    """
    copy = object.__new__(Frame)
    fields = {**vars(frame), **changes}
    fields.pop(PACKED, None)
    object.__setattr__(copy, "__dict__", fields)
    return copy


def draw_boot(now_ns: int) -> int:
    """A new capture's `boot`: 42 bits of time in 1/1024 s, then 10 random bits, so that later ones are
    greater and none passes 2**53, the integers that JSON readers keep exactly."""
    return ((now_ns << 10) // 1_000_000_000 << 10) | random.getrandbits(10)


@dataclass(frozen=True, slots=True)
class EndOfStream:
    """The capture of a camera has ended: `count` frames were captured, the last one has `seq` = count - 1.

    It is said in each partition, behind the last frame of that one.
    """

    camera: str
    boot: int
    count: int
    stage: str = "raw"
    lossless: bool = False
    partition: int = 0
    partitions: int = 1


# What the fields of a frame that travels may hold. Each raises `WireError` in one line.
