"""A process node's share of its group's work: what the registry tells, decided on and acted on.

Rules kept here: all decisions are `Ownership`'s; this only looks, acts and announces, on one thread that
sleeps while nothing changes; a stream of this node's stage is listed for as long as it has, or works on,
something of the camera; while the registry is away it goes on with what it has.
"""

import logging
import threading
from collections.abc import Mapping
from typing import Protocol

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.follow import follow, publishers
from mesh.membership.group import (
    Placement,
    Reader,
    check_alike,
    is_unlike,
    keys_of,
    listings,
    living,
    members_of,
)
from mesh.membership.ownership import Key, Ownership, Turn, View, parts_of
from mesh.registry import Entry
from mesh.registry.records import GroupRecord, NodeRecord, StreamRecord
from mesh.scope import Scope
from nodes.node import Node
from nodes.process.intake import Intake
from nodes.process.unreached import Unreached

log = logging.getLogger(__name__)

LONG_S = 3600.0
TOGETHER_S = 0.01  # what is told within that time is decided on together
DRAINED_LOOK_S = 0.05
UNDECIDED_S = 2.0  # longer than a lease: then somebody who came before is in the group, refused, or gone
UNDECIDED_LOOK_S = 0.05


class Outlet(Protocol):
    """What a node does as its share changes. Called from the share's thread."""

    def begins(self, found: StreamRecord) -> None:
        """Something of a camera is taken, or its stream is of another kind now: publish it."""
        ...

    def is_over(self, key: Key) -> None:
        """A partition was left, and all that came of it has been worked on."""
        ...

    def is_settled(self, camera: str) -> bool:
        """Whether all that was made of a camera has been taken in by those who are waited for."""
        ...

    def ends(self, camera: str) -> None:
        """Nothing of a camera is left here."""
        ...

    def lacks(self, why: str) -> None:
        """Something that is to come does not, and why; empty when all is well again."""
        ...


class Share:
    """This node's place in `group`, whose members make `stage` of `input_stage`.

    Raises `ConfigError` when made for a group whose members make something else.
    """

    def __init__(
        self, scope: Scope, node: Node, group: str, input_stage: str, stage: str, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._scope, self._node, self._clock = scope, node, clock
        self._record = GroupRecord(
            group=group, node=node.id, input=input_stage, stage=stage, version=node.presence.node.started_ns
        )
        self._ownership = Ownership(node.id, self._record.version)
        self._placement = Placement()
        self._unreached = Unreached(node.registry)
        self._lock = threading.Lock()  # of what was told
        self._told = threading.Event()
        self._nodes: list[NodeRecord] | None = None
        self._members: list[GroupRecord] | None = None
        self._streams: list[StreamRecord] | None = None
        self._news = False  # that the streams are others
        self._draining = False
        self._handed_over = threading.Event()
        self._begun: dict[str, tuple[bool, int]] = {}  # cameras that are published here, and as what
        self._leaving: set[Key] = set()
        self._enter()

    def __repr__(self) -> str:
        return f"<Share of {self._record.group}: {sorted(self._ownership.held)}>"

    def start(self, intake: Intake, outlet: Outlet) -> None:
        """Take what is placed on this node, from now on, on threads of the scope."""
        registry, group, stage = self._node.registry, self._record.group, self._record.input
        self._scope.on_stop(self._told.set)
        self._scope.spawn("share", self._run, intake, outlet)
        nodes, members = Reader(NodeRecord), Reader(GroupRecord)

        def see_nodes(entries: Mapping[str, Entry]) -> None:
            found = nodes.read(entries)
            self._node.publisher.meet_nodes(living(found))
            self._see(nodes=found)

        def see_members(entries: Mapping[str, Entry]) -> None:
            self._see(members=members.read(entries))

        def see_streams(entries: Mapping[str, Entry]) -> None:
            self._see(streams=publishers(entries.values(), None, self._node.id))

        follow(self._scope, registry, f"streams/{stage}/", see_streams, clock=self._clock)
        follow(self._scope, registry, "nodes/", see_nodes, gone_s=0.0, clock=self._clock)
        # What a registry that has started anew does not know of is nothing to let go on the strength of.
        mine = f"groups/{group}/"
        follow(self._scope, registry, mine, see_members, gone_s=0.0, forgotten_s=0.0, clock=self._clock)

    def drain(self, timeout: float) -> None:
        """Let the others take over what is here, if there are any; returns at once when there are none."""
        end, rush = self._clock.monotonic() + timeout, self._node.rush.stopping
        with self._lock:
            self._draining = True
        self._told.set()
        while not self._handed_over.is_set() and self._node.presence.connected:
            if rush.is_set():
                return
            if self._clock.monotonic() >= end:
                log.warning("the others did not take over everything in time")
                return
            self._clock.wait(self._handed_over, DRAINED_LOOK_S)

    def _enter(self) -> None:
        """Join the group, unless somebody is in it who does something else."""
        presence, stopping = self._node.presence, self._scope.stopping
        presence.announce(self._record)
        end = self._clock.monotonic() + UNDECIDED_S
        while self._is_undecided() and self._clock.monotonic() < end:
            if self._clock.wait(stopping, UNDECIDED_LOOK_S):
                return
        presence.change(group=self._record.group)

    def _is_undecided(self) -> bool:
        """Whether somebody who does something else came before, and is not in the group or refused yet."""
        registry, record = self._node.registry, self._record
        entries = {entry.key: entry for entry in registry.list(f"groups/{record.group}/")}
        unlike = [other for other in Reader(GroupRecord).read(entries) if is_unlike(record, other)]
        if unlike:
            nodes = {entry.key: entry for entry in registry.list("nodes/")}
            check_alike(record, unlike, Reader(NodeRecord).read(nodes))
        mine = entries.get(record.key)
        return any(mine is None or entries[other.key].revision < mine.revision for other in unlike)

    def _see(
        self,
        *,
        nodes: list[NodeRecord] | None = None,
        members: list[GroupRecord] | None = None,
        streams: list[StreamRecord] | None = None,
    ) -> None:
        with self._lock:
            self._nodes = self._nodes if nodes is None else nodes
            self._members = self._members if members is None else members
            if streams is not None:
                self._streams, self._news = streams, True
        self._told.set()

    def _run(self, intake: Intake, outlet: Outlet) -> None:
        while not self._scope.stopping.is_set():
            self._told.clear()
            wait_s = self._turn(intake, outlet)
            self._clock.wait(self._scope.stopping, TOGETHER_S)
            self._clock.wait(self._told, LONG_S if wait_s is None else wait_s)

    def _turn(self, intake: Intake, outlet: Outlet) -> float | None:
        """Decide and act once; in how many seconds to look again by itself."""
        with self._lock:
            nodes, members, streams, draining = self._nodes, self._members, self._streams, self._draining
            if nodes is None or members is None or streams is None:
                if draining:  # before it had anything
                    self._handed_over.set()
                return None
            news, self._news = self._news, False
        if news:
            intake.meet(streams)
        able = members_of(self._record.group, self._node.presence.node, nodes, draining=draining)
        view = View(self._placement.owners(able, keys_of(intake.partitions)), listings(members))
        turn = self._ownership.turn(view, intake.reached, self._clock.monotonic())
        all_done = self._act(turn, intake, outlet, news=news)
        self._look_for_lacks(intake, outlet)
        if draining and not self._ownership.is_handing_over(view):
            self._handed_over.set()
        waits = [turn.wait_s, None if all_done else DRAINED_LOOK_S]
        return min((wait for wait in waits if wait is not None), default=None)

    def _act(self, turn: Turn, intake: Intake, outlet: Outlet, *, news: bool) -> bool:
        """Do what was decided; whether everything that was left is done."""
        for key in turn.take:
            intake.take(key)
        for key in turn.leave:
            intake.leave(key)
        self._leaving = (self._leaving | set(turn.leave)) - set(turn.take)
        if turn.take or turn.leave or news:
            self._begin(intake, outlet)
            intake.adjust()
        if turn.changed:
            self._announce()
        return self._finish(intake, outlet)

    def _look_for_lacks(self, intake: Intake, outlet: Outlet) -> None:
        before = self._unreached.why
        why = self._unreached.look(self._ownership.silent, intake.publishers, self._clock.monotonic())
        if why != before:
            outlet.lacks(why)

    def _begin(self, intake: Intake, outlet: Outlet) -> None:
        """Publish what is made of the cameras that are taken, before their first frames come."""
        for camera, found in intake.cameras.items():
            kind = found.lossless, intake.partitions[camera]
            if self._begun.get(camera) != kind:
                self._begun[camera] = kind
                outlet.begins(found.model_copy(update={"partitions": kind[1]}))

    def _announce(self) -> None:
        listing = self._ownership.listing
        update = {"version": listing.version, "holds": dict(listing.holds)}
        self._record = self._record.model_copy(update=update)
        self._node.presence.show(self._record)

    def _finish(self, intake: Intake, outlet: Outlet) -> bool:
        """Let go of what was left, once all that came of it has been worked on, and of a camera once what was
        made of it has been taken in; whether nothing is waited for."""
        over = {key for key in self._leaving if intake.is_drained(key)}
        self._leaving -= over
        for key in over:
            outlet.is_over(key)
        had = self._ownership.held | self._leaving
        left = self._begun.keys() - {parts_of(key)[0] for key in had}
        settled = {camera for camera in left if outlet.is_settled(camera)}
        for camera in settled:
            del self._begun[camera]
            outlet.ends(camera)
        return not self._leaving and settled == left
