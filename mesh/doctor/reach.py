"""Whether every address that nodes advertise is reached from here, and whether the nodes answer.

Rules kept here: names were resolved before, so that nothing here waits for a name server; what another
machine advertises as loopback is not tried, because it would reach this one.
"""

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mesh.clock import Clock
from mesh.doctor.address import IPC, Where, is_loopback, where
from mesh.doctor.asking import LOCAL, Answer, Asking
from mesh.doctor.findings import Finding, failed, note, ok, warning
from mesh.doctor.knock import NO_ADDRESS, knock
from mesh.doctor.starting import NO_FILE, Starting, kill
from mesh.registry.records import NodeRecord
from mesh.scope import Scope

CHECK = "reach"

UNRESOLVED = "the name is not known here"
LOOPBACK = "loopback"
NOT_TRIED = {UNRESOLVED, LOOPBACK, NO_ADDRESS}


@dataclass(frozen=True, slots=True)
class Reached:
    """How one node is reached from here: why not, by role (empty: it is), and what it answered (None: it was
    not asked). `moved_on`: it ended properly, or started anew, while it was looked at."""

    node: NodeRecord
    links: Mapping[str, str]
    answer: Answer | None = None
    moved_on: bool = False

    @property
    def hangs(self) -> bool:
        return self.answer is not None and bool(self.answer.trouble)

    @property
    def trouble(self) -> bool:
        return self.hangs or any(self.links.values())


def tried(nodes: Sequence[NodeRecord], addresses: Mapping[str, str], here: str) -> dict[str, dict[str, str]]:
    """Of each node, the endpoints to try from the place `here`, by role: with an address for a name, or why
    they are not tried, which is one of `UNRESOLVED`, `LOOPBACK` and `NO_ADDRESS`."""
    return {node.id: dict(_roles(node, addresses, here)) for node in nodes}


def _roles(node: NodeRecord, addresses: Mapping[str, str], here: str) -> Iterator[tuple[str, str]]:
    at_this_place = bool(here) and node.place == here
    for role, endpoint in sorted(node.endpoints.items()):
        if endpoint.startswith("ipc:"):
            if at_this_place and endpoint.startswith(IPC):
                yield role, endpoint
            continue
        place = where(endpoint)
        address = addresses.get(place.host, "") if place is not None else ""
        if place is None:
            yield role, NO_ADDRESS
        elif not address:
            yield role, UNRESOLVED
        elif is_loopback(address) and not at_this_place and not _is_this_host(node, here):
            yield role, LOOPBACK
        else:
            scheme = endpoint.partition("://")[0]
            yield role, f"{scheme}://{Where(address, place.port)}"


def _is_this_host(node: NodeRecord, here: str) -> bool:
    """Where there are no places (see `mesh.place`), hosts are told apart by their names."""
    return not (here and node.place) and node.host == socket.gethostname()


def reach(
    nodes: Sequence[NodeRecord], addresses: Mapping[str, str], here: str, timeout: float, clock: Clock
) -> list[Reached]:
    """Try every address of these nodes from the place `here`, and ask each node how it is."""
    to_try = tried(nodes, addresses, here)
    asking = Asking(nodes, to_try, here, timeout, clock)
    endpoints = {e for roles in to_try.values() for e in roles.values()} - NOT_TRIED
    with Scope("reach") as scope:
        asking.run_in(scope)
        try:
            knocked = knock(endpoints, timeout, clock, asking.reached)
        finally:
            asking.no_more()
    links = {name: {r: knocked.get(e, e) for r, e in roles.items()} for name, roles in to_try.items()}
    return [Reached(node, links[node.id], asking.answers.get(node.id)) for node in nodes]


def judge(reached: Sequence[Reached], here: str, starting: Starting = NO_FILE) -> Iterator[Finding]:
    """`here` is this host's name, from which it was tried."""
    if not reached:
        yield note(CHECK, "nodes", "no node runs", "start one: `mesh node capture --camera NAME=URL`")
    for one in reached:
        yield from judge_node(one, here, starting)
    yield from judge_elsewhere(reached)


def judge_node(reached: Reached, here: str, starting: Starting) -> Iterator[Finding]:
    node, bad = reached.node, {role: why for role, why in reached.links.items() if why}
    if reached.moved_on:
        yield note(CHECK, node.id, "it ended or started anew meanwhile", "run `mesh doctor` again")
        return
    if reached.hangs:
        again = starting.process(node.id) is not None
        yield failed(
            CHECK,
            node.id,
            f"pid {node.pid} on {node.host} takes connections from {here}, but does not answer: it hangs",
            f"on {node.host}: "
            + (kill(node.pid) if again else f"kill -9 {node.pid}, and start the node again"),
        )
    for why in sorted(set(bad.values())):
        roles = [role for role, its in bad.items() if its == why]
        yield _unreached(node, why, roles, here)
    if not reached.trouble:
        yield ok(CHECK, node.id, _well(reached, here))


def _unreached(node: NodeRecord, why: str, roles: Sequence[str], here: str) -> Finding:
    addresses = ", ".join(f"{node.endpoints[role]} ({role})" for role in roles)
    host, port = node.host, where(node.endpoints[roles[0]])
    if why == LOOPBACK:
        found = f"it runs on {host} and advertises {addresses}, which nobody else reaches"
        do = f"start it with --bind ADDRESS --insecure, an address of {host} that others reach"
    elif why == UNRESOLVED:
        found = f"it advertises {addresses}, a name that is not known on {here}"
        do = f"start it with --advertise ADDRESS, or have {here} know the name (DNS or /etc/hosts)"
    elif why == NO_ADDRESS:
        found = f"it advertises {addresses}, which is no address"
        do = "find the program that wrote this, and correct it"
    else:
        found = f"{addresses} is not reached from {here}: {why}"
        do = (
            f"on {host}: see whether pid {node.pid} still runs, and open its ports in the firewall"
            f"{'' if port is None else f' (try: nc -vz {port.host} {port.port})'}; or start it with "
            "--advertise ADDRESS that is reached"
        )
    return failed(CHECK, node.id, found, do)


def _well(reached: Reached, here: str) -> str:
    roles = ", ".join(sorted(role for role in reached.links if not role.endswith(LOCAL)))
    at = {place.host for e in reached.node.endpoints.values() if (place := where(e)) is not None}
    answered = f", answers in {reached.answer.seconds * 1000:.1f} ms" if reached.answer is not None else ""
    return f"{roles} at {', '.join(sorted(at))} reached from {here}{answered}"


def judge_elsewhere(reached: Sequence[Reached]) -> Iterator[Finding]:
    """Nodes of this machine that the nodes of others do not reach."""
    places = {one.node.place or one.node.host for one in reached}
    alone = [one.node for one in reached if _is_alone(one)] if len(places) > 1 else []
    if alone:
        names = ", ".join(node.id for node in alone)
        yield warning(
            CHECK,
            "other machines",
            f"nodes run on several machines, and the others do not reach {names}: these listen on loopback",
            "start them with --bind ADDRESS --insecure, unless only this machine needs them",
        )


def _is_alone(reached: Reached) -> bool:
    if LOOPBACK in reached.links.values():  # it is elsewhere, and that has been said
        return False
    found = [place for e in reached.node.endpoints.values() if (place := where(e)) is not None]
    return bool(found) and all(is_loopback(place.host) for place in found)
