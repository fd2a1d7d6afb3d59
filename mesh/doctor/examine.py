"""The checks of `mesh doctor`, in the order in which they are told: what others stand on comes first.

A check is a name and a function from the facts to findings. One more is one more `Check` in the list.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from mesh.doctor import (
    cameras,
    clocks,
    disk,
    file,
    forward,
    keys,
    ledger,
    nodes,
    permissions,
    reach,
    registry,
    resources,
    versions,
)
from mesh.doctor.findings import Finding, note
from mesh.doctor.gather import Facts
from mesh.doctor.site import Site


@dataclass(frozen=True, slots=True)
class Check:
    """`judge` says what it finds in the facts. One `of_site` is not asked while the registry is away."""

    name: str
    judge: Callable[[Facts], Iterable[Finding]]
    of_site: bool = False


def examine(facts: Facts, checks: Sequence[Check] | None = None) -> list[Finding]:
    """What all checks find, in their order."""
    return [finding for check in checks or CHECKS for finding in _findings(check, facts)]


def _findings(check: Check, facts: Facts) -> Iterable[Finding]:
    if check.of_site and facts.site is None:
        return [note(check.name, "site", "not checked: no registry", "see the check of the registry")]
    return check.judge(facts)


def _site(facts: Facts) -> Site:
    assert facts.site is not None, "a check that is of_site is asked where there is one"
    return facts.site


def _disk(facts: Facts) -> Iterator[Finding]:
    about, host = facts.registry.about, facts.registry.about.host if facts.registry.about else ""
    return disk.judge(facts.folders, facts.reached, about.folders if about else (), host)


def _permissions(facts: Facts) -> Iterator[Finding]:
    setups = facts.site.setups if facts.site is not None else ()
    holds_secrets = any(facts.asked.has_secret(setup.url) for setup in setups)
    return permissions.judge(facts.folders, facts.files, holds_secrets)


CHECKS: Sequence[Check] = (
    Check(versions.CHECK, lambda facts: versions.judge(facts.versions, facts.site)),
    Check(file.CHECK, lambda facts: file.judge(facts.asked.file)),
    Check(
        registry.CHECK,
        lambda facts: registry.judge(facts.registry, facts.site, facts.ports, facts.host, facts.starting),
    ),
    Check(nodes.CHECK, lambda facts: nodes.judge(_site(facts), facts.starting), of_site=True),
    Check(reach.CHECK, lambda facts: reach.judge(facts.reached, facts.host, facts.starting), of_site=True),
    Check(
        clocks.CHECK,
        lambda facts: clocks.judge(_site(facts), facts.registry.offset, facts.host),
        of_site=True,
    ),
    Check(
        keys.CHECK,
        lambda facts: keys.judge(_site(facts), facts.registry, facts.addresses, facts.asked.has_secret),
        of_site=True,
    ),
    Check(disk.CHECK, _disk),
    Check(permissions.CHECK, _permissions),
    Check(cameras.CHECK, lambda facts: cameras.judge(_site(facts), facts.starting), of_site=True),
    Check(ledger.CHECK, lambda facts: ledger.judge(_site(facts), facts.starting), of_site=True),
    Check(forward.CHECK, lambda facts: forward.judge(_site(facts)), of_site=True),
    Check(
        resources.CHECK,
        lambda facts: resources.judge(facts.resources, facts.asked.pointed, facts.site),
    ),
)
