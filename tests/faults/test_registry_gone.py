"""Fault 7: the registry is gone for a while: no stream notices."""

import threading
from pathlib import Path

from tests.e2e.site import Site, check_recording
from tests.faults.figures import LONG, row
from tests.faults.settled import wait_all_recorded
from tests.support.waiting import wait_for

GONE_S = 60.0 if LONG else 8.0


def test_a_registry_that_is_gone_for_a_while_is_not_missed(tmp_path: Path) -> None:
    with Site(tmp_path, state=tmp_path / "state") as site:
        capture = site.capture(
            "door=synthetic:?size=320x240&fps=30", "gate=synthetic:?size=320x240&fps=15&seed=2"
        )
        process = site.node("process", "motion", "--policy", "fifo", "--depth", 2000, name="process")
        collect = site.collect()
        site.wait_recorded("door", "motion", 10)
        site.wait_recorded("gate", "motion", 10)
        with site.mesh.subscribe("motion", "door", "fifo", depth=10_000) as subscription:
            assert subscription.get(30) is not None
            site.registry.kill()
            threading.Event().wait(GONE_S)  # the fault itself lasts so long
            site.start_registry()
            site.wait_nodes("capture", "process", "collect")
            assert capture.stop() == 0
            ledgers = {camera: wait_all_recorded(site, camera, "motion") for camera in ("door", "gate")}
            wait_for(lambda: subscription.counts()[0].ended, "the subscription has heard the end")
            (count,) = subscription.counts()
        assert count.lost == 0
        for camera, ledger in ledgers.items():
            group = ledger["groups"]["motion"]
            row(
                f"7 registry gone for {GONE_S:g} s ({camera})",
                offered=group["offered"],
                delivered=group["delivered"],
                dropped=group["dropped"],
                lost=group["lost"],
                duplicates=ledger["duplicates"],
            )
            assert ledger["unaccounted"] == 0
            assert group["lost"] == 0
            assert group["results"] == group["delivered"]
        assert [process.stop(), collect.stop()] == [0, 0]
        for camera in ledgers:
            seqs = [line["seq"] for line in check_recording(site, camera, "motion")]
            assert seqs == sorted(set(seqs))
