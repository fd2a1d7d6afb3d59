"""The registry's records of a large site, as nodes write them."""

import time

from mesh.registry import Value
from mesh.registry.records import CameraRecord, CameraState, NodeKind, NodeRecord, StreamRecord
from mesh.registry.setups import CameraSetup

PLACE = "4f2a9d3c-0b1e-4c7a-9a53-5e8f0c9d1b22/4026531840"
HOST = "edge-device-7"
PID = 4_000


def node_record(number: int) -> NodeRecord:
    return NodeRecord(
        id=f"node{number}",
        kind=NodeKind.PROCESS,
        group="motion",
        host=HOST,
        pid=PID + number,
        endpoints={"pub": "tcp://192.0.2.7:40123", "pub_local": f"ipc://@mesh-{number:020}"},
        place=PLACE,
        inputs=("raw",),
        started_ns=time.time_ns(),
        version="0.1.0",
    )


def camera_record(camera: int, node: int) -> CameraRecord:
    return CameraRecord(
        name=f"camera{camera}",
        source=source(camera),
        state=CameraState.ONLINE,
        node=f"node{node}",
        host=HOST,
        pid=PID,
        boot=time.time_ns(),
    )


def stream_record(camera: int, node: int) -> StreamRecord:
    return node_record(node).stream("raw", f"camera{camera}")


def source(camera: int) -> str:
    return f"rtsp://192.0.2.{camera % 250}:554/streams/main"


def setup_value(camera: int, **more: int) -> Value:
    """A camera's configuration, and whatever else is to travel in it."""
    return {**CameraSetup(name=f"camera{camera}", url=source(camera)).value(), **more}
