"""What the ways have in common in which each picture is asked about: send one, wait for its answer."""

from collections.abc import Callable

import cv2

from mesh.bench.child import Meter, Values
from mesh.bench.children import BenchError
from mesh.bench.flow import Flow
from mesh.codec import DEFAULT_QUALITY, Image

WARM_UP = 5
WITHIN_S = 60.0


def encoded(image: Image) -> bytes:
    """A JPEG as most scripts make it: with OpenCV."""
    ok, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, DEFAULT_QUALITY])
    if not ok:
        raise BenchError("OpenCV did not encode a picture")
    return bytes(jpeg)


def ask_for(one: Callable[[int], None], seconds: float) -> Values:
    """Do `one` for `seconds` after a warm-up: how often, and with how much CPU."""
    for seq in range(WARM_UP):
        one(seq)
    meter, seq = Meter(), WARM_UP
    while meter.wall_s < seconds:
        one(seq)
        seq += 1
    return {"frames": seq - WARM_UP, **meter.read()}


def flow_of_answers(sent: Values, *others: Values) -> Flow:
    """A `Flow` of the sender's rate and of the CPU of all processes; none is lost, for each was answered."""
    cpu_s = sum(one["cpu_s"] / one["frames"] for one in (sent, *others))
    return Flow(sent["frames"] / sent["wall_s"], cpu_s * 1e3, 0)
