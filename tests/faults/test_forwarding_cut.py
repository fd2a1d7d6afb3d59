"""The link between an edge and the site that it forwards to is cut, without a word and by the plug: nothing
is lost there, nothing comes twice, and what was recorded meanwhile is filled in."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.ports import free_port
from tests.e2e.site import Site
from tests.faults.figures import LONG, row
from tests.support.hosts import Host, Network

CAMERA, STAGE = "door", "passthrough"
CUT_FRAMES = 300 if LONG else 30  # are recorded at the edge while the link is cut

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def network() -> Iterator[Network]:
    with Network("edge", "hq") as network:
        yield network


def identities(site: Site) -> list[tuple[int, int]]:
    """Every frame that stands in a site's files; of a line that is being written, nothing."""
    files = sorted((site.recordings / CAMERA).glob(f"*/*-{STAGE}.jsonl"))
    whole = (line for file in files for line in file.read_bytes().splitlines(keepends=True))
    told = (json.loads(line) for line in whole if line.endswith(b"\n"))
    return [(line["captured_ns"], line["seq"]) for line in told]


def wait_more(site: Site, frames: int) -> None:
    before = len(identities(site))
    site.wait_for(
        lambda: len(identities(site)) >= before + frames, f"{frames} more frames in {site.recordings}"
    )


def site_on(host: Host, folder: Path) -> Site:
    with host:
        return Site(folder, url=f"tcp://{host.address}:{free_port()}")


def test_a_link_that_is_cut_is_filled_in_later(tmp_path: Path, network: Network) -> None:
    here, there = network["edge"], network["hq"]
    edge, hq = site_on(here, tmp_path / "edge"), site_on(there, tmp_path / "hq")
    open_to_all = ("--insecure", "--bind")
    with hq, edge:
        with there:
            hq.processes.start("registry", "--bind", hq.url, "--insecure", name="registry")
            hq.collect(*open_to_all, there.address, "--segment", 2)
        with here:
            edge.processes.start("registry", "--bind", edge.url, "--insecure", name="registry")
            near = edge.collect(*open_to_all, here.address, "--segment", 2, "--forward", hq.url)
            edge.node("process", STAGE, "--policy", "fifo", *open_to_all, here.address)
            source = f"{CAMERA}=synthetic:?size=160x120&fps=20"
            capture = edge.capture(source, options=(*open_to_all, here.address))
        wait_more(hq, 10)
        with here.silent(there):
            wait_more(edge, CUT_FRAMES)
        wait_more(hq, CUT_FRAMES + 10)
        with network.unplugged(there):
            wait_more(edge, CUT_FRAMES)
        wait_more(hq, CUT_FRAMES + 10)
        assert capture.stop() == 0
        edge.wait_for(lambda: identities(hq) == identities(edge), "both sites hold the same")
        assert near.stop() == 0
        found = identities(hq)
        assert len(found) == len(set(found)), "each once"
        assert found == sorted(found), "in order"
        row("edge to site, cut twice", recorded=len(identities(edge)), forwarded=len(found))
