"""`mesh bench registry`: the embedded registry server, beside an echo over the same sockets.

The floor is a round trip of as many bytes between DEALER and ROUTER with nothing done in between: what any
registry over pyzmq pays. Ours are requests as nodes make them: records put under a lease, and read.

Rules kept here: every client is a process of its own, which asks the floor and ours by turns; a change's age
is from before it was put until its watcher had it, by CLOCK_MONOTONIC, which processes of a machine share.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import zmq

from mesh.bench.child import Channel, Meter, Values
from mesh.bench.children import WITHIN_S, Child, Children
from mesh.bench.paced import percentile_ms, ticks
from mesh.bench.records import camera_record, node_record
from mesh.bench.report import Row
from mesh.bench.served import serve
from mesh.bench.setup import Setup
from mesh.ports import free_port
from mesh.registry import Put, Registry, Synced, open_registry

CLIENTS = 4
NODES, CAMERAS = 1_000, 5_000
CHANGES_PER_S = 100.0
LEASE_S = 60.0
CHANGING = "nodes/changing"
MESSAGE = bytes(300)  # a record of a node, packed
FLOOR_IS = "ROUTER/DEALER echo of 300 bytes"
PATIENCE_MS = 10_000


def measure(setup: Setup) -> Iterator[Row]:
    """Requests a second, how old a change is when a watcher has it, and what a large site takes of memory."""
    with Children() as children, _served(children) as (url, server):
        echo_url = children.start(echo).hear()["url"]
        clients = [
            children.start(client, url=url, echo_url=echo_url, number=number) for number in range(CLIENTS)
        ]
        for what, request in (("puts under a lease", "put"), ("gets", "get")):
            floors, found = setup.alternate(
                partial(_rate, clients, "echo", setup.seconds),
                partial(_rate, clients, request, setup.seconds),
            )
            yield Row(f"{what}, {CLIENTS} clients", "1/s", found, floors, FLOOR_IS)
        watcher = children.start(watch, url=url)
        watcher.hear()
        trips, ages = setup.alternate(
            partial(_trips, clients[0], setup.seconds), partial(_ages, clients[0], watcher, setup.seconds)
        )
        for percent in (50, 99):
            yield Row(
                f"a change until its watcher has it, p{percent}",
                "ms",
                [percentile_ms(each, percent) for each in ages],
                [percentile_ms(each, percent) for each in trips],
                f"{FLOOR_IS}, there and back",
            )
        before = server.usage.rss_kib
        _told(clients[0], "fill")
        after = server.usage.rss_kib
        yield Row(f"memory for {NODES:,} nodes and {CAMERAS:,} cameras", "MiB", [(after - before) / 1024])


def client(channel: Channel, *, url: str, echo_url: str, number: int) -> Values:
    """A role: does what it is told, one thing after the other, until it is killed."""
    with open_registry(url) as registry, zmq.Context() as context, context.socket(zmq.DEALER) as sock:
        sock.setsockopt(zmq.RCVTIMEO, PATIENCE_MS)
        sock.connect(echo_url)
        able = _Client(registry, sock, number)
        while True:
            told = channel.hear()
            channel.say(done=getattr(able, told["do"])(told["seconds"]))


def echo(channel: Channel) -> Values:
    """A role: the echo, until it is killed."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as sock:
        port = sock.bind_to_random_port("tcp://127.0.0.1")
        channel.say(url=f"tcp://127.0.0.1:{port}")
        while True:
            sock.send_multipart(sock.recv_multipart())


def watch(channel: Channel, *, url: str) -> Values:
    """A role: watch what changes, and say each time that it is gone how old the changes were, in ms."""
    ages: list[float] = []
    with open_registry(url) as registry, registry.watch(CHANGING) as changes:
        for event in changes:
            if isinstance(event, Synced):
                channel.say(watching=True)
            elif isinstance(event, Put):
                ages.append((time.monotonic_ns() - int(event.entry.value["started_ns"])) / 1e6)
            else:
                channel.say(ms=ages)
                ages = []
    return {}


class _Client:
    """What a client can be told to do, for so many seconds; what each gives can be said as JSON."""

    def __init__(self, registry: Registry, sock: "zmq.Socket[bytes]", number: int) -> None:
        self._registry, self._sock = registry, sock
        self._lease = registry.grant(LEASE_S)
        self._key, self._value = f"nodes/client{number}", node_record(number).value()
        self.echo_once()

    def put(self, seconds: float) -> float:
        """Writes a second."""
        return _rate_of(lambda: self._registry.put(self._key, self._value, lease=self._lease), seconds)

    def get(self, seconds: float) -> float:
        """Reads a second."""
        return _rate_of(lambda: self._registry.get(self._key), seconds)

    def echo(self, seconds: float) -> float:
        """Round trips a second."""
        return _rate_of(self.echo_once, seconds)

    def echo_once(self) -> None:
        self._sock.send(MESSAGE)
        self._sock.recv()

    def trip(self, seconds: float) -> list[float]:
        """How long round trips take at the pace of changes, in ms."""
        meter = Meter()
        durations: list[float] = []
        for _ in ticks(CHANGES_PER_S, lambda: not durations or meter.wall_s < seconds):
            begin = time.monotonic_ns()
            self.echo_once()
            durations.append((time.monotonic_ns() - begin) / 1e6)
        return durations

    def change(self, seconds: float) -> None:
        """Put a record again and again, with the time of each, then remove it."""
        meter = Meter()
        self._put_now()
        for _ in ticks(CHANGES_PER_S, lambda: meter.wall_s < seconds):
            self._put_now()
        self._registry.delete(CHANGING)

    def _put_now(self) -> None:
        value = {**self._value, "started_ns": time.monotonic_ns()}
        self._registry.put(CHANGING, value, lease=self._lease)

    def fill(self, seconds: float) -> None:
        """A large site's records."""
        for number in range(NODES):
            self._registry.put(f"nodes/node{number}", node_record(number).value(), lease=self._lease)
        for number in range(CAMERAS):
            self._registry.put(
                f"cameras/camera{number}", camera_record(number, number % NODES).value(), lease=self._lease
            )


def _rate_of(once: Callable[[], object], seconds: float) -> float:
    meter, done = Meter(), 0
    while not done or meter.wall_s < seconds:
        once()
        done += 1
    return done / meter.wall_s


@contextmanager
def _served(children: Children) -> Iterator[tuple[str, Child]]:
    """A registry server, once it answers. Raises `BenchError`."""
    url = f"tcp://127.0.0.1:{free_port()}"
    server = serve(children, url)
    yield url, server
    server.stop()


def _rate(clients: Sequence[Child], what: str, seconds: float) -> float:
    """What all clients together do in a second."""
    for each in clients:
        each.tell(do=what, seconds=seconds)
    return sum(float(each.hear(seconds + WITHIN_S)["done"]) for each in clients)


def _trips(one: Child, seconds: float) -> list[float]:
    return list(_told(one, "trip", seconds))


def _ages(one: Child, watcher: Child, seconds: float) -> list[float]:
    _told(one, "change", seconds)
    return list(watcher.hear()["ms"])


def _told(one: Child, what: str, seconds: float = 0.0) -> Any:
    one.tell(do=what, seconds=seconds)
    return one.hear(seconds + WITHIN_S)["done"]
