"""A script that subscribes to a publisher: `python -m tests.support.ages ENDPOINT CAMERA POLICY MAX_AGE_S`.

For each frame that it is handed it prints when that was captured and when it was handed out, in nanoseconds
by the wall clock, and how many had expired by then.
"""

import contextlib
import signal
import sys
import time

import mesh


def main() -> None:
    endpoint, camera, policy, max_age_s = sys.argv[1:]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        contextlib.suppress(KeyboardInterrupt),
        mesh.subscribe(endpoint, camera=camera, policy=policy, max_age=float(max_age_s)) as subscription,
    ):
        for frame in subscription:
            (count,) = subscription.counts()
            expired = count.dropped.get("expired", 0)
            sys.stdout.write(f"{frame.captured_ns} {time.time_ns()} {expired}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
