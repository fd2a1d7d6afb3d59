"""Be a camera: publish pictures made with numpy, ten a second.

python examples/publish_numpy.py [CAMERA] [FRAMES]
"""

import sys
import threading

import numpy as np

import mesh

camera = sys.argv[1] if len(sys.argv) > 1 else "numpy"
frames = int(sys.argv[2]) if len(sys.argv) > 2 else 600
tick = threading.Event()
with mesh.connect() as m, m.publish("raw", camera) as out:
    print(f"publishing raw/{camera} at {out.endpoint}", flush=True)
    for number in range(frames):
        image = np.zeros((240, 320, 3), np.uint8)  # height, width, blue-green-red
        image[:, (number * 8) % 320 :][:, :40] = (0, 200, 255)
        out.send(image)
        tick.wait(0.1)
