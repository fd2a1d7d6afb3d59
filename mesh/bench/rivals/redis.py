"""Redis: each picture as base64 under a key, a publish to wake the worker, and a poll for its answer.

The server is Debian's `redis-server`, on a port of its own, which writes nothing to disk.
"""

import base64
from typing import Any

import cv2
import numpy as np

from mesh.bench.child import Channel, Meter, Values
from mesh.bench.children import BenchError, Children
from mesh.bench.flow import Flow, touch
from mesh.bench.paced import pause
from mesh.bench.pictures import Pictures
from mesh.bench.rivals.asking import WARM_UP, WITHIN_S, ask_for, encoded, flow_of_answers
from mesh.bench.rivals.packages import without_packages, without_program
from mesh.clock import SYSTEM_CLOCK
from mesh.ports import free_port

WHAT = "base64 JPEG under a Redis key, publish, poll for the answer"
SERVER = "redis-server"
FRAME, ANSWER, CHANNEL, END = "frame", "answer", "frames", "end"
POLL_S = 0.01
TRY_EVERY_S = 0.05


def missing() -> str:
    return without_packages("redis") or without_program(SERVER, SERVER)


def link(pictures: Pictures, seconds: float) -> Flow:
    port = free_port()
    with Children() as children:
        server = children.program(SERVER, "--bind", "127.0.0.1", "--port", port, "--save", "")
        worker = children.start(work, port=port)
        worker.hear()
        before = server.usage.cpu_s
        sender = children.start(send, port=port, pictures=pictures.as_options(), seconds=seconds)
        sent = sender.result(seconds + WITHIN_S)
        worked = worker.result()
        used = {"cpu_s": server.usage.cpu_s - before, "frames": sent["frames"] + WARM_UP}
        return flow_of_answers(sent, worked, used)


def send(channel: Channel, *, port: int, pictures: dict[str, Any], seconds: float) -> Values:
    """A role: set a picture, publish that it is there, and look for the answer until it is."""
    images = Pictures.of(pictures).bgr()
    server = _connected(port)

    def one(seq: int) -> None:
        server.set(FRAME, base64.b64encode(encoded(images[seq % len(images)])))
        server.publish(CHANNEL, seq)
        deadline = SYSTEM_CLOCK.monotonic() + WITHIN_S
        while server.get(ANSWER) != str(seq).encode():
            if SYSTEM_CLOCK.monotonic() > deadline:
                raise BenchError("the worker behind Redis did not answer")
            pause(POLL_S)

    found = ask_for(one, seconds)
    server.publish(CHANNEL, END)
    return found


def work(channel: Channel, *, port: int) -> Values:
    """A role: decode the picture when told that there is one, and set the answer."""
    server = _connected(port)
    heard = server.pubsub(ignore_subscribe_messages=True)
    heard.subscribe(CHANNEL)
    heard.get_message(timeout=WITHIN_S)
    channel.say(ready=True)
    meter, frames = Meter(), 0
    for message in heard.listen():
        if message["data"] == END.encode():
            break
        data = np.frombuffer(base64.b64decode(server.get(FRAME)), np.uint8)
        touch(cv2.imdecode(data, cv2.IMREAD_COLOR))
        server.set(ANSWER, message["data"])
        frames += 1
    return {"frames": frames, **meter.read()}


def _connected(port: int) -> Any:
    """A client of the server, once that listens. Raises `BenchError`."""
    import redis

    client = redis.Redis("127.0.0.1", port)
    deadline = SYSTEM_CLOCK.monotonic() + WITHIN_S
    while SYSTEM_CLOCK.monotonic() < deadline:
        try:
            client.ping()
        except redis.ConnectionError:
            pause(TRY_EVERY_S)
        else:
            return client
    raise BenchError(f"{SERVER} did not start")
