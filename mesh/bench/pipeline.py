"""`mesh bench pipeline`: the whole job, video in, motion, recorded with annotations, in three nodes.

The floor does the same work in one process without sockets: for as many cameras the gray picture straight
from the JPEG at motion's size, motion, and PyAV's stream copy of the JPEG to Matroska, as fast as it can.

Rules kept here: the nodes' cameras all but stand still while the floor is measured; the cameras' own process
and the registry are no part of the figure.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.packet import Packet

from mesh.bench.child import Channel, Meter, Values
from mesh.bench.children import Children
from mesh.bench.mjpeg import CLIP
from mesh.bench.pictures import Pictures
from mesh.bench.report import Row, at_most
from mesh.bench.setup import Setup
from mesh.bench.site import NODES, Site, Window
from mesh.frame import Frame
from nodes.process.processors.motion import Motion

CAMERAS, FPS = 40, 25.0
STILL_FPS = 0.2
MOST = 1.6
WARM_UP = 2  # frames a camera
_MS = Fraction(1, 1000)


def measure(setup: Setup) -> Iterator[Row]:
    """CPU a frame of the three nodes, beside the floor."""
    cameras, fps = setup.cameras or CAMERAS, setup.fps or FPS
    with setup.folder() as folder, Site(folder, cameras, fps, setup) as site:
        site.pace(STILL_FPS)
        floors, found = setup.alternate(
            lambda: _floor(setup, folder, cameras), lambda: _ours(site, fps, setup.seconds)
        )
    yield Row(
        f"MJPEG, motion, recorded: {cameras} cameras at {fps:g} fps, {setup.pictures}",
        "CPU ms/frame",
        [window.cpu_ms(*NODES) for window in found],
        floors,
        "scaled gray decode, motion and mux in one process",
        at_most(MOST),
        note=_shares(found),
    )


def _ours(site: Site, fps: float, seconds: float) -> Window:
    site.pace(fps)
    window = site.window(seconds)
    site.pace(STILL_FPS)
    return window


def _floor(setup: Setup, folder: Path, cameras: int) -> float:
    with Children() as children:
        child = children.start(
            in_one,
            pictures=setup.pictures.as_options(),
            folder=str(folder),
            cameras=cameras,
            seconds=setup.seconds,
        )
        found = child.result(setup.seconds + 60)
    return float(found["cpu_s"] / found["frames"] * 1e3)


def in_one(
    channel: Channel, *, pictures: dict[str, Any], folder: str, cameras: int, seconds: float
) -> Values:
    """A role: the same work in this process; how many frames, and the CPU that they took."""
    jpegs = Pictures.of(pictures).jpegs(CLIP, every=1)
    with ExitStack() as stack:
        works = [
            stack.enter_context(closing(_Work(Path(folder) / f"floor{k}.mkv", pictures)))
            for k in range(cameras)
        ]
        meter, index = Meter(), 0
        while index < WARM_UP or meter.wall_s < seconds:
            if index == WARM_UP:
                meter = Meter()
            for number, work in enumerate(works):
                work.do(index, jpegs[(index + 7 * number) % CLIP])
            index += 1
        return {"frames": (index - WARM_UP) * cameras, **meter.read()}


class _Work:
    """One camera's."""

    def __init__(self, file: Path, pictures: dict[str, Any]) -> None:
        self._motion = Motion()
        self._width, self._height = pictures["width"], pictures["height"]
        self._file = av.open(str(file), "w", format="matroska")
        self._stream = self._file.add_mux_stream("mjpeg", width=self._width, height=self._height)
        self._stream.time_base = _MS

    def do(self, index: int, jpeg: bytes) -> None:
        frame = Frame(
            camera="floor",
            boot=1,
            seq=index,
            captured_ns=0,
            width=self._width,
            height=self._height,
            payload=jpeg,
        )
        self._motion(frame)
        packet = Packet(jpeg)
        packet.stream = self._stream
        packet.pts = packet.dts = index * 40
        packet.time_base = _MS
        packet.is_keyframe = True
        self._file.mux(packet)

    def close(self) -> None:
        self._file.close()


def _shares(found: list[Window]) -> str:
    frames = sum(len(window.ages_ms) for window in found)
    shares = ", ".join(
        f"{name} {sum(window.cpu_s[name] for window in found) / frames * 1e3:.2f}" for name in NODES
    )
    missed, due = (sum(getattr(window, name) for window in found) for name in ("missed", "due"))
    return f"{shares} ms; missed {missed} of {due}"
