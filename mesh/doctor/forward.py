"""Whether what collectors record gets to the destinations that it is forwarded to. Pure.

Rules kept here: what waits is in the recordings, so that a way that does not work is a warning; it has failed
where frames are lost by that, or the other end refuses more than it takes. Counts are of the node's run.
"""

from collections.abc import Iterator

from mesh.doctor.findings import Finding, duration, failed, note, ok, warning
from mesh.doctor.site import Site
from mesh.registry.records import ForwardCount, NodeRecord, StatsRecord

CHECK = "forward"
REMOVED, DAMAGED, REFUSED = "removed", "damaged", "refused"
LOST = {
    REMOVED: "were removed from the folder before",
    DAMAGED: "cannot be read",
    REFUSED: "were refused by the other end",
}
DO = {
    REMOVED: "keep recordings for longer than the way may be down (--keep…)",
    DAMAGED: "mesh recordings verify DIR, on {host}",
    REFUSED: "see in the node's log on {host} why they are refused",
}


def judge(site: Site) -> Iterator[Finding]:
    found = [
        judge_way(node, report, count, site.read_ns)
        for node, report in _reporting(site)
        for count in report.forwards
    ]
    yield from found
    if not found:
        yield ok(CHECK, "destinations", "nothing is forwarded")


def _reporting(site: Site) -> Iterator[tuple[NodeRecord, StatsRecord]]:
    """The nodes that run, each with the last report of this run."""
    reports = {(report.node, report.run): report for report in site.stats}
    for node in site.live:
        if (report := reports.get((node.id, node.started_ns))) is not None:
            yield node, report


def judge_way(node: NodeRecord, report: StatsRecord, count: ForwardCount, now_ns: int) -> Finding:
    """One destination of a node. `now_ns`: by the registry."""
    subject = f"{node.id} to {count.to}"
    lost = {cause: n for cause in LOST if (n := count.dropped.get(cause, 0))}
    told = "; ".join(f"{n} frames {LOST[cause]}" for cause, n in lost.items())
    do = "; ".join(DO[cause].format(host=node.host) for cause in lost)
    way = _way(report, count, now_ns)
    mend = f"see that it runs, and is reached from {node.host}: what waits goes as soon as it does"
    if lost and (count.why or lost.get(REFUSED, 0) > count.forwarded):
        first = f"{mend}; " if count.why else ""
        return failed(CHECK, subject, f"{told}, and never get there; {way}", f"{first}{do}")
    if count.why and count.waiting:
        return warning(CHECK, subject, way, f"{mend}, as long as the recordings are kept (--keep…)")
    if lost:
        return warning(CHECK, subject, f"{told}, since the node started; {way}", do)
    if count.why:
        return note(CHECK, subject, way, mend)
    return ok(CHECK, subject, way)


def _way(report: StatsRecord, count: ForwardCount, now_ns: int) -> str:
    """How the way is, and how many frames wait."""
    waiting = f"{count.waiting} frames wait"
    if not count.why:
        return f"{count.forwarded} frames forwarded, {waiting}"
    for_s = (now_ns - count.since_ns + (report.clock_offset_ns or 0)) / 1e9
    since = f" for {duration(max(0.0, for_s))}" if count.since_ns else ""
    return f"held up{since}: {count.why}; {waiting}"
