"""Whether the nodes themselves say that they are well, and which went without a word. Pure."""

from collections.abc import Iterator

from mesh.doctor.findings import Finding, failed, ok, warning
from mesh.doctor.site import Site
from mesh.doctor.starting import Starting, kill
from mesh.registry.records import NodeState, StatsRecord

CHECK = "nodes"


def judge(site: Site, starting: Starting) -> Iterator[Finding]:
    degraded = [node for node in site.live if node.state is NodeState.DEGRADED]
    for node in degraded:
        yield failed(
            CHECK,
            node.id,
            f"degraded: {node.why or 'it does not say why'}",
            f"mend that; more is in its log on {node.host} (pid {node.pid})",
        )
    for report in site.dead:
        yield judge_dead(report, site.read_ns, starting)
    if not degraded and not site.dead:
        yield ok(CHECK, "states", "none is degraded, and none went without a word")


def judge_dead(report: StatsRecord, now_ns: int, starting: Starting) -> Finding:
    """A node that went without a word; its last counters stay for ten minutes. `now_ns`: by the registry."""
    ago_s = max(0, now_ns - report.at_ns + (report.clock_offset_ns or 0)) / 1e9
    heard = f"last heard of {ago_s:.0f} s ago, without a goodbye"
    if (process := starting.hangs(report.node)) is not None:
        found = f"{heard}, and its process runs (pid {process.pid}): it hangs, or lost the registry"
        return failed(CHECK, report.node, found, kill(process.pid))
    return warning(
        CHECK,
        report.node,
        f"{heard}: it was killed, hangs, or lost the registry",
        starting.of([report.node])
        or "look at its log; if its process still runs, kill -9 it; start it again where it is missed (this "
        "warning goes ten minutes after its last word)",
    )
