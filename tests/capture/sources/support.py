"""What the tests of the sources share: the shared clip, pictures, and reading with a limit."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from mesh import codec
from nodes.capture.sources.base import Grab, SourceOptions
from nodes.capture.sources.catalog import open_source

ROOT = Path(__file__).parents[3]
CLIP = Path(os.environ.get("MESH_TEST_VIDEO", ROOT / "../shared/data/one-by-one-person-detection.mp4"))
CLIP_FRAMES = 1394
DEADLINE_S = 30.0

needs_clip = pytest.mark.skipif(not CLIP.exists(), reason=f"no shared clip at {CLIP}; set MESH_TEST_VIDEO")


def picture(k: int, width: int = 64, height: int = 48) -> codec.Image:
    """(height, width, 3) BGR, a different one for each `k`."""
    image = np.full((height, width, 3), (40 + 7 * k) % 256, np.uint8)
    image[: height // 2, : width // 2] = (200 - 11 * k) % 256
    return image


def jpegs(count: int) -> list[bytes]:
    """That many different JPEGs of 64x48."""
    return [codec.encode(picture(k)) for k in range(count)]


def grabs(url: str, limit: int | None = None, **options: object) -> list[Grab]:
    """The first `limit` grabs of a source, which is closed afterwards."""
    source = open_source(url, SourceOptions(**options))  # type: ignore[arg-type]  # a test's shorthand
    try:
        return list(islice(source, limit))
    finally:
        source.close()


@contextmanager
def set_on_exit(event: threading.Event) -> Iterator[None]:
    """Set `event` whatever happens, so that a failing test does not leave a thread waiting."""
    try:
        yield
    finally:
        event.set()
