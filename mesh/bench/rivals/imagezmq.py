"""imagezmq: PUB/SUB, JPEGs made and read by simplejpeg, as its examples have it."""

from collections.abc import Iterator
from typing import Any

import simplejpeg

from mesh.bench.child import Channel, Values
from mesh.bench.flow import Ahead, Flow, Taken, flow, receive_all, send_all, touch
from mesh.bench.pictures import Pictures
from mesh.bench.rivals.packages import without_packages
from mesh.codec import DEFAULT_QUALITY
from mesh.ports import free_port

WHAT = "imagezmq PUB/SUB, JPEG"
HELLO, END = "hello", "end"
HELLO_EVERY_S = 0.05
PATIENCE_MS = 5_000


def missing() -> str:
    return without_packages("imagezmq")


def link(pictures: Pictures, seconds: float) -> Flow:
    return flow(send, receive, pictures, seconds)


def send(channel: Channel, *, fd: int, pictures: dict[str, Any], seconds: float) -> Values:
    """A role: publish pictures. A PUB socket does not say when somebody subscribes: the receiver does."""
    import imagezmq

    images = Pictures.of(pictures).bgr()
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    sender = imagezmq.ImageSender(connect_to=endpoint, REQ_REP=False)
    channel.say(endpoint=endpoint)
    ahead = Ahead(fd)
    while not ahead.is_told(HELLO_EVERY_S):
        sender.send_jpg(HELLO, b"")

    def one(seq: int) -> None:
        jpeg = simplejpeg.encode_jpeg(images[seq % len(images)], DEFAULT_QUALITY, "BGR", "420")
        sender.send_jpg(str(seq), jpeg)

    sent = send_all(one, ahead, seconds)
    sender.send_jpg(END, b"")
    sender.zmq_socket.linger = PATIENCE_MS
    sender.close()
    return sent


def receive(channel: Channel, *, fd: int, endpoint: str) -> Values:
    """A role: receive and decode."""
    import imagezmq

    with imagezmq.ImageHub(open_port=endpoint, REQ_REP=False) as hub:
        hub.zmq_socket.rcvtimeo = PATIENCE_MS
        taken = Taken(fd)
        return receive_all(_numbers(hub, taken), taken)


def _numbers(hub: Any, taken: Taken) -> Iterator[int]:
    while True:
        name, jpeg = hub.recv_jpg()
        if name == HELLO:
            taken.tell(0)
        elif name == END:
            return
        else:
            touch(simplejpeg.decode_jpeg(jpeg, "BGR", fastdct=True, fastupsample=True))
            yield int(name)
