"""Fault 8: a thousand subscribers come and go: neither an idle nor a busy publisher leaks."""

from pathlib import Path

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from tests.e2e.site import Site
from tests.faults.figures import row
from tests.support.waiting import wait_for

VISITS = 1000
WARM_UP = 300
NOISE_KB = 4 * 1024  # what allocators keep


def visit(endpoint: str) -> None:
    """Connect, subscribe, be welcomed, and leave."""
    sock: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    with sock:
        sock.setsockopt(zmq.LINGER, 0)
        sock.subscribe(b"frame/raw/door/")
        monitor = sock.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        sock.connect(endpoint)
        assert monitor.poll(30_000), "no handshake"
        recv_monitor_message(monitor)
        sock.disable_monitor()
        monitor.close(linger=0)


@pytest.mark.parametrize("kind", ["idle", "busy"])
def test_a_thousand_subscribers_leave_nothing_behind(kind: str, tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        rate = 30 if kind == "busy" else 0.1
        capture = site.capture(f"door=synthetic:?size=320x240&fps={rate}")
        site.wait_nodes("capture")
        (endpoint,) = site.wait_for(lambda: [s.endpoint for s in site.mesh.streams()], "the stream is listed")
        for _ in range(WARM_UP):
            visit(endpoint)
        files, memory_kb = capture.open_files(), capture.rss_kb()
        for _ in range(VISITS):
            visit(endpoint)
        wait_for(lambda: capture.open_files() <= files, "its files are closed")
        grown_kb = capture.rss_kb() - memory_kb
        row(
            f"8 {VISITS} subscribers come and go, {kind} publisher",
            grew_kb=grown_kb,
            files=capture.open_files() - files,
        )
        assert grown_kb < NOISE_KB
        assert capture.stop() == 0
