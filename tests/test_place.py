"""Where a process is, and that peers at the same place really are connected without TCP."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.client import Mesh
from mesh.place import local_endpoints, machine, nearest, this_place
from mesh.registry import open_registry
from mesh.registry.records import NodeKind, NodeRecord, StreamRecord
from mesh.scope import Scope
from mesh.transport import Publisher
from mesh.wire import Limits, View, topic_prefix
from tests.support.frames import jpeg_frame
from tests.support.waiting import wait_for
from tests.test_transport import Listener, rebound

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="abstract Unix sockets are Linux's")


def tcp_connections(port: int) -> int:
    """Established TCP connections of this network namespace to a local port."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[2].endswith(f":{port:04X}") and line.split()[3] == "01" for line in lines)


def unix_connections(endpoint: str) -> int:
    """Connected Unix sockets of this network namespace at an `ipc://@NAME` endpoint."""
    name = endpoint.removeprefix("ipc://")
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return sum(line[5] == "03" and line[-1] == name for line in lines)


def port_of(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])


@on_linux
def test_a_place_is_a_machine_and_a_network_namespace() -> None:
    boot, _, namespace = this_place().partition("/")
    assert machine(this_place()) == boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert os.readlink("/proc/self/ns/net") == f"net:[{namespace}]"
    assert machine("") == ""


@on_linux
def test_local_endpoints_are_abstract_and_never_the_same() -> None:
    (one,), (two,) = local_endpoints(), local_endpoints()
    assert one.startswith("ipc://@framemesh-")
    assert one != two


@pytest.mark.parametrize(
    ("local", "place", "here", "expected"),
    [
        ("ipc://@x", "boot/1", "boot/1", "ipc://@x"),
        ("ipc://@x", "boot/1", "boot/2", "tcp://far"),
        ("ipc://@x", "", "", "tcp://far"),
        ("", "boot/1", "boot/1", "tcp://far"),
    ],
)
def test_the_local_endpoint_is_for_the_same_place(local: str, place: str, here: str, expected: str) -> None:
    assert nearest("tcp://far", local, place, here) == expected
    stream = StreamRecord(
        stage="raw", camera="door", node="n", endpoint="tcp://far", local=local, place=place
    )
    assert stream.reach(here) == expected


def test_a_nodes_streams_carry_its_endpoints() -> None:
    endpoints = {"pub": "tcp://far", "pub_local": "ipc://@x"}
    node = NodeRecord(id="n", kind=NodeKind.COLLECT, host="h", pid=1, endpoints=endpoints, place="boot/1")
    stream = node.stream("raw", "door", relay=True)
    assert (stream.endpoint, stream.local, stream.place) == ("tcp://far", "ipc://@x", "boot/1")
    assert (stream.node, stream.relay) == ("n", True)
    assert node.reach("pub", "boot/1") == "ipc://@x"
    assert node.reach("pub", "boot/2") == "tcp://far"
    assert node.reach("pull", "boot/1") == ""


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    publisher = Publisher("pub-1", ("tcp://127.0.0.1:*", *local_endpoints()))
    yield publisher
    publisher.close(flush=False)


@on_linux
def test_a_subscriber_through_the_registry_is_on_ipc_and_not_on_tcp() -> None:
    with Mesh(open_registry("memory:place")) as m, m.publish("raw", "bench") as out:
        (stream,) = wait_for(m.streams)
        with m.subscribe("raw", "bench") as frames:
            wait_for(lambda: out.listened_to)
            out.send(jpeg_frame().image)
            got = frames.get(30)
            assert got is not None
            assert unix_connections(stream.local) == 1
            assert tcp_connections(port_of(stream.endpoint)) == 0
        wait_for(lambda: unix_connections(stream.local) == 0)
    wait_for(
        lambda: stream.local[6:] not in Path("/proc/net/unix").read_text(), what="nothing is left behind"
    )


@on_linux
def test_a_publisher_serves_both_endpoints(publisher: Publisher) -> None:
    far, local = publisher.endpoints
    with Scope("test") as scope:
        listeners = [Listener(scope, topic_prefix(View.FRAME, "raw", "door")) for _ in (far, local)]
        for listener, endpoint in zip(listeners, (far, local), strict=True):
            listener.subscriber.connect(endpoint)
        wait_for(lambda: tcp_connections(port_of(far)) + unix_connections(local) == 2)

        def both_hear() -> bool:
            publisher.publish(jpeg_frame())
            return all(listener.frames() for listener in listeners)

        wait_for(both_hear)


@on_linux
def test_an_ipc_connection_is_made_again_when_its_publisher_returns_and_after_a_broken_protocol(
    publisher: Publisher,
) -> None:
    local = publisher.endpoints[1]
    with Scope("test") as scope:
        listener = Listener(scope, topic_prefix(View.FRAME, "raw", "door"), limits=Limits(payload=10_000))
        listener.subscriber.connect(local)
        wait_for(lambda: publisher.listens(View.FRAME, "raw", "door"))
        publisher.publish(jpeg_frame().with_image(jpeg_frame(size=640).image))  # over the limit: cut off
        wait_for(lambda: listener.subscriber.stats().get("connected_anew") == 1)
        assert not listener.frames()
        publisher.close(flush=False)
        second = wait_for(lambda: rebound(local))
        assert second is not None
        try:
            wait_for(lambda: second.listens(View.FRAME, "raw", "door"))
            second.publish(jpeg_frame())
            wait_for(listener.frames)
        finally:
            second.close(flush=False)
