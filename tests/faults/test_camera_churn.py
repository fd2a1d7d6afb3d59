"""Fault 13: cameras are added, changed and removed at random while capture nodes join, leave and die.

All in one process: real nodes, each on threads of its own, over a registry's real server. A node that dies
takes its way to the registry with it first, so that its lease has to run out. Time in which this process was
held up is none in which a camera could have been captured.
"""

import itertools
import random
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from mesh import setups
from mesh.client import Subscription
from mesh.registry.server import RegistryServer
from tests.capture.test_decision import camera
from tests.faults.figures import LONG, row
from tests.support.fleet import Members
from tests.support.pulse import Pulse
from tests.support.waiting import wait_for

CHANGES = 1000 if LONG else 200
CAMERAS = [f"cam{number}" for number in range(12)]
MOST_NODES, NODES_EVERY = 4, 12
FPS = 4
URL = f"synthetic:?size=32x32&fps={FPS}&objects=0"

LEASE_S = 1.5
MARGIN_S = 2.5  # a frame's time, a source that opens, threads that get their turn late on a slow machine
WITHOUT_S = LEASE_S + MARGIN_S  # no camera is without a node for longer
# A node that could not renew its lease learns at its next renewal that others took over, a third later.
OVERLAP_S = LEASE_S / 3 + MARGIN_S

Span = tuple[int, int]


@dataclass
class Seen:
    """What came of each camera: when a frame was captured (ns), by which node, in which capture."""

    pulse: Pulse
    frames: dict[str, list[tuple[int, str, int]]] = field(default_factory=lambda: defaultdict(list))

    def watch(self, subscription: Subscription) -> None:
        for frame in subscription:
            self.frames[frame.camera].append((frame.captured_ns, frame.hops[0].node, frame.boot))

    def on(self, name: str) -> list[tuple[str, int, Span]]:
        """Each capture of a camera: the node, the boot, from its first frame to its last."""
        times: dict[tuple[str, int], list[int]] = defaultdict(list)
        for at, node, boot in self.frames[name]:
            times[node, boot].append(at)
        return [(node, boot, (min(at), max(at))) for (node, boot), at in times.items()]

    def overlap_s(self) -> float:
        """The longest that a camera was on two nodes."""
        pairs = (pair for name in self.frames for pair in itertools.combinations(self.on(name), 2))
        both = [
            self._lasted_ns(max(one[0], other[0]), min(one[1], other[1]))
            for (node, _, one), (peer, _, other) in pairs
            if node != peer
        ]
        return max(0, *both, 0) / 1e9

    def without_s(self, lives: dict[str, list[Span]]) -> float:
        """The longest that a camera gave no frame while it was configured."""
        gaps = [0]
        for name, spans in lives.items():
            for since, until in spans:
                inside = sorted(at for at, _, _ in self.frames[name] if since <= at <= until)
                gaps += itertools.starmap(self._lasted_ns, itertools.pairwise([since, *inside, until]))
        return max(gaps) / 1e9

    def _lasted_ns(self, since: int, until: int) -> int:
        return until - since - self.pulse.held_up_ns(since, until)


@dataclass
class Churn:
    """Changes at random, and when each camera was configured."""

    members: Members
    rng: random.Random = field(default_factory=lambda: random.Random(13))
    since: dict[str, int] = field(default_factory=dict)
    lives: dict[str, list[Span]] = field(default_factory=lambda: defaultdict(list))
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    killed: int = 0

    def change(self, number: int) -> None:
        """Add, change or remove a camera; one change in four is waited for."""
        name = self.rng.choice(CAMERAS)
        waits = self.rng.random() < 0.25
        if name not in self.since:
            setups.add(self.members.registry, camera(name, url=URL))
            self.since[name] = time.time_ns()
            if waits:
                self.members.wait_on(name)
            return
        setup, revision = setups.find(self.members.registry, name)
        if self.rng.random() < 0.3:
            setups.change(
                self.members.registry, setups.changed(setup, {"quality": number % 100 + 1}), revision
            )
            return
        self.lives[name].append((self.since.pop(name), time.time_ns()))
        setups.remove(self.members.registry, name, revision)
        if waits:
            self.members.wait_gone(name)

    def nodes(self) -> None:
        """A node joins, leaves or dies; one stays."""
        running = self.members.running
        if len(running) < 2 or (len(running) < MOST_NODES and self.rng.random() < 0.5):
            self.members.start(f"node{next(self.numbers)}")
            return
        name = self.rng.choice(running)
        if self.rng.random() < 0.5:
            self.members.kill(name)
            self.killed += 1
        else:
            self.members.stop(name)


def test_whatever_comes_and_goes_each_camera_is_on_one_node(tmp_path: Path) -> None:
    began = time.monotonic()
    with (
        Pulse() as pulse,
        RegistryServer(bind="tcp://127.0.0.1:*", state=tmp_path) as server,
        Members(server.url, LEASE_S) as members,
    ):
        seen, churn = Seen(pulse), Churn(members)
        churn.nodes()
        frames = members.mesh.subscribe("raw", policy="fifo", view="meta")
        reader = threading.Thread(target=seen.watch, args=(frames,))
        reader.start()
        for number in range(CHANGES):
            churn.change(number)
            if number % NODES_EVERY == NODES_EVERY - 1:
                churn.nodes()
        members.wait_settled(churn.since)
        for name, since in churn.since.items():
            churn.lives[name].append((since, time.time_ns()))
        for name in members.running:
            members.stop(name)
        wait_for(lambda: not members.mesh.cameras() and not members.mesh.streams(), "nothing is left")
        frames.close()
        reader.join()
    overlap_s, without_s = seen.overlap_s(), seen.without_s(churn.lives)
    assert overlap_s <= OVERLAP_S
    assert without_s <= WITHOUT_S
    for name in seen.frames:
        boots = [boot for _, boot, _ in sorted(seen.on(name), key=lambda capture: capture[2])]
        assert boots == sorted(boots), f"{name}: a later capture has a greater boot"
    row(
        f"13 {CHANGES} changes to cameras, nodes join, leave and die",
        offered=sum(map(len, seen.frames.values())),
        recovery_s=round(without_s, 2),
        overlap_s=round(overlap_s, 2),
        killed=churn.killed,
        nodes=next(churn.numbers),
        seconds=round(time.monotonic() - began, 1),
    )
