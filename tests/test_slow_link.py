"""A link that is slow is not a link that is dead: a frame that takes its time over it arrives whole."""

import os
import time

import numpy as np
import pytest
import zmq

from mesh.scope import Scope
from mesh.transport import Publisher
from mesh.transport.sockets import open_socket
from mesh.wire import View, topic_prefix
from tests.support.frames import jpeg_frame
from tests.support.slow_proxy import SlowProxy
from tests.support.waiting import wait_for
from tests.test_transport import Listener

LONG = os.environ.get("MESH_FAULTS_LONG") == "1"
SIDE = 836 if LONG else 418  # of a raw BGR frame: 2 MiB, or 512 KiB
BYTES_PER_S = 125_000 if LONG else 175_000
LEAST_S = SIDE * SIDE * 3 / BYTES_PER_S / 2  # half of what the link takes for it: it was slow indeed


def test_a_large_frame_over_a_slow_link_arrives_whole_on_one_connection() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    publisher = Publisher("pub-1")
    try:
        with (
            SlowProxy(int(publisher.endpoint.rpartition(":")[2]), BYTES_PER_S) as link,
            Scope("test") as scope,
        ):
            listener = Listener(scope, topic_prefix(View.FRAME, "raw", "door"))
            listener.subscriber.connect(link.url)
            wait_for(lambda: publisher.listens(View.FRAME, "raw", "door"))
            began = time.monotonic()
            publisher.publish(jpeg_frame(0).with_image(pixels))
            publisher.publish(jpeg_frame(1))
            wait_for(lambda: len(listener.frames()) == 2, within=100)
            took = time.monotonic() - began
            assert link.connections == 1
            assert "connected_anew" not in listener.subscriber.stats()
        large, small = listener.frames()
        assert np.array_equal(large.image, pixels)
        assert (large.seq, small.seq) == (0, 1)
        assert took > LEAST_S
    finally:
        publisher.close(flush=False)


@pytest.mark.parametrize("kind", [zmq.XPUB, zmq.SUB, zmq.PUSH, zmq.PULL])
def test_every_socket_notices_a_dead_link_by_tcp_and_not_by_heartbeats(kind: int) -> None:
    sock = open_socket(kind, hwm=10)
    try:
        assert sock.getsockopt(zmq.HEARTBEAT_IVL) == 0
        assert sock.getsockopt(zmq.TCP_KEEPALIVE) == 1
        assert 0 < int(sock.getsockopt(zmq.TCP_MAXRT)) <= 20_000
        assert 0 < int(sock.getsockopt(zmq.CONNECT_TIMEOUT)) <= 10_000
        assert 0 < int(sock.getsockopt(zmq.SNDBUF)) <= 1 << 20
        assert 0 < int(sock.getsockopt(zmq.RCVBUF)) <= 1 << 20
    finally:
        sock.close(linger=0)
