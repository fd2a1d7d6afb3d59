"""What a processor is.

Rules kept here: a processor is called with one camera's frames only, in order, from one thread at a time, so
its state needs neither a lock nor a map by camera; it may change the image and add annotations, never the
identity `(camera, boot, seq)`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from mesh.frame import Frame

Result = Frame | Sequence[Frame] | None


class Processor(Protocol):
    """Anything that is called with a frame: an instance of a class with `__call__`, or a plain function.

    It returns the frame (annotated or redrawn), None to drop it on purpose, or several frames made from
    it. Of a class, one instance is made for each camera: what it remembers, such as a background model, is
    that camera's own. A method `close()`, where there is one, is called when the camera is let go.

    What it raises costs that one frame: it is counted and logged, and the next frame is processed.
    """

    def __call__(self, frame: Frame, /) -> Result: ...


NewProcessor = Callable[[], Processor]
