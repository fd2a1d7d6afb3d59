"""Whether every frame is accounted for, and every result recorded. Pure.

Rules kept here: counts stand since a camera's capture began, so that a loss in them is a warning only while
its cause goes on, and a note after that.
"""

from collections.abc import Iterator

from mesh.doctor.findings import Finding, Level, failed, note, ok, warning
from mesh.doctor.nodes import CHECK as NODES
from mesh.doctor.site import Site
from mesh.doctor.starting import Starting
from mesh.ledger import CameraSummary, GroupSummary
from mesh.registry.records import NodeKind

CHECK = "ledger"
BUG = "report it with the output of `mesh stats --json`: this is a bug of mesh"
LOST_RESULTS = {
    "spool_full": "the spool was full",
    "spool_error": "the spool's disk refused",
    "overflow": "memory was full, and there is no spool",
}


def judge(site: Site, starting: Starting) -> Iterator[Finding]:
    found = [
        finding
        for camera, count in site.ledger["cameras"].items()
        for finding in judge_count(camera, count, site, starting)
    ]
    yield from found
    if not found:
        yield ok(CHECK, "frames", "every frame is accounted for, and no result was given up")


def judge_count(camera: str, count: CameraSummary, site: Site, starting: Starting) -> Iterator[Finding]:
    if count["unaccounted"]:
        yield warning(CHECK, camera, f"{count['unaccounted']} frames cannot be accounted for", BUG)
    for name, group in count["groups"].items():
        subject = f"{camera}, group {name}"
        yield from judge_gone(subject, name, group, starting)
        yield from judge_results(subject, group, site, starting)
        if died := group["dropped"].get("died", 0) + group["undelivered"].get("died", 0):
            told = f"{died} frames or results were in nodes that were killed"
            yield _since(subject, told, "see why in their logs", still=bool(site.dead))


def judge_gone(subject: str, name: str, group: GroupSummary, starting: Starting) -> Iterator[Finding]:
    if group["gone"] and not group["ended"]:
        yield failed(
            CHECK,
            subject,
            f"its last node ({', '.join(group['members'])}) was killed or hangs, and nobody has taken its "
            "place",
            starting.of(group["members"])
            or f"start it again: mesh node process … --stage {group['output']} --group {name}, or the "
            "collector",
            NODES,
        )


def judge_results(subject: str, group: GroupSummary, site: Site, starting: Starting) -> Iterator[Finding]:
    collects = any(node.kind is NodeKind.COLLECT for node in site.live)
    if group["waiting"] and not collects:
        had_one = any(report.recorded for report in site.stats)
        yield Finding(
            CHECK,
            subject,
            Level.FAILED if had_one else Level.WARNING,
            f"{group['waiting']} results wait for a collector, and none runs",
            starting.of_kind("collect")
            or "mesh node collect --into DIR; where nothing is to be recorded, give the process nodes "
            "--no-push",
            NODES,
        )
    for cause, why in LOST_RESULTS.items():
        if lost := group["undelivered"].get(cause, 0):
            do = "see why the collector is away or slow; more room: --spool DIR, --spool-mb"
            yield _since(subject, f"{lost} results were given up: {why}", do, still=group["waiting"] > 0)


def _since(subject: str, told: str, do: str, *, still: bool) -> Finding:
    return (warning if still else note)(CHECK, subject, f"{told}, since its capture began", do)
