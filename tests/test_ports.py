"""Ports that are given away: free, in pairs, and each to one program only."""

import socket
import subprocess
import sys

import pytest

from mesh import ports
from mesh.ports import free_port

TAKE_ONE = "from mesh.ports import free_port; print(free_port(), flush=True); input()"


def test_a_port_is_free_and_so_is_the_next() -> None:
    port = free_port()
    assert ports.FIRST <= port < ports.LAST
    with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 1)):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="marks are Linux's")
def test_what_was_given_to_a_program_is_given_to_nobody_else_though_it_is_not_in_use_yet() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TAKE_ONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        port = int(program.stdout.readline())
        with pytest.raises(OSError, match="in use"):
            ports._mark(port)
        program.communicate("\n")
    ports._mark(port)  # its program has ended


def test_marks_are_bounded() -> None:
    given = [free_port() for _ in range(ports.MARKED + 10)]
    assert len(set(given[-ports.MARKED :])) == ports.MARKED
    assert len(ports._marks) <= ports.MARKED
