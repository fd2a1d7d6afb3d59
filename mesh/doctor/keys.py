"""Who could read and send frames: there are no keys yet, so whatever is not loopback is open to its network.
And passwords that the registry keeps. Pure.

Rules kept here: no URL of a camera is shown.
"""

from collections.abc import Callable, Iterator, Mapping

from mesh.doctor.address import is_here_alone, is_loopback, where
from mesh.doctor.findings import Finding, note, ok, warning
from mesh.doctor.registry import Seen
from mesh.doctor.site import Site
from mesh.registry.records import NodeRecord

CHECK = "keys"
KEEP_PRIVATE = (
    "keep that network private (a VLAN of its own, a VPN, a firewall): keys come with a later version"
)


def judge(
    site: Site, seen: Seen, addresses: Mapping[str, str], has_secret: Callable[[str], bool]
) -> Iterator[Finding]:
    """`addresses` are what hosts' names were resolved to."""
    yield judge_nodes(site, addresses)
    yield judge_registry(seen)
    yield judge_passwords(site, seen, has_secret)


def judge_nodes(site: Site, addresses: Mapping[str, str]) -> Finding:
    exposed = [node for node in site.live if _is_exposed(node, addresses)]
    if exposed:
        told = ", ".join(f"{node.id} ({node.host})" for node in exposed)
        return warning(
            CHECK, "nodes", f"whoever is on their network reads and sends frames: {told}", KEEP_PRIVATE
        )
    return ok(CHECK, "nodes", "none of them listens beyond loopback")


def judge_registry(seen: Seen) -> Finding:
    bind = seen.about.bind if seen.about is not None else ""
    if not is_here_alone(seen.url) or (bind and not is_loopback(bind)):
        how = f"it listens on {bind}" if bind else seen.url
        return warning(CHECK, "registry", f"whoever is on its network can write to it: {how}", KEEP_PRIVATE)
    return ok(CHECK, "registry", "it does not listen beyond loopback")


def judge_passwords(site: Site, seen: Seen, has_secret: Callable[[str], bool]) -> Finding:
    """On this host alone a password may stand in the registry; whoever reads that from a network has it."""
    names = [setup.name for setup in site.setups if has_secret(setup.url)]
    if not names:
        return ok(CHECK, "passwords", "the registry keeps none")
    told = f"the registry keeps the passwords of {', '.join(names)} in plain text"
    do = (
        f"mesh camera set {names[0]} --url URL with {{NAME}} in the password's place, and NAME in the "
        "capture node's environment or --secrets FILE"
    )
    if is_here_alone(seen.url) and judge_registry(seen).level == "ok":
        return note(CHECK, "passwords", f"{told}, for this host only", do)
    return warning(CHECK, "passwords", told, do)


def _is_exposed(node: NodeRecord, addresses: Mapping[str, str]) -> bool:
    found = [place for endpoint in node.endpoints.values() if (place := where(endpoint)) is not None]
    return any(not is_loopback(addresses.get(place.host) or place.host) for place in found)
