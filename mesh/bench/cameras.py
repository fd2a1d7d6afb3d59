"""`mesh bench cameras`: MJPEG cameras of 640x480 through capture, motion and collect to the disk.

One row says whether 100 cameras at 25 fps hold; the others how high the pace may be for so many cameras. A
pace holds when fewer than 0.1 % of the pictures are missed and 99 % are recorded within 300 ms. The cameras
are a process on the same machine, and take their share of it.

Rules kept here: a picture counts as missed wherever it was: not taken from the camera in time, dropped or
lost in a node, or on the way; the age is that of frames that were recorded, until they were in the file.
"""

from collections.abc import Callable, Iterator

from mesh.bench.paced import percentile_ms
from mesh.bench.report import Measure, Row, at_least, at_most
from mesh.bench.setup import Setup
from mesh.bench.site import NODES, Site, Window

CAMERAS, FPS = 100, 25.0
COUNTS = (1, 10, 50, 100, 200)
MOST_MISSED = 0.001
MOST_AGE_MS = 300.0
LEAST_FPS, MOST_FPS = 1.0, 240.0
TRIES = 2  # at a pace, so that what else the machine does at one moment does not decide
FINENESS = 1.07  # a search ends when the next pace is nearer than this


def measure(setup: Setup) -> Iterator[Row]:
    """The rows of the usual cases, or of the one that `setup` names."""
    if setup.cameras is None or setup.fps is not None:
        yield from _at(setup, setup.cameras or CAMERAS, setup.fps or FPS)
    if setup.fps is None:
        for cameras in (setup.cameras,) if setup.cameras else COUNTS:
            yield _highest(setup, cameras)


def _at(setup: Setup, cameras: int, fps: float) -> Iterator[Row]:
    """What so many cameras at one pace come to."""
    with setup.folder() as folder, Site(folder, cameras, fps, setup) as site:
        found = setup.repeat(lambda: site.window(setup.seconds))
    case = f"{cameras} cameras at {fps:g} fps, {setup.pictures}"
    yield Row(
        f"{case}, missed",
        "%",
        [100 * window.missed_share for window in found],
        target=at_most(100 * MOST_MISSED, Measure.OURS),
        note=_losses(found),
    )
    for percent, target in ((50, None), (99, at_most(MOST_AGE_MS, Measure.OURS))):
        yield Row(
            f"{case}, age when recorded, p{percent}",
            "ms",
            [percentile_ms(window.ages_ms, percent) for window in found],
            target=target,
        )
    yield Row(f"{case}, recorded", "frames/s", [len(window.ages_ms) / window.seconds for window in found])
    yield Row(
        f"{case}, CPU of the nodes",
        "ms/frame",
        [window.cpu_ms(*NODES) for window in found],
        note=_shares(found),
    )
    yield Row(
        f"{case}, memory of the nodes",
        "MiB/camera",
        [window.nodes_mib / cameras for window in found],
        note=", ".join(f"{name} {found[-1].rss_kib[name] / 1024:.0f} MiB" for name in NODES),
    )


def _highest(setup: Setup, cameras: int) -> Row:
    """The highest pace that holds."""
    held: list[Window] = []
    with setup.folder() as folder, Site(folder, cameras, LEAST_FPS, setup) as site:

        def holds(fps: float) -> bool:
            for _ in range(TRIES):
                site.pace(fps)
                window = site.window(setup.seconds)
                if is_held(window):
                    held.append(window)
                    return True
            return False

        fps = highest(holds, LEAST_FPS, MOST_FPS)
    return Row(
        f"{cameras} cameras, the highest pace that holds, {setup.pictures}",
        "fps",
        [fps],
        target=at_least(FPS, Measure.OURS) if cameras == CAMERAS else None,
        note=_at_best(fps, held),
    )


def _at_best(fps: float, held: list[Window]) -> str:
    if not held:
        return f"{LEAST_FPS:g} fps does not hold"
    bound = "more was not tried; " if fps == MOST_FPS else ""
    return f"{bound}the nodes take up to {max(window.nodes_mib for window in held):.0f} MiB"


def is_held(window: Window) -> bool:
    """Whether nearly every picture of a window was recorded in time."""
    on_time = bool(window.ages_ms) and percentile_ms(window.ages_ms, 99) <= MOST_AGE_MS
    return on_time and window.missed_share <= MOST_MISSED


def highest(holds: Callable[[float], bool], least: float, most: float) -> float:
    """The highest pace between two that holds, to within `FINENESS`; 0 where the least does not. The ratio of
    the bounds is halved at each step, as paces are compared by ratio."""
    if not holds(least):
        return 0.0
    if holds(most):
        return most
    while most / least > FINENESS:
        middle = (least * most) ** 0.5
        least, most = (middle, most) if holds(middle) else (least, middle)
    return round(least, 1)


def _losses(found: list[Window]) -> str:
    causes = {cause: 0 for window in found for cause in ("skipped by the cameras", *window.dropped)}
    for window in found:
        causes["skipped by the cameras"] += window.skipped
        for cause, count in window.dropped.items():
            causes[cause] += count
    said = ", ".join(f"{cause} {count}" for cause, count in causes.items() if count)
    return f"of {sum(window.due for window in found)}: {said or 'none'}"


def _shares(found: list[Window]) -> str:
    """What each process takes of a core."""
    seconds = sum(window.seconds for window in found)
    shares = {name: sum(window.cpu_s[name] for window in found) / seconds for name in found[0].cpu_s}
    return "cores: " + ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
