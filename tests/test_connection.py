"""Connections whose waits end when they are told to."""

import socket
import ssl
import threading
import time

import pytest

from mesh.clock import SYSTEM_CLOCK
from nodes.connection import Connection, Ended, Patience
from tests.support.answering import Answering, drained


def until(ended: threading.Event, seconds: float = 60.0) -> Patience:
    return Patience(SYSTEM_CLOCK, time.monotonic() + seconds, ended.is_set)


def test_nothing_that_is_written_waits_for_what_was_written_before_to_be_acknowledged() -> None:
    with Answering(drained) as server:
        connection = Connection("127.0.0.1", server.port, None, until(threading.Event()))
        assert connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        connection.close()


def test_every_wait_ends_when_it_is_told_to_and_when_its_time_is_over() -> None:
    ended = threading.Event()
    with Answering(drained) as server:
        connection = Connection("127.0.0.1", server.port, None, until(ended))
        with pytest.raises(TimeoutError):
            connection.await_data(until(ended, 0))
        ended.set()
        with pytest.raises(Ended):
            connection.await_data(until(ended))
        with pytest.raises(Ended):
            connection.start_tls(ssl.create_default_context(), "127.0.0.1", until(ended))
        assert connection.fileno() == -1, "closed, since TLS had begun"
