"""Real frames for the processors: JPEGs that are drawn here, and the shared clip."""

import os
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from mesh import codec
from mesh.codec import Image
from mesh.frame import Frame

ROOT = Path(__file__).resolve().parents[2]
Truth = tuple[float, float, float, float]


def frame(image: Image, seq: int = 0, camera: str = "front") -> Frame:
    return Frame(
        camera=camera,
        boot=1,
        seq=seq,
        captured_ns=1_800_000_000_000_000_000 + seq * 33_000_000,
        width=image.shape[1],
        height=image.shape[0],
        payload=codec.encode(image, 90),
    )


def background(width: int, height: int, seed: int) -> Image:
    """A smooth scene of middle gray levels."""
    random = np.random.default_rng(seed)
    coarse = random.integers(80, 150, (9, 16), dtype=np.uint8)
    gray = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return codec.bgr(np.asarray(gray, dtype=np.uint8))


def noisy(image: Image, random: np.random.Generator, amount: int = 4) -> Image:
    noise = random.integers(-amount, amount + 1, image.shape, dtype=np.int16)
    return np.asarray(np.clip(image.astype(np.int16) + noise, 0, 255), dtype=np.uint8)


def moving(count: int, seed: int, width: int = 960, height: int = 540) -> Iterator[tuple[Frame, list[Truth]]]:
    """Two bright boxes that cross a noisy scene in lanes of their own, and where they are."""
    random = np.random.default_rng(seed)
    scene = background(width, height, seed)
    lanes = [(60, 110, 90, 9), (330, 80, 120, -7)]  # top, width, height, pixels a frame
    for seq in range(count):
        image, truth = scene.copy(), []
        for top, w, h, speed in lanes:
            x = (speed * seq) % (width - w)
            image[top : top + h, x : x + w] = (250, 240, 230)
            truth.append((float(x), float(top), float(w), float(h)))
        yield frame(noisy(image, random), seq), truth


def iou(a: Truth, b: Truth) -> float:
    """Intersection over union of two boxes."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(0.0, across) * max(0.0, down)
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def clip_frames(first: int, count: int) -> Iterator[Frame]:
    """Frames of the shared clip as JPEGs; skips the test where it is absent."""
    path = os.environ.get("MESH_TEST_VIDEO", "../shared/data/one-by-one-person-detection.mp4")
    clip = ROOT / path
    if not clip.is_file():
        pytest.skip(f"no clip at {clip} (MESH_TEST_VIDEO)")
    with av.open(str(clip)) as container:
        for seq, picture in enumerate(container.decode(video=0)):
            if seq >= first + count:
                return
            if seq >= first:
                yield frame(picture.to_ndarray(format="bgr24").astype(np.uint8), seq)
