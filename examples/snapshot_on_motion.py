"""Save a picture when something moves, at most one a second for each camera.

mesh node process motion &
python examples/snapshot_on_motion.py [FOLDER]
"""

import contextlib
import sys
from pathlib import Path

import mesh

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "snapshots")
folder.mkdir(parents=True, exist_ok=True)
last: dict[str, int] = {}
with mesh.connect() as m, contextlib.suppress(KeyboardInterrupt):
    for frame in m.subscribe("motion"):
        moving = [d for d in frame.detections if d.by == "motion"]
        if moving and frame.captured_ns - last.get(frame.camera, 0) >= 1_000_000_000:
            last[frame.camera] = frame.captured_ns
            file = folder / f"{frame.camera}-{frame.boot}-{frame.seq}.jpg"
            file.write_bytes(frame.jpeg)
            print(f"{file}: {len(moving)} moving", flush=True)
