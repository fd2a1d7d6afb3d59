"""When a camera's streams have ended and drained, whatever had to be given up on the way."""

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
