"""A whole collect node at the pace of cameras: what it uses a result, and how long one takes to be safe.

Rules kept here: a result's age is from when it was made to when its acknowledgement was heard, by one clock
in one process; what is not acknowledged is said.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import zmq

import mesh
from mesh.bench.child import Channel, Values
from mesh.bench.children import WITHIN_S, BenchError, Child, Children
from mesh.bench.paced import pause, percentile_ms, ticks
from mesh.bench.pictures import Pictures
from mesh.bench.report import Measure, Row, at_most
from mesh.bench.results import SENDER, results
from mesh.bench.setup import Setup
from mesh.registry.records import NodeKind, NodeRecord
from mesh.wire import ack_topic, decode_ack, encode, encode_envelope

CAMERAS, FPS = 100, 25.0
ROUNDS = 100.0  # a second: results go out in groups, as process nodes send them
HWM = 64
SETTLE_S = 1.0  # at most, while segments begin, all at once
CPU_MS, AGE_MS = 0.133, 300.0  # a third of a core at that pace
LOOK_EVERY_S = 0.05


def measure(setup: Setup) -> Iterator[Row]:
    """A row for the CPU, and one for the ages."""
    found = setup.repeat(partial(_collected, setup))
    case = f"{CAMERAS} cameras at {FPS:g} fps through a node, {setup.pictures}"
    missing = sum(one["sent"] - one["acknowledged"] for one in found)
    note = f"{sum(one['sent'] for one in found)} results, {missing} not acknowledged"
    costs = [one["cpu_s"] / one["measured"] * 1e3 for one in found]
    ages = [one["p99_ms"] for one in found]
    yield Row(f"{case}, the node's", "CPU ms/frame", costs, target=at_most(CPU_MS, Measure.OURS), note=note)
    yield Row(f"{case}, until safe, p99", "ms", ages, target=at_most(AGE_MS, Measure.OURS), note=note)


def push(channel: Channel, *, pull: str, pub: str, pictures: dict[str, Any], seconds: float) -> Values:
    """A role: push results at the pace of the cameras, and hear when each is safe."""
    made: dict[int, int] = {}
    ages: list[int] = []
    source = results(Pictures.of(pictures), CAMERAS)
    with zmq.Context() as context, context.socket(zmq.PUSH) as out, context.socket(zmq.SUB) as acks:
        out.setsockopt(zmq.SNDHWM, HWM)
        out.setsockopt(zmq.LINGER, 0)
        acks.setsockopt(zmq.RCVHWM, 0)
        acks.subscribe(ack_topic(SENDER))
        acks.connect(pub)
        out.connect(pull)
        pause(LOOK_EVERY_S)
        begin, sent, settled = time.monotonic(), 0, 0
        for phase_s, is_settled in ((min(SETTLE_S, seconds), True), (seconds, False)):
            end = time.monotonic() + phase_s
            for _ in ticks(ROUNDS, partial(_is_before, end)):
                while sent < (time.monotonic() - begin) * CAMERAS * FPS and _is_before(end):
                    result = next(source)
                    made[result.envelope.number] = time.monotonic_ns()
                    parts = encode_envelope(result.envelope), *encode(result.message)
                    out.send_multipart(parts, copy=False)
                    sent += 1
                _hear(acks, made, ages, 0)
            if is_settled:
                settled = sent
                ages.clear()
            channel.say(settled=is_settled)
        deadline = time.monotonic() + WITHIN_S
        while made and time.monotonic() < deadline:
            _hear(acks, made, ages, 100)
    p99_ms = percentile_ms([age / 1e6 for age in ages], 99) if ages else 0.0
    return {
        "sent": sent,
        "measured": max(1, sent - settled),
        "acknowledged": sent - len(made),
        "p99_ms": p99_ms,
    }


def _is_before(end: float) -> bool:
    return time.monotonic() < end


def _hear(acks: "zmq.Socket[bytes]", made: dict[int, int], ages: list[int], wait_ms: int) -> None:
    """Note the ages of the results that are acknowledged now."""
    while acks.poll(wait_ms):
        now = time.monotonic_ns()
        numbers = decode_ack(acks.recv_multipart()).numbers
        ages.extend(now - made.pop(number) for number in numbers if number in made)
        wait_ms = 0


def _collected(setup: Setup) -> Values:
    with setup.folder() as folder, Children() as children:
        url = f"file:{folder / 'mesh.toml'}"
        node = children.mesh("node", "collect", "--registry", url, "--into", folder / "rec")
        endpoints = _found(url, node).endpoints
        pictures = setup.pictures.as_options()
        child = children.start(
            push, pull=endpoints["pull"], pub=endpoints["pub"], pictures=pictures, seconds=setup.seconds
        )
        child.hear()
        before = node.usage.cpu_s
        child.hear(setup.seconds + WITHIN_S)
        cpu_s = node.usage.cpu_s - before
        found = child.result(2 * WITHIN_S)
        node.stop()
        return {**found, "cpu_s": cpu_s}


def _found(url: str, node: Child) -> NodeRecord:
    """The node's record, once it is there. Raises `BenchError`."""
    deadline = time.monotonic() + WITHIN_S
    with mesh.connect(url) as site:
        while time.monotonic() < deadline:
            node.check()
            for record in site.nodes():
                if record.kind is NodeKind.COLLECT and "pull" in record.endpoints:
                    return record
            pause(LOOK_EVERY_S)
    raise BenchError(f"the collect node was not there within {WITHIN_S:g} s")
