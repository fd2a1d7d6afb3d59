"""When a camera's streams have ended and drained, whatever had to be given up on the way; and what is settled
then, though it is reported by different nodes at different times."""

from typing import Any

from mesh.registry.records import NodeRecord
from tests.e2e.site import Site


def wait_accounted(site: Site, camera: str, within: float = 120.0) -> None:
    """Wait until nothing of a camera is in flight or waits, and every result is delivered or given up."""

    def accounted() -> bool:
        found = site.count(camera)["groups"].values()
        return bool(found) and all(
            g["ended"]
            and not g["in_flight"]
            and not g["waiting"]
            and g["results"] == g["delivered"] + sum(g["undelivered"].values())
            for g in found
        )

    site.wait_for(accounted, f"every result of {camera} is accounted for", within)


def wait_all_recorded(site: Site, camera: str, stage: str) -> Any:
    """Wait until a camera's streams have drained, and all that was delivered of a stage is counted as
    recorded; the camera's part of the ledger."""
    site.wait_settled(camera)

    def settled() -> Any:
        count = site.count(camera)
        return count if count["recorded"][stage] == count["groups"][stage]["delivered"] else None

    return site.wait_for(settled, f"what was delivered of {stage}/{camera} is counted as recorded")


def listed(site: Site, name: str) -> NodeRecord:
    """A node's record, once it has one."""
    found = site.wait_for(
        lambda: [node for node in site.mesh.nodes() if node.id == name], f"node {name} is listed"
    )
    return found[0]
