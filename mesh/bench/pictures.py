"""The pictures that benches work on: of a video, or drawn by the synthetic source.

Rules kept here: the same options give the same pixels in every process, so only the options travel.
"""

import itertools
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any, Self

from mesh import codec
from mesh.codec import Image
from mesh.errors import SourceError
from nodes.capture.sources.catalog import open_source
from nodes.capture.sources.scene import Scene, SceneOptions

COUNT = 8  # more than fit into a cache, few enough to draw in a moment
EVERY = 10  # of a video: neighbours look alike
VIDEO_QUALITY = 95


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures of `width` x `height` pixels: of the file `video`, scaled, or synthetic without one."""

    width: int
    height: int
    video: str = ""

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @classmethod
    def of(cls, options: dict[str, Any]) -> Self:
        """From what `as_options` gave."""
        return cls(**options)

    def as_options(self) -> dict[str, Any]:
        """JSON-able, for a child process."""
        return asdict(self)

    def bgr(self, count: int = COUNT, every: int = EVERY) -> list[Image]:
        """`count` pictures, (H, W, 3) uint8 BGR, so many apart; a short video's come again. Raises
        `SourceError`."""
        drawn = self._of_video(count, every) if self.video else self._synthetic(count, every)
        found = list(drawn)
        if not found:
            raise SourceError(f"{self.video} holds no pictures")
        return list(itertools.islice(itertools.cycle(found), count))

    def jpegs(self, count: int = COUNT, every: int = EVERY) -> list[bytes]:
        """The same as JPEGs of the usual quality."""
        return [codec.encode(image) for image in self.bgr(count, every)]

    def _synthetic(self, count: int, every: int) -> Iterator[Image]:
        scene = Scene(SceneOptions(size=(self.width, self.height)))
        return (scene.draw(index * every) for index in range(count))

    def _of_video(self, count: int, every: int) -> Iterator[Image]:
        with closing(open_source(self.video)) as source:
            for grab in itertools.islice(source, 0, count * every, every):
                jpeg = grab.jpeg(VIDEO_QUALITY, (self.width, self.height))
                yield codec.decode_bgr(jpeg, self.width, self.height)
