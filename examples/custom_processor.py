"""A processor of one's own. From this repository's root:

mesh node process examples.custom_processor:Brighten:gain=1.3
"""

from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from mesh.frame import Frame


class Brighten:
    """Makes the picture brighter by a factor. One instance is made for each camera."""

    def __init__(self, gain: Annotated[float, Field(gt=0, le=10)] = 1.2) -> None:
        self.gain = gain

    def __call__(self, frame: Frame) -> Frame:
        brighter = cv2.convertScaleAbs(frame.image, alpha=self.gain)
        return frame.with_image(np.asarray(brighter, dtype=np.uint8))
