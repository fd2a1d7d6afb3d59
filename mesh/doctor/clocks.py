"""Whether the machines' clocks are in step: ages, timelines and recordings are told by them. Pure."""

from collections.abc import Iterator

from mesh.doctor.findings import Finding, failed, note, ok, warning
from mesh.doctor.site import Site
from mesh.registry.offset import Offset
from mesh.registry.records import NodeRecord

CHECK = "clocks"
OFF_NS = 100_000_000
WRONG_NS = 1_000_000_000
HERE = "this machine"
SET_UP = "set up NTP on {host}: apt install chrony, then chronyc tracking says how far it is"


def judge(site: Site, own: Offset | None, here: str) -> Iterator[Finding]:
    """`own` is this machine's offset to the registry, `here` its name."""
    if own is None:
        yield note(
            CHECK,
            HERE,
            "this registry has no clock to compare with",
            "see to it that NTP runs on every machine: chronyc tracking, or timedatectl",
        )
    else:
        yield judge_offset(HERE, here, own)
    known = {r.node: r for r in sorted(site.stats, key=lambda r: r.run)}
    for node in site.live:
        report = known.get(node.id)
        if report is not None and report.clock_offset_ns is not None:
            yield judge_offset(node.id, node.host, Offset(report.clock_offset_ns, report.clock_error_ns or 0))
        elif own is not None:
            yield _unknown(node)


def judge_offset(subject: str, host: str, offset: Offset) -> Finding:
    """What cannot be due to how it was measured is off."""
    surely_ns = abs(offset.offset_ns) - offset.error_ns
    way = "ahead of" if offset.offset_ns > 0 else "behind"
    told = (
        f"{_shown(abs(offset.offset_ns))} {way} the registry's clock, give or take {_shown(offset.error_ns)}"
    )
    do = SET_UP.format(host=f"{host} and on the registry's machine")
    if surely_ns > WRONG_NS:
        return failed(CHECK, subject, f"{told}: ages and the times of recordings are wrong", do)
    if surely_ns > OFF_NS:
        return warning(CHECK, subject, told, do)
    return ok(CHECK, subject, told)


def _unknown(node: NodeRecord) -> Finding:
    return note(
        CHECK, node.id, "it has not told yet how far its clock is", "run `mesh doctor` again in some seconds"
    )


def _shown(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:.1f} s" if nanoseconds >= WRONG_NS else f"{nanoseconds / 1e6:.1f} ms"
