"""A simulated group for tests: members, publishers and a registry whose news come late and out of step.

Rules kept here: all chance comes from one seed; each member sees nodes and listings each in the registry's
order, but each as late as it likes; every number that a publisher gives out is known, with who took it in.
"""

import random
from collections import deque
from dataclasses import dataclass, field

from mesh.membership.ownership import Held, Key, Listing, Mark, Ownership, View
from mesh.placement import rendezvous

STEP_S = 0.05
LEASE_S = 1.5
FORGOTTEN_S = 10.0
LATE = 8  # steps that news, writes and frames take at most
MARGIN_S = 2 * LATE * STEP_S + 0.5  # what a takeover costs beyond the lease

Path = tuple[str, str]  # "node" | "group", and the member


@dataclass(frozen=True, slots=True)
class News:
    path: Path
    value: bool | Listing | None  # of a node: whether it drains; None: it is gone
    known: bool = True


@dataclass(slots=True)
class Eye:
    """A member's picture of one table: how much of the registry's log it has seen."""

    table: str
    seen: int = 0
    entries: dict[str, bool | Listing] = field(default_factory=dict)
    forgotten: dict[str, float] = field(default_factory=dict)

    def look(self, log: list[News], upto: int, now: float) -> bool:
        news = [each for each in log[self.seen : upto] if each.path[0] == self.table]
        self.seen = max(self.seen, upto)
        for each in news:
            name = each.path[1]
            if each.value is not None:
                self.entries[name] = each.value
                self.forgotten.pop(name, None)
            elif each.known:
                self.entries.pop(name, None)
                self.forgotten.pop(name, None)
            elif name in self.entries:
                self.forgotten[name] = now + FORGOTTEN_S
        over = [name for name, until in self.forgotten.items() if until <= now]
        for name in over:
            del self.forgotten[name]
            self.entries.pop(name, None)
        return bool(news or over)


@dataclass(slots=True)
class Stream:
    """One partition as its publisher sends it, and the seconds in which its frames may be lost."""

    key: Key
    boot: int = 1
    next: int = 0
    sent: dict[tuple[int, int], float] = field(default_factory=dict)  # (boot, n) -> when
    taken: set[tuple[int, int]] = field(default_factory=set)
    covered: float | None = None  # since when somebody has had it
    excused: list[tuple[float, float]] = field(default_factory=list)


class Member:
    """One live member: what it sees, has, and is about to write."""

    def __init__(self, name: str, version: int) -> None:
        self.name = name
        self.machine = Ownership(name, version)
        self.eyes = (Eye("node"), Eye("group"))
        self.draining = False
        self.outbox: dict[Path, tuple[float, bool | Listing | None]] = {}
        self.links: dict[Key, deque[tuple[float, Mark]]] = {}
        self.reached: dict[Key, Mark] = {}
        self.connected: dict[Key, float] = {}  # from when on what is published goes to this member
        self.look_at = 0.0
        self.started = False

    def view(self, keys: list[Key]) -> View:
        nodes, group = self.eyes
        able = {name for name, drains in nodes.entries.items() if not drains} - {self.name}
        able |= set() if self.draining else {self.name}
        listed = {
            n: v for n, v in group.entries.items() if n not in group.forgotten and isinstance(v, Listing)
        }
        return View({key: rendezvous(key, able) for key in keys}, listed)


class World:
    """A group that works on `keys`, one step of time at a time."""

    def __init__(self, seed: int, keys: list[Key]) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.log: list[News] = []
        self.state: dict[Path, bool | Listing] = {}
        self.streams = {key: Stream(key) for key in keys}
        self.members: dict[str, Member] = {}
        self.dying: list[tuple[float, str]] = []
        self.away_until = 0.0
        self.made = 0

    # What happens to it.

    def join(self) -> None:
        self.made += 1
        member = Member(f"m{self.made}", self.made * 1000)
        for eye in member.eyes:  # a watch begins with what stands
            eye.seen = len(self.log)
            eye.entries = {name: value for (table, name), value in self.state.items() if table == eye.table}
        self.members[member.name] = member
        self._write(member, ("node", member.name), False)

    def drain(self) -> None:
        if (member := self._any()) is not None and not member.draining:
            member.draining = True
            member.look_at = 0.0
            self._write(member, ("node", member.name), True)

    def kill(self) -> None:
        if (member := self._any()) is not None:
            del self.members[member.name]
            lapse = max(self.now, self.away_until) + LEASE_S
            self.dying.append((lapse, member.name))
            restarted = 0.0 if ("node", member.name) in self.state else FORGOTTEN_S  # unheard of, not gone
            for key in [k for k in self.streams if k in member.machine.held or not self.holders(k)]:
                self.streams[key].excused.append((self.now - MARGIN_S, lapse + restarted + MARGIN_S))

    def lapse(self) -> None:
        """A member is starved for so long that its lease ends; it goes on, and announces itself again."""
        if (member := self._any()) is not None and self.now >= self.away_until:
            self._forget(member.name, known=True)
            self._announce_again(member)

    def restart_registry(self) -> None:
        """It forgets everybody, and those who died just now for good."""
        self.away_until = self.now + self.random.random() * 2
        for name in {path[1] for path in self.state}:
            self._forget(name, known=False)
        for lapse, _ in self.dying:
            if self.now < lapse + MARGIN_S:
                for stream in self.streams.values():
                    stream.excused = [
                        (a, max(b, self.now + FORGOTTEN_S + MARGIN_S) if b >= self.now else b)
                        for a, b in stream.excused
                    ]
        for member in self.members.values():
            self._announce_again(member)

    def reboot(self) -> None:
        """A publisher starts anew; it takes a while until everybody is connected to it again."""
        stream = self.random.choice(list(self.streams.values()))
        stream.boot += 1
        stream.next = 0
        late = self.now + LATE * STEP_S
        stream.excused.append((self.now, late))
        for member in self.members.values():
            if stream.key in member.connected:
                member.connected[stream.key] = self._later(self.now)

    # Time.

    def step(self, *, publish: bool = True) -> None:
        self.now += STEP_S
        for at, name in [each for each in self.dying if each[0] <= self.now]:
            self.dying.remove((at, name))
            self._forget(name, known=True)
        self._flush()
        for stream in self.streams.values():
            if publish and self.random.random() < 0.5:
                self._publish(stream)
        for member in list(self.members.values()):
            self._arrive(member)
            self._turn(member)

    def settle(self, seconds: float) -> None:
        for _ in range(int(seconds / STEP_S)):
            self.step()
        for _ in range(4 * LATE):
            self.step(publish=False)

    def lost(self) -> list[tuple[Key, tuple[int, int], float]]:
        """Numbers that nobody took in although the partition was somebody's, and nobody had died."""
        return [
            (stream.key, number, at)
            for stream in self.streams.values()
            for number, at in stream.sent.items()
            if number not in stream.taken and not any(a <= at <= b for a, b in stream.excused)
        ]

    def holders(self, key: Key) -> list[str]:
        return [m.name for m in self.members.values() if key in m.machine.held]

    # How.

    def _any(self) -> Member | None:
        return self.random.choice(list(self.members.values())) if self.members else None

    def _later(self, now: float) -> float:
        return now + self.random.randrange(LATE) * STEP_S

    def _write(self, member: Member, path: Path, value: bool | Listing | None) -> None:
        at = member.outbox[path][0] if path in member.outbox else self._later(self.now)
        member.outbox[path] = (at, value)

    def _announce_again(self, member: Member) -> None:
        self._write(member, ("node", member.name), member.draining)
        self._write(member, ("group", member.name), member.machine.listing)

    def _forget(self, name: str, *, known: bool) -> None:
        for path in [("node", name), ("group", name)]:
            if self.state.pop(path, None) is not None:
                self.log.append(News(path, None, known))

    def _flush(self) -> None:
        if self.now < self.away_until:
            return
        for member in self.members.values():
            for path, (at, value) in list(member.outbox.items()):
                if at <= self.now and value is not None:
                    del member.outbox[path]
                    self.state[path] = value
                    self.log.append(News(path, value))

    def _publish(self, stream: Stream) -> None:
        number = (stream.boot, stream.next)
        mark = (stream.boot, stream.boot, stream.next)
        stream.next += 1
        able = [m for m in self.members.values() if not m.draining]
        if not able:
            stream.covered = None
        if stream.covered is not None:
            stream.sent[number] = self.now
        for member in self.members.values():
            if member.connected.get(stream.key, self.now + 1) <= self.now:
                link = member.links.setdefault(stream.key, deque())
                link.append((max(self._later(self.now), link[-1][0] if link else 0.0), mark))

    def _arrive(self, member: Member) -> None:
        for key, link in member.links.items():
            while link and link[0][0] <= self.now:
                _, (boot, run, n) = link.popleft()
                if key in member.machine.held:
                    member.reached[key] = (boot, run, n + 1)
                    stream = self.streams[key]
                    stream.taken.add((boot, n))
                    stream.covered = stream.covered or self.now

    def _turn(self, member: Member) -> None:
        upto = [self.random.randint(max(e.seen, len(self.log) - LATE), len(self.log)) for e in member.eyes]
        moved = [eye.look(self.log, to, self.now) for eye, to in zip(member.eyes, upto, strict=True)]
        member.started |= member.name in member.eyes[0].entries
        if not member.started or not (any(moved) or self.now >= member.look_at):
            return
        view = member.view(list(self.streams))
        turn = member.machine.turn(view, member.reached.get, self.now)
        member.look_at = self.now + (turn.wait_s if turn.wait_s is not None else float("inf"))
        for key in turn.take:
            member.connected[key] = self._later(self.now)
        for key in turn.leave:
            for kept in (member.connected, member.links, member.reached):
                kept.pop(key, None)
        if turn.changed:
            listing = member.machine.listing
            held: dict[Key, Held] = dict(listing.holds)
            self._write(member, ("group", member.name), Listing(listing.version, held))
        if member.draining and not member.machine.is_handing_over(view):
            self._retire(member)

    def _retire(self, member: Member) -> None:
        """It has drained; what it still has it knew nobody to hand over to."""
        del self.members[member.name]
        self._forget(member.name, known=True)
        for key in member.machine.held:
            self.streams[key].covered = None
            self.streams[key].excused.append((self.now - MARGIN_S, self.now + MARGIN_S))
