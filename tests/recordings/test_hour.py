"""An hour of real video, recorded: what ffprobe says of its files, a film of it in a browser, its index made
again. Its pictures are a clip's, again and again, with capture times of their own, as from a camera that is
never quite steady. With MESH_FAULTS_LONG it has the clip's own rate and size."""

import itertools
import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import av
import numpy as np
import pytest

import mesh
from mesh import codec
from mesh.frame import Frame
from mesh.recordings.index import Index
from mesh.recordings.verify import verify
from nodes.collect.rebuild import rebuild
from nodes.collect.recovery import recover
from tests.capture.sources.support import CLIP, needs_clip
from tests.collect.support import segments
from tests.faults.figures import LONG, row
from tests.recordings.made import NOON, SECOND, holdings, person, record
from tests.support.browser import PLAY_FROM, played
from tests.support.processes import Processes

HOUR_S, SEGMENT_S = 3600, 600
FPS, SIZE = (10, (768, 432)) if LONG else (1, (192, 108))
FILM = () if LONG else ("--fps", "0.25")  # all pictures take a while
CLIP_FPS = 10
GAP = (2000, 2030)  # seconds in which the camera gave nothing
BOOT = 5
MP4_LIMIT_S = 1500 if LONG else 90

pytestmark = [needs_clip, pytest.mark.timeout(2 * MP4_LIMIT_S)]


def pictures() -> Iterator[bytes]:
    """The clip's pictures as JPEGs, at the rate and size of the recording."""
    with av.open(str(CLIP)) as container:
        for picture in itertools.islice(container.decode(video=0), 0, None, CLIP_FPS // FPS):
            yield codec.encode(
                np.asarray(picture.to_ndarray(format="bgr24", width=SIZE[0], height=SIZE[1]), np.uint8)
            )


def times_ns() -> list[int]:
    """When the frames were captured: never quite in time, with a gap."""
    random = Random(1)
    due = (second + k / FPS for second in range(HOUR_S) for k in range(FPS))
    steady = [at for at in due if not GAP[0] <= at < GAP[1]]
    late = [0.0, *(random.uniform(0, 0.7 / FPS) for _ in steady[2:]), 0.0]
    return [NOON + round((at + by) * SECOND) for at, by in zip(steady, late, strict=True)]


def frames(times: list[int]) -> Iterator[Frame]:
    jpegs = list(pictures())
    for seq, at in enumerate(times):
        seen = (person(0.8),) if seq % (20 * FPS) < 8 * FPS else ()
        yield Frame(
            camera="hall",
            boot=BOOT,
            seq=seq,
            captured_ns=at,
            width=SIZE[0],
            height=SIZE[1],
            payload=jpegs[seq % len(jpegs)],
            detections=seen,
        )


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """The folder, and the capture time of each frame."""
    into, times = tmp_path_factory.mktemp("hour") / "recordings", times_ns()
    record(into, frames(times), seconds=SEGMENT_S)
    recover(into).index.close()
    return into, times


def probed(video: Path) -> dict[str, Any]:
    ffprobe = shutil.which("ffprobe")
    if ffprobe is None:
        pytest.skip("there is no ffprobe here (Debian: ffmpeg)")
    entries = (
        "format=duration,format_name,start_time:format_tags:stream=codec_name,width,height:packet=pts_time"
    )
    command = [ffprobe, "-v", "error", "-show_entries", entries, "-of", "json", str(video)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done
    return json.loads(done.stdout)  # type: ignore[no-any-return]  # JSON, checked by the tests


def test_ffprobe_finds_durations_capture_times_and_tags(hour: tuple[Path, list[int]]) -> None:
    into, times = hour
    videos = segments(into)
    assert len(videos) == HOUR_S // SEGMENT_S
    rest = iter(times)
    for video in videos:
        found = probed(video)
        own = list(itertools.islice(rest, len(found["packets"])))
        since_ms = [(at - own[0]) // 1_000_000 for at in own]
        assert [round(float(each["pts_time"]) * 1000) for each in found["packets"]] == since_ms
        about, tags = found["format"], found["format"]["tags"]
        assert round(float(about["duration"]) * 1000) == since_ms[-1]
        assert SEGMENT_S - 6 < float(about["duration"]) < SEGMENT_S
        assert (tags["CAMERA"], tags["STAGE"], tags["BOOT"]) == ("hall", "raw", str(BOOT))
        assert int(tags["FIRST_CAPTURED_NS"]) == own[0]
        begin_us = round(datetime.fromisoformat(tags["creation_time"]).timestamp() * 1_000_000)
        assert begin_us == own[0] // 1000
        assert found["streams"] == [{"codec_name": "mjpeg", "width": SIZE[0], "height": SIZE[1]}]
    assert next(rest, None) is None, "every frame is in a file"


def test_a_browser_plays_the_film_of_it(hour: tuple[Path, list[int]], tmp_path: Path) -> None:
    into, times = hour
    film = tmp_path / "hour.mp4"
    with Processes(tmp_path / "processes") as processes:
        done = processes.run("recordings", "export", into, film, *FILM, within=MP4_LIMIT_S)
        assert done.code == 0, done
    length_s = (times[-1] - times[0]) / SECOND
    seen = played(film, tmp_path)
    assert "error" not in seen, seen
    assert (seen["width"], seen["height"]) == SIZE
    assert seen["duration"] == pytest.approx(length_s, abs=5)
    assert seen["from"] == pytest.approx(PLAY_FROM * seen["duration"], abs=1)
    assert seen["played"] > 0.2
    row(
        "an hour of real video, recorded",
        offered=len(times),
        megabytes=round(sum(p.stat().st_size for p in segments(into)) / 1e6, 1),
        mp4_megabytes=round(film.stat().st_size / 1e6, 1),
        browser_s=seen["duration"],
    )


def test_the_index_is_made_again_row_for_row(hour: tuple[Path, list[int]], tmp_path: Path) -> None:
    into = Path(shutil.copytree(hour[0], tmp_path / "recordings"))
    before, streams = holdings(into), streams_of(into)
    assert sum(len(held.events) for held in before.values()) > HOUR_S // 21
    assert sum(len(held.gaps) for held in before.values()) == 1
    (into / "index.db").unlink()
    done = rebuild(into)
    assert (done.segments, done.frames, done.aside) == (HOUR_S // SEGMENT_S, len(hour[1]), 0)
    assert holdings(into) == before
    assert streams_of(into) == streams
    assert list(verify(into)) == []
    with mesh.open_recordings(into) as recordings:
        assert [frame.captured_ns for frame in recordings.frames("hall")] == hour[1]


def streams_of(into: Path) -> list[tuple[str, str, int, int, int]]:
    index = Index(into)
    found = [(row.stage, row.camera, row.boot, row.recorded, row.late) for row in index.streams()]
    index.close()
    return found
