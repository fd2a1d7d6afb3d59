"""`mesh bench record`: what a collect node records, beside a stream copy with PyAV.

As fast as the disk takes it: the floor is what any program pays that puts JPEGs into Matroska files and has
the disk hold them, in the same groups, with no annotations, index or acknowledgements. Ours is the thread
that records in a collect node, with all of these, handed its results as the node's receiver hands them over.

At the pace of cameras: a whole collect node, in a process of its own, results coming in over its socket.
"""

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av

from mesh.bench import collected
from mesh.bench.child import Channel, Meter, Role, Values
from mesh.bench.children import WITHIN_S, Children
from mesh.bench.pictures import Pictures
from mesh.bench.report import Row, at_least
from mesh.bench.results import RUN, SENDER, results
from mesh.bench.setup import Setup
from mesh.delivery import Delivery, Handover
from mesh.frame import EndOfStream, Frame
from mesh.inbox import Inbox, Policy
from mesh.scope import Scope
from mesh.transport.publisher import Publisher
from mesh.wire import Ack, Envelope, encode_ack
from nodes.collect.commits import DEFAULT_POLICY
from nodes.collect.node import HANDOVER_BYTES, HANDOVER_RESULTS
from nodes.collect.recorder import Recorder
from nodes.collect.recording import Recording
from nodes.collect.recovery import recover
from nodes.collect.writing import Outlets

CAMERAS = (1, 100)
BATCH = 64  # as the receiver's
FRAME_MS = 40
MILLISECOND = Fraction(1, 1000)
FLOOR_IS = "PyAV stream copy to Matroska, fsync in the same groups"


def measure(setup: Setup) -> Iterator[Row]:
    """For one camera and for many: frames a second and CPU a frame; then a whole node at a steady pace."""
    for cameras in CAMERAS:
        floors, found = setup.alternate(
            partial(_measured, setup, copy, cameras), partial(_measured, setup, record, cameras)
        )
        case = f"{cameras} camera{'s' * (cameras > 1)}, {setup.pictures}"
        yield Row(case, "frames/s", _rates(found), _rates(floors), FLOOR_IS, at_least(0.8))
        yield Row(case, "CPU ms/frame", _costs(found), _costs(floors), FLOOR_IS)
    yield from collected.measure(setup)


def copy(channel: Channel, *, into: str, cameras: int, pictures: dict[str, Any], seconds: float) -> Values:
    """A role: the floor."""
    jpegs = Pictures.of(pictures).jpegs()
    width, height = Pictures.of(pictures).width, Pictures.of(pictures).height
    meter = Meter()
    files = [_Copy(Path(into) / f"{number}.mkv", width, height) for number in range(cameras)]
    unsafe: set[_Copy] = set()
    frames, synced_s = 0, 0.0
    while frames < cameras or meter.wall_s < seconds:
        file = files[frames % cameras]
        file.write(jpegs[frames % len(jpegs)], frames // cameras * FRAME_MS)
        unsafe.add(file)
        frames += 1
        if frames % DEFAULT_POLICY.frames == 0 or meter.wall_s - synced_s >= DEFAULT_POLICY.seconds:
            for each in unsafe:
                each.sync()
            unsafe.clear()
            synced_s = meter.wall_s
    for each in files:
        each.close()
    return {"frames": frames, **meter.read()}


def record(channel: Channel, *, into: str, cameras: int, pictures: dict[str, Any], seconds: float) -> Values:
    """A role: ours. What counts is what was acknowledged."""
    meter = Meter()
    sink = _Sink(Path(into))
    with Scope("record") as scope:
        scope.on_stop(sink.handover.wake)
        scope.spawn("record", sink.recording.run, scope.stopping)
        batch: list[Delivery] = []
        for result in results(Pictures.of(pictures), cameras):
            batch.append(result)
            if len(batch) == BATCH:
                sink.handover.put(batch, WITHIN_S)
                batch = []
                if meter.wall_s >= seconds:
                    break
        scope.stop()
        scope.join()
        read = meter.read()
    sink.close()
    return {"frames": sink.acknowledged, **read}


class _Sink:
    """What a collect node is made of, but for the socket that it receives from."""

    def __init__(self, into: Path) -> None:
        self.acknowledged = 0
        self._publisher = Publisher("collect")
        recovered = recover(into)
        self._index = recovered.index
        self.handover: Handover[Delivery] = Handover(HANDOVER_RESULTS, HANDOVER_BYTES, _size)
        inbox = Inbox(Policy.LOSSLESS, on_ready=self.handover.wake)
        outlets = Outlets(self._forward, self._publisher.stamp, self._acknowledge, lambda why: None)
        self.recording = Recording(Recorder(into), recovered, self.handover, inbox, outlets)

    def close(self) -> None:
        self._publisher.close()
        self._index.close()

    def _forward(self, item: Frame | EndOfStream) -> None:
        if isinstance(item, Frame):
            self._publisher.publish(item)

    def _acknowledge(self, envelopes: Iterable[Envelope]) -> None:
        numbers = tuple(envelope.number for envelope in envelopes)
        self.acknowledged += len(numbers)
        self._publisher.send(encode_ack(Ack(SENDER, RUN, numbers)))


def _size(delivery: Delivery) -> int:
    body = delivery.message.body
    return len(body.payload) if isinstance(body, Frame) else 0


class _Copy:
    """A file of the floor."""

    def __init__(self, path: Path, width: int, height: int) -> None:
        self._file = io.FileIO(path, "w")
        self._output = av.open(self._file, "w", format="matroska")
        self._stream = self._output.add_mux_stream("mjpeg", width=width, height=height)
        self._stream.time_base = MILLISECOND

    def write(self, jpeg: bytes, pts_ms: int) -> None:
        packet = av.Packet(jpeg)
        packet.stream, packet.time_base, packet.is_keyframe = self._stream, MILLISECOND, True
        packet.pts = packet.dts = pts_ms
        self._output.mux(packet)

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._output.close()
        self.sync()
        self._file.close()


def _rates(found: Sequence[Values]) -> list[float]:
    return [one["frames"] / one["wall_s"] for one in found]


def _costs(found: Sequence[Values]) -> list[float]:
    return [one["cpu_s"] / one["frames"] * 1e3 for one in found]


def _measured(setup: Setup, role: Role, cameras: int) -> Values:
    with setup.folder() as folder, Children() as children:
        pictures = setup.pictures.as_options()
        child = children.start(
            role, into=str(folder), cameras=cameras, pictures=pictures, seconds=setup.seconds
        )
        return child.result(setup.seconds + WITHIN_S)
