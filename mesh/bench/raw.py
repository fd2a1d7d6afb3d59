"""The floor of `transport`: pyzmq and simplejpeg alone, as good as one can write it.

It sends what ours sends: a topic, a header of the same size, and the JPEG, of the same quality and options;
queues are bounded; what is sent is not copied. What is received is, because it measured no slower.
"""

from collections.abc import Callable, Iterator
from typing import Any

import simplejpeg
import zmq

from mesh.bench.child import Channel, Values
from mesh.bench.flow import STEP, WARM_UP, Ahead, Taken, receive_all, send_all, touch
from mesh.bench.pictures import Pictures
from mesh.codec import DEFAULT_QUALITY
from mesh.frame import Frame, Hop, draw_boot
from mesh.transport.publisher import RUN_BITS
from mesh.wire import Message, Topic, View, encode

TOPIC = b"frame/raw/bench/0/"
HWM = 200
LINGER_MS = 5_000
PATIENCE_MS = 5_000
_NUMBER = 8  # bytes: the header begins with the frame's number


def send(channel: Channel, *, fd: int, pictures: dict[str, Any], pixels: bool, seconds: float) -> Values:
    """A role: publish pictures, as pixels that are encoded or as the JPEGs that they are."""
    payload = _payloads(Pictures.of(pictures), pixels)
    filler = bytes(_header_size() - _NUMBER)
    with zmq.Context() as context, context.socket(zmq.XPUB) as sock:
        sock.setsockopt(zmq.SNDHWM, HWM)
        sock.setsockopt(zmq.LINGER, LINGER_MS)
        sock.setsockopt(zmq.RCVTIMEO, 10 * PATIENCE_MS)
        port = sock.bind_to_random_port("tcp://127.0.0.1")
        channel.say(endpoint=f"tcp://127.0.0.1:{port}")
        sock.recv()  # somebody subscribed

        def one(seq: int) -> None:
            header = seq.to_bytes(_NUMBER, "little") + filler
            sock.send_multipart((TOPIC, header, payload(seq)), copy=False)

        sent = send_all(one, Ahead(fd), seconds)
        sock.send_multipart((TOPIC,))
        return sent


def receive(channel: Channel, *, fd: int, endpoint: str, pixels: bool) -> Values:
    """A role: subscribe, and decode to pixels, or don't."""
    with zmq.Context() as context, context.socket(zmq.SUB) as sock:
        sock.setsockopt(zmq.RCVHWM, HWM)
        sock.setsockopt(zmq.RCVTIMEO, PATIENCE_MS)
        sock.setsockopt(zmq.SUBSCRIBE, TOPIC)
        sock.connect(endpoint)
        return receive_all(_numbers(sock, pixels), Taken(fd))


def _numbers(sock: "zmq.Socket[bytes]", pixels: bool) -> Iterator[int]:
    while len(parts := sock.recv_multipart()) == 3:
        if pixels:
            touch(simplejpeg.decode_jpeg(parts[2], "BGR", fastdct=True, fastupsample=True))
        yield int.from_bytes(parts[1][:_NUMBER], "little")


def _payloads(pictures: Pictures, pixels: bool) -> Callable[[int], bytes]:
    """What frame number so and so carries."""
    if not pixels:
        jpegs = pictures.jpegs()
        return lambda seq: jpegs[seq % len(jpegs)]
    images = pictures.bgr()
    return lambda seq: bytes(simplejpeg.encode_jpeg(images[seq % len(images)], DEFAULT_QUALITY, "BGR", "420"))


def _header_size() -> int:
    """How many bytes the header of ours takes, for a frame as these benches send it."""
    now = 1_790_000_000_000_000_000
    frame = Frame(
        camera="bench",
        boot=draw_boot(now),
        seq=WARM_UP * STEP,
        captured_ns=now,
        width=640,
        height=480,
        payload=b"-",
        hops=(Hop("publish-host-0000", now, now),),
    )
    message = Message(Topic(View.FRAME, "raw", "bench"), (1 << RUN_BITS) - 1, frame.seq, frame)
    return len(encode(message)[1])
