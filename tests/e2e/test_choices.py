"""What is recorded is a choice for each camera: by what moves in it, and by its setup while all run."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mesh import codec, setups
from mesh.registry.setups import CameraSetup
from tests.e2e.site import Site, check_recording
from tests.support.waiting import wait_for

STILL, MOVING, AFTER = 80, 20, 80  # pictures
STEP_NS = 20_000_000
PRE_S, POST_S = 0.4, 0.5


def _pictures() -> Iterator[bytes]:
    """A wall; something bright passes before it for a while."""
    wall = np.tile(np.linspace(60, 120, 320, dtype=np.uint8), (240, 1))
    for number in range(STILL + MOVING + AFTER):
        image = wall.copy()
        if 0 <= (at := number - STILL) < MOVING:
            image[100:160, 20 + 12 * at : 70 + 12 * at] = 250
        yield codec.encode(image)


def _moves(line: dict[str, Any]) -> bool:
    return any(found["label"] == "motion" for found in line["detections"])


def test_what_moves_is_recorded_with_its_rolls_and_the_books_add_up(tmp_path: Path) -> None:
    """The camera is a script, so that its frames are captured fifty a second also where time flies."""
    with Site(tmp_path, lasting=True) as site:
        rolls = ("--record", "motion", "--pre-roll", PRE_S, "--post-roll", POST_S)
        collect = site.collect(*rolls, "--segment", 600)
        process = site.node("process", "motion", "--policy", "fifo")
        site.wait_nodes("collect", "process")
        with site.publish("raw", "door") as out:
            site.wait_for(lambda: out.listened_to, "the node subscribes")
            began_ns = time.time_ns()
            for number, picture in enumerate(_pictures()):
                out.send(picture, captured_ns=began_ns + number * STEP_NS)
        site.wait_settled("door")
        door, resent = site.stats()["door"], site.counters("process").get("resent", 0)
        shown = site.run("stats").out
        assert (process.stop(), collect.stop()) == (0, 0)
        motion = door["groups"]["motion"]
        recorded, skipped = door["recorded"]["motion"], door["skipped"]["motion"]
        assert door["unaccounted"] == 0
        assert door["duplicates"] <= resent
        assert recorded + skipped == motion["delivered"] == motion["processed"] == STILL + MOVING + AFTER
        assert 0 < recorded < motion["processed"]
        assert f"motion {skipped}" in shown
        lines = check_recording(site, "door", "motion")
        assert len(lines) == recorded
        assert len(site.videos("door", "motion")) == 1
        moving = [line["captured_ns"] for line in lines if _moves(line)]
        times = [line["captured_ns"] for line in lines]
        assert times[0] == moving[0] - round(PRE_S * 1e9)
        assert times[-1] == moving[-1] + round(POST_S * 1e9)
        assert times[0] - lines[0]["skipped_ns"] > 0
        assert all(line["events"] == [["motion", "motion", moving[0]]] for line in lines if _moves(line))
        gaps = json.loads(site.processes.run("recordings", "gaps", site.recordings, "--json").out)
        assert gaps == {"gaps": []}


def test_a_cameras_setup_says_what_is_recorded_while_all_run_and_when_the_registry_is_away(
    tmp_path: Path,
) -> None:
    with Site(tmp_path, state=tmp_path / "state") as site:
        site.collect("--record", "off", "--record", "gate=off")
        site.node("process", "passthrough", "--stage", "passed")
        site.node("capture")
        site.wait_nodes("collect", "process", "capture")
        small = "synthetic:?size=64x64&fps=20"
        done = site.run("camera", "add", "door", small, "--record", "continuous")
        assert done.code == 0, done
        setups.add(site.mesh.registry, CameraSetup.made("gate", {"url": small, "record": "continuous"}))

        def say(record: str | None) -> None:
            setup, revision = setups.find(site.mesh.registry, "door")
            setups.change(site.mesh.registry, setups.changed(setup, {"record": record}), revision)

        def recorded(camera: str = "door") -> int:
            return int(site.count(camera)["recorded"].get("passed", 0))

        def skipped(camera: str = "door") -> int:
            return int(site.count(camera)["skipped"].get("passed", 0))

        def grow(what: Any, by: int = 5) -> None:
            before = site.wait_for(lambda: (what(),), "it is counted")[0]
            site.wait_for(lambda: what() >= before + by, "it grows")

        grow(recorded)
        grow(lambda: skipped("gate"))
        assert recorded("gate") == 0
        for said, what in (("events,stage=passed", skipped), ("continuous", recorded), (None, skipped)):
            say(said)
            grow(what)
        at_rest = recorded()
        grow(skipped, 10)
        assert recorded() == at_rest
        done = site.run("camera", "set", "door", "--record", "continuous")
        assert done.code == 0, done
        grow(recorded)
        site.registry.kill()
        lines = len(site.lines("door", "passed"))
        wait_for(lambda: len(site.lines("door", "passed")) > lines + 20, "it goes on")
        site.start_registry()
        site.wait_for(lambda: recorded() > lines, "it goes on")
