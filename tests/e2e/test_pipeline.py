"""Capture, process and collect on real video: every frame is accounted for, and what is recorded plays."""

from pathlib import Path

import pytest

from tests.capture.sources.support import CLIP, CLIP_FRAMES, needs_clip
from tests.e2e.site import Site, check_recording, stopped_at_end


@needs_clip
@pytest.mark.parametrize("depth", [("--depth", "2000"), ()], ids=["deep queue", "default depth"])
def test_every_frame_of_a_clip_is_accounted_for_and_what_is_recorded_plays(
    tmp_path: Path, depth: tuple[str, ...]
) -> None:
    with Site(tmp_path) as site:
        collect = site.collect()
        process = site.node("process", "motion", "--policy", "fifo", *depth)
        capture = site.capture(f"door={CLIP}", options=("--pace", "max", "--frames", CLIP_FRAMES))
        with stopped_at_end(process, collect, site.registry):
            assert capture.wait() == 0
            site.wait_settled("door")
            site.wait_for(
                lambda: site.count("door")["recorded"] == {"motion": site.count("door")["groups"]["motion"]["delivered"]},
                "what was delivered is counted as recorded",
            )
            stats = site.stats()
        door, motion = stats["door"], stats["door"]["groups"]["motion"]
        assert (door["captured"], door["unaccounted"], door["duplicates"]) == (CLIP_FRAMES, 0, 0)
        assert motion["processed"] + sum(motion["dropped"].values()) + motion["lost"] == CLIP_FRAMES
        assert motion["in_flight"] == 0
        if depth:
            assert motion["processed"] == CLIP_FRAMES
        assert motion["results"] == motion["delivered"] == motion["processed"]
        lines = check_recording(site, "door", "motion")
        assert len(lines) == door["recorded"]["motion"] == motion["processed"]
        assert [line["seq"] for line in lines] == sorted({line["seq"] for line in lines})
        assert {line["boot"] for line in lines} == {door["boot"]}
        assert any(found["label"] == "motion" for line in lines for found in line["detections"])
