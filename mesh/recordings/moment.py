"""The picture that a camera showed at a time, where it was recorded then.

Rules kept here: it is the last frame until then; where that is longer before than a gap begins (five seconds;
of slow cameras, three of their intervals), nothing was recorded at that time, and no other picture is given
for it unless the nearest one is asked for.
"""

from itertools import pairwise

from mesh.errors import StorageError
from mesh.frame import Frame
from mesh.recordings.contents import GAP_NS, SLOW
from mesh.recordings.reading import Recordings
from mesh.recordings.times import show_time


def picture_at(
    recordings: Recordings, camera: str, at_ns: int, stage: str | None = None, *, nearest: bool = False
) -> Frame:
    """A camera's frame at a time, in nanoseconds since the epoch; or the `nearest` one, before or after.

    Raises `ConfigError` as `Recordings.frames` does, and `StorageError` where none was recorded then.
    """
    before = recordings.frame_at(camera, at_ns, stage)
    if before is not None and at_ns - before.captured_ns <= GAP_NS:
        return before
    after = _after(recordings, camera, at_ns, before.stage if before else stage)
    if before is not None and at_ns - before.captured_ns <= _reach_ns(recordings, before):
        return before
    around = [frame for frame in (before, after) if frame is not None]
    if nearest and around:
        return min(around, key=lambda frame: abs(frame.captured_ns - at_ns))
    raise StorageError(f"{camera} has no frame of {show_time(at_ns)}: {_around(before, after)}")


def _after(recordings: Recordings, camera: str, at_ns: int, stage: str | None) -> Frame | None:
    """The first frame that was captured after a time; a late one is recorded behind later ones."""
    found = next(recordings.frames(camera, at_ns + 1, None, stage), None)
    if found is None:
        return None
    late = recordings.frames(camera, at_ns + 1, found.captured_ns, found.stage)
    return min(late, key=lambda frame: frame.captured_ns, default=found)


def _reach_ns(recordings: Recordings, before: Frame) -> int:
    """For how long no frame of a camera is no gap. A single long interval may be a gap itself."""
    times = [before.captured_ns]
    while len(times) <= SLOW:
        frame = recordings.frame_at(before.camera, times[-1] - 1, before.stage)
        if frame is None:
            break
        times.append(frame.captured_ns)
    return max(GAP_NS, SLOW * min((later - earlier for later, earlier in pairwise(times)), default=0))


def _around(before: Frame | None, after: Frame | None) -> str:
    if not (before or after):
        return "no frame of it can be read"
    last = f"the last before is of {show_time(before.captured_ns)}" if before else "there is none before"
    then = f"the next one of {show_time(after.captured_ns)}" if after else "there is none after"
    return f"{last}, {then}; --nearest takes the nearest"
