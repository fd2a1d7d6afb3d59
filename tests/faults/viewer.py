"""A script that subscribes: `python -m tests.faults.viewer REGISTRY STAGE CAMERA POLICY`.

Ten times a second it prints one JSON line of what it has seen: frames, lost, dropped, the newest frame's age
in milliseconds, and its wall clock. A queue of its holds what comes in minutes.
"""

import contextlib
import json
import signal
import sys
import time
from types import FrameType

import mesh

DEPTH = 10_000  # frames


def stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    url, stage, camera, policy = sys.argv[1:5]
    signal.signal(signal.SIGTERM, stop)
    told = 0.0
    with contextlib.suppress(KeyboardInterrupt), mesh.connect(url, timeout=30) as m:
        subscription = m.subscribe(stage, camera, policy, depth=DEPTH)
        frames = 0
        while True:
            frame = subscription.get(0.1)
            now = time.time_ns()
            frames += frame is not None
            if time.monotonic() < told + 0.1:
                continue
            told = time.monotonic()
            (count,) = subscription.counts() or (None,)
            seen = {
                "at_ns": now,
                "frames": frames,
                "age_ms": (now - frame.captured_ns) / 1e6 if frame is not None else None,
                "lost": count.lost if count else 0,
                "offered": count.offered if count else 0,
                "dropped": dict(count.dropped) if count else {},
            }
            sys.stdout.write(json.dumps(seen) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
