"""Whether the registry answers, how fast, and what it holds that it should not. Looking, then judgements.

Rules kept here: what the first question finds out is not asked twice, so that a registry that is away costs
one wait; a server that is too old to say something is no failure.
"""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from mesh.clock import Clock
from mesh.doctor.address import servers_of
from mesh.doctor.file import CHECK as FILE
from mesh.doctor.findings import Finding, duration, failed, note, ok, warning
from mesh.doctor.site import Malformed, Site, read_site
from mesh.doctor.starting import NO_FILE, Starting
from mesh.errors import MeshError, RegistryUnavailable
from mesh.registry import About, Registry, open_registry
from mesh.registry.base import Start
from mesh.registry.offset import Offset, OffsetEstimate, sample
from mesh.registry.setups import PREFIX

T = TypeVar("T")

CHECK = "registry"
LOOKS = 3
SLOW_S = 0.2  # a lease of 1.5 s is renewed every 0.5 s, and not with that alone


@dataclass(frozen=True, slots=True)
class Seen:
    """The registry as it was found: `away` says why it could not be asked, and the rest is nothing then.

    round_trip_s:  the median of a few questions
    about, start:  what it says of itself; None where it does not, and for `start` where it never forgets
    offset:        this machine's clock less the registry's; None where that has no clock to read
    """

    url: str
    away: str = ""
    round_trip_s: float = 0.0
    about: About | None = None
    start: Start | None = None
    offset: Offset | None = None


def look(url: str, shown: str, timeout: float, clock: Clock) -> tuple[Seen, Site | None]:
    """Ask the registry at `url` everything, each question within `timeout` seconds; `shown` is what a person
    wrote for it."""
    try:
        with open_registry(url, timeout=timeout, clock=clock) as registry:
            return _asked(registry, shown, clock)
    except (MeshError, OSError) as error:
        return Seen(shown, away=_why(error, url, shown)), None


def _asked(registry: Registry, shown: str, clock: Clock) -> tuple[Seen, Site]:
    registry.get("nodes/any")  # makes the connection, which is not part of a round trip
    round_trip_s, offset, now_ns = _timed(registry, clock)
    about, start = _told(registry.about), _told(registry.start)
    forgot_ns = now_ns - round(start.age_s * 1e9) if now_ns and start is not None else 0
    site = read_site(registry.list(), read_ns=now_ns or clock.wall_ns(), forgot_ns=forgot_ns)
    return Seen(shown, "", round_trip_s, about, start, offset), site


def _timed(registry: Registry, clock: Clock) -> tuple[float, Offset | None, int | None]:
    """How long a question takes, and where the registry has a clock, this one's offset and the time there."""
    took, estimate, registry_ns = [], OffsetEstimate(), None
    for _ in range(LOOKS):
        asked, wall_ns = clock.monotonic(), clock.wall_ns()
        registry_ns = _told(registry.now_ns)
        if registry_ns is None:
            registry.get("nodes/any")
        took.append(clock.monotonic() - asked)
        if registry_ns is not None:
            estimate.add(sample(wall_ns, registry_ns, asked, clock.monotonic()))
    return statistics.median(took), estimate.best(clock.monotonic()), registry_ns


def _told(ask: Callable[[], T]) -> T | None:
    """What the registry answers; None where it cannot tell. Raises `RegistryUnavailable` and `OSError`."""
    try:
        return ask()
    except RegistryUnavailable:
        raise
    except MeshError:
        return None


def _why(error: Exception, url: str, shown: str) -> str:
    if isinstance(error, RegistryUnavailable):
        return "no registry answers there"
    return str(error).replace(url, shown)


def judge(
    seen: Seen, site: Site | None, ports: dict[str, str], here: str, starting: Starting = NO_FILE
) -> Iterator[Finding]:
    """`ports` are the registry's addresses that were tried from the host `here`, each with why it was not
    reached, or nothing."""
    if seen.away or site is None:
        tried = f" (tried from {here})" if servers_of(seen.url) else ""
        by_up = starting.of_kind("registry")
        do, cause = (by_up, FILE) if by_up else (_start(seen.url), "")
        yield failed(CHECK, seen.url, f"{seen.away}{tried}", do, cause)
        return
    yield judge_speed(seen, site)
    yield from judge_keeping(seen)
    yield from judge_ports(seen, ports, here)
    yield from (judge_malformed(entry) for entry in site.malformed)


def judge_speed(seen: Seen, site: Site) -> Finding:
    age = f", runs for {duration(seen.start.age_s)}" if seen.start is not None else ""
    cameras = len({c.name for c in site.cameras} | {s.name for s in site.setups})
    told = (
        f"answers in {seen.round_trip_s * 1000:.1f} ms{age}, knows "
        f"{_counted(len(site.live), 'node')} and {_counted(cameras, 'camera')}"
    )
    if seen.round_trip_s > SLOW_S:
        return warning(
            CHECK,
            seen.url,
            f"{told}: that is slow",
            "look at the network to it and at what else its machine does; until it is faster start nodes "
            "with --lease 5, so that none is taken for dead",
        )
    return ok(CHECK, seen.url, told)


def judge_keeping(seen: Seen) -> Iterator[Finding]:
    if seen.about is None:
        yield note(
            CHECK,
            "configuration",
            "the registry does not say whether it keeps what is configured: it is of an older version",
            "install the newest version where it runs, and start it again",
        )
    elif not seen.about.keeps:
        yield warning(
            CHECK,
            "configuration",
            "the registry keeps nothing on disk: when it restarts, the configured cameras are gone",
            "start it with --state DIR, and configure the cameras again (`mesh camera import FILE`)",
        )
    else:
        where = ", ".join(folder.path for folder in seen.about.folders)
        on = f" on {seen.about.host}" if seen.about.host else ""
        yield ok(CHECK, "configuration", f"is kept{f' in {where}' if where else ''}{on}")


def judge_ports(seen: Seen, ports: dict[str, str], here: str) -> Iterator[Finding]:
    away = {address: why for address, why in ports.items() if why}
    for address, why in away.items():
        port = address.rpartition(":")[2]
        if seen.url.startswith("etcd:"):
            yield warning(
                CHECK,
                address,
                f"this member of the cluster is not reached from {here}: {why}",
                f"start etcd there again, or open port {port} in its firewall",
            )
        else:
            yield failed(
                CHECK,
                address,
                f"not reached from {here}: {why}; without it nobody hears of changes",
                f"open port {port}, too, in the firewall or the port mapping of its machine",
            )
    if ports and not away:
        yield ok(CHECK, "ports", f"{', '.join(ports)} reached from {here}")


def judge_malformed(entry: Malformed) -> Finding:
    if entry.key.startswith(PREFIX):
        name = entry.key.removeprefix(PREFIX)
        return warning(CHECK, entry.key, entry.why, f"mesh camera remove {name}, and add it again")
    return warning(
        CHECK,
        entry.key,
        entry.why,
        "find the program that wrote it, and stop or update it"
        + ("; the entry goes when that ends" if entry.leased else ""),
    )


def _start(url: str) -> str:
    if not servers_of(url):
        return "correct the file or the address, or give --registry URL"
    if url.startswith("etcd:"):
        return "start the cluster's members, or say where it is: --registry URL or MESH_REGISTRY"
    return (
        f"on its machine: mesh registry --bind {url} --state DIR; if it runs elsewhere, say where: "
        "--registry URL or MESH_REGISTRY"
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
