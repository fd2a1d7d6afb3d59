"""Whether each camera is captured, and comes. Pure.

Rules kept here: a camera that nobody captures has failed, also one that went with its node; one that is tried
again by itself is a warning.
"""

from collections.abc import Iterator

from mesh.doctor.file import CHECK as FILE
from mesh.doctor.findings import Finding, failed, note, ok, warning
from mesh.doctor.nodes import CHECK as NODES
from mesh.doctor.site import Site
from mesh.doctor.starting import Starting
from mesh.registry.records import CameraRecord, CameraState
from mesh.setups import waiting

CHECK = "cameras"


def judge(site: Site, starting: Starting) -> Iterator[Finding]:
    configured = {setup.name for setup in site.setups}
    captured = [judge_camera(camera, camera.name in configured) for camera in site.cameras]
    missing = [*judge_waiting(site, starting), *judge_lost(site, starting)]
    yield from captured
    yield from missing
    if not (captured or missing):
        yield note(
            CHECK,
            CHECK,
            "there is none",
            "mesh camera add NAME URL, or mesh node capture --camera NAME=URL",
        )


def judge_camera(camera: CameraRecord, configured: bool) -> Finding:
    state, why = camera.state.value, f": {camera.why}" if camera.why else ""
    at = f"{state} at node {camera.node}{why}"
    look = f"mesh camera test {camera.name if configured else 'URL'} opens it by itself"
    look = f"on {camera.host}, {look}" if camera.host else look
    if camera.state is CameraState.ONLINE:
        size = f", {camera.width}x{camera.height}" if camera.width else ""
        return ok(CHECK, camera.name, f"online at node {camera.node}{size}, {camera.fps:.1f} fps")
    if camera.state is CameraState.ENDED:
        return ok(CHECK, camera.name, f"has ended{why}")
    if camera.state is CameraState.FAILED:
        return failed(
            CHECK,
            camera.name,
            at,
            f"see to its power, network, address and password; {look}"
            + (f"; mesh camera set {camera.name} --url URL changes it" if configured else ""),
        )
    if state == "paused":
        return note(CHECK, camera.name, at, f"mesh ctl {camera.node} resume")
    return warning(
        CHECK, camera.name, at, f"see to its power and network: it is tried again and again; {look}"
    )


def judge_waiting(site: Site, starting: Starting) -> Iterator[Finding]:
    """The configured cameras that nobody captures."""
    for name, why in waiting(site.setups, site.cameras, site.nodes).items():
        if why == "disabled":
            yield note(CHECK, name, "disabled: nobody captures it", f"mesh camera enable {name}")
        elif why.startswith("node "):
            yield warning(
                CHECK,
                name,
                f"not captured yet: {why}",
                "run `mesh doctor` again in some seconds; if that stays, look at that node's log",
            )
        else:
            yield _unassigned(name, why, starting)


def judge_lost(site: Site, starting: Starting) -> Iterator[Finding]:
    """Cameras that went with a node that did not say goodbye, and are not configured, so that nobody else
    takes them."""
    known = {c.name for c in site.cameras} | {s.name for s in site.setups}
    for report in site.dead:
        for count in report.cameras:
            if count.stage == "raw" and not count.ended and count.camera not in known:
                yield failed(
                    CHECK,
                    count.camera,
                    f"nobody captures it: node {report.node}, which did, is gone",
                    starting.of([report.node])
                    or f"start that node again; or mesh camera add {count.camera} URL, so that any may take "
                    "it",
                    NODES,
                )


def _unassigned(name: str, why: str, starting: Starting) -> Finding:
    """A configured camera for which there is no node."""
    found = f"nobody captures it: {why.partition(': start ')[0]}"
    if "pinned" in why:
        do = f"start that node, or let others take it: mesh camera set {name} --node none --label none"
        return failed(CHECK, name, found, do)
    if by_up := starting.of_kind("capture"):
        return failed(CHECK, name, found, by_up, FILE)
    return failed(CHECK, name, found, "mesh node capture", NODES)
