"""Print every frame of a stage as it comes, of cameras that appear later, too.

python examples/subscribe.py [STAGE]
"""

import contextlib
import sys
import time

import mesh

stage = sys.argv[1] if len(sys.argv) > 1 else "raw"
with mesh.connect() as m, contextlib.suppress(KeyboardInterrupt):
    for frame in m.subscribe(stage):
        age_ms = (time.time_ns() - frame.captured_ns) / 1e6
        found = ", ".join(f"{d.label} {d.score:.2f}" for d in frame.detections)
        print(
            f"{frame.camera} #{frame.seq} {frame.image.shape} {age_ms:.0f} ms old: {found or '-'}", flush=True
        )
