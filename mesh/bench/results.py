"""Results as process nodes push them: pictures of many cameras by turns, with detections and hops."""

import time
from collections.abc import Iterator

from mesh.bench.pictures import Pictures
from mesh.delivery import Delivery
from mesh.frame import Detection, Frame, Hop, draw_boot
from mesh.wire import Envelope, Message, Topic, View

STAGE, SENDER = "motion", "bench"
RUN = 1
FOUND = (
    Detection("motion", 0.53125, (100.0, 120.0, 64.0, 48.0), "motion", {"area": 0.01}),
    Detection("box", 0.875, (310.5, 40.25, 80.0, 120.0), "boxes"),
)


def results(pictures: Pictures, cameras: int) -> Iterator[Delivery]:
    """One of each camera after the other, for ever, captured now."""
    jpegs, boot, number = pictures.jpegs(), draw_boot(time.time_ns()), 0
    while True:
        camera, seq = f"cam{number % cameras}", number // cameras
        frame = _frame(camera, boot, seq, pictures, jpegs[number % len(jpegs)])
        message = Message(Topic(View.FRAME, STAGE, camera), RUN, seq, frame)
        yield Delivery(Envelope(SENDER, RUN, number), message)
        number += 1


def _frame(camera: str, boot: int, seq: int, pictures: Pictures, jpeg: bytes) -> Frame:
    now = time.time_ns()
    return Frame(
        camera=camera,
        boot=boot,
        seq=seq,
        captured_ns=now,
        width=pictures.width,
        height=pictures.height,
        payload=jpeg,
        stage=STAGE,
        detections=FOUND,
        hops=(Hop("capture", now, now), Hop("process", now, now)),
    )
