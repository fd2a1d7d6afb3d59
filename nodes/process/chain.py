"""A row of processors for one partition of a camera: one frame in, any number of frames out.

Rules kept here: whatever goes wrong in a processor is one `ProcessorError` that names it; what a processor
returns is checked before anybody else sees it; frames made from one frame are told apart by `part`; a
frame is decoded once, whatever sizes of it they ask for.
"""

from collections.abc import Sequence
from contextlib import suppress

from mesh.errors import ProcessorError
from mesh.frame import Frame, with_fields
from nodes.process.foresight import Foresight
from nodes.process.processors.base import Processor, Result
from nodes.process.processors.catalog import ProcessorFactory

MAX_PARTS = 1024


class Chain:
    """The processors of one partition of a camera, in a row; one instance of each is made for it.

    Not for two threads at a time. A frame that arrives with a `part` of its own (an earlier node made
    several) keeps it; when it is split again its parts are `part * 1024` and up, so that they stay unique.
    """

    def __init__(self, factories: Sequence[ProcessorFactory]) -> None:
        self._names = [factory.name for factory in factories]
        self._processors: list[Processor] = []
        self._foresight = Foresight()
        try:
            for factory in factories:
                self._processors.append(_made(factory))
        except ProcessorError:
            with suppress(ProcessorError):
                self.close()
            raise

    def __repr__(self) -> str:
        return f"<Chain {' -> '.join(self._names)}>"

    def run(self, frame: Frame) -> list[Frame]:
        """What the processors make of `frame`: none when one of them dropped it. Raises `ProcessorError`."""
        self._foresight.prepare(frame)
        frames = [frame]
        for name, processor in zip(self._names, self._processors, strict=True):
            results = [_called(name, processor, each) for each in frames]
            split = any(len(several) > 1 for several in results)
            frames = [each for several in results for each in several]
            if split:
                frames = _numbered(name, frames, frame.part)
        self._foresight.learn(frame)
        return frames

    def close(self) -> None:
        """Close every processor that wants it, last one first. Raises the first `ProcessorError`."""
        first: ProcessorError | None = None
        while self._processors:
            name, processor = self._names[len(self._processors) - 1], self._processors.pop()
            try:
                _close(name, processor)
            except ProcessorError as error:
                first = first or error
        if first is not None:
            raise first


def _made(factory: ProcessorFactory) -> Processor:
    try:
        return factory.new()
    except Exception as error:  # foreign code: whatever it raises is wrapped, with its cause
        raise _raised(factory.name, error) from error


def _called(name: str, processor: Processor, frame: Frame) -> list[Frame]:
    try:
        result: Result = processor(frame)
        several = _several(name, result)
    except ProcessorError:
        raise
    except Exception as error:  # foreign code: whatever it raises is wrapped, with its cause
        raise _raised(name, error) from error
    return [_checked(name, frame, each) for each in several]


def _several(name: str, result: object) -> list[object]:
    if result is None:
        return []
    if isinstance(result, Frame):
        return [result]
    if isinstance(result, (list, tuple)):
        return list(result)
    raise ProcessorError(f"{name}: returned {_a(result)}: return a Frame, a list of frames, or None")


def _checked(name: str, before: Frame, after: object) -> Frame:
    if not isinstance(after, Frame):
        raise ProcessorError(f"{name}: returned a list with {_a(after)} in it: only frames belong there")
    if after.identity != before.identity:
        raise ProcessorError(
            f"{name}: changed a frame's identity from {before.identity} to {after.identity}: "
            "camera, boot and seq stay as they came"
        )
    if after.part == before.part and after.partitions == before.partitions:
        return after
    return with_fields(after, part=before.part, partitions=before.partitions)


def _numbered(name: str, frames: list[Frame], parent: int) -> list[Frame]:
    if len(frames) > MAX_PARTS:
        raise ProcessorError(f"{name}: made {len(frames)} frames of one, over the limit of {MAX_PARTS}")
    return [with_fields(frame, part=parent * MAX_PARTS + n) for n, frame in enumerate(frames)]


def _close(name: str, processor: Processor) -> None:
    close = getattr(processor, "close", None)
    if not callable(close):
        return
    try:
        close()
    except Exception as error:  # foreign code: whatever it raises is wrapped, with its cause
        raise _raised(f"{name}: close", error) from error


def _raised(name: str, error: Exception) -> ProcessorError:
    return ProcessorError(f"{name}: {type(error).__name__}: {error}")


def _a(value: object) -> str:
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"
