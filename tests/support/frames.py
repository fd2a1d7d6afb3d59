"""Frames and messages for tests: real JPEGs of a picture that compresses like one."""

import cv2
import numpy as np

from mesh import codec
from mesh.codec import Image
from mesh.frame import Frame
from mesh.wire import Message, Topic, View


def picture(width: int = 64, height: int = 48, seed: int = 0) -> Image:
    """(height, width, 3) uint8 BGR: smooth light and dark, slightly tinted."""
    rng = np.random.default_rng(seed)
    small = rng.integers(40, 200, (max(2, height // 16), max(2, width // 16)), dtype=np.uint8)
    light = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    return np.stack([light, light // 2 + 50, 255 - light // 2], axis=2)


def jpeg_frame(
    seq: int = 0, *, camera: str = "door", boot: int = 7, stage: str = "raw", size: int = 64
) -> Frame:
    """A JPEG frame of `size` by three quarters of it."""
    image = picture(size, size * 3 // 4, seed=seq)
    return Frame(
        camera=camera,
        boot=boot,
        seq=seq,
        captured_ns=1_700_000_000_000_000_000 + seq * 33_333_333,
        width=image.shape[1],
        height=image.shape[0],
        payload=codec.encode(image),
        stage=stage,
    )


def message(frame: Frame, n: int | None = None, *, run: int = 1, view: View = View.FRAME) -> Message:
    """The frame as a publisher's `n`-th message on its topic (its `seq`, unless given)."""
    return Message(Topic(view, frame.stage, frame.camera), run, frame.seq if n is None else n, frame)
