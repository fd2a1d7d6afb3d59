"""`mesh view` and `mesh snapshot`: look at a stream."""

import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import cv2
import typer

from mesh.cli.log import set_up
from mesh.cli.options import LogJson, LogLevel, MaxAge, RegistryUrl
from mesh.cli.pointing import connect
from mesh.client import NoFrame, Subscription
from mesh.codec import Image, encode
from mesh.draw import annotated
from mesh.errors import ConfigError, StorageError
from mesh.frame import Frame
from mesh.views import AUTO
from mesh.wire import View

WAIT_S = 10.0


def snapshot(
    camera: Annotated[str, typer.Argument(metavar="CAMERA")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .jpg or .png.")],
    stage: Annotated[str, typer.Option(metavar="STAGE", help="The stage to take it from.")] = "raw",
    boxes: Annotated[bool, typer.Option("--boxes", help="Draw the detections.")] = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="How long to wait.")] = WAIT_S,
    registry: RegistryUrl = None,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Save one frame of a camera."""
    set_up(log_level, log_json)
    check_picture(file)
    with connect(registry) as mesh:
        frame = mesh.snapshot(camera, stage, timeout=timeout)
    save(file, frame, boxes)


def view(
    stream: Annotated[str, typer.Argument(metavar="STAGE/CAMERA")],
    save_to: Annotated[
        Path | None, typer.Option("--save", metavar="DIR", help="Save frames to a folder instead.")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="End after so many frames.")] = None,
    boxes: Annotated[bool, typer.Option(help="Draw the detections.")] = True,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait for one.")
    ] = WAIT_S,
    max_age: MaxAge = None,
    registry: RegistryUrl = None,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Show a stream in a window; q or Esc closes it."""
    set_up(log_level, log_json)
    stage, slash, camera = stream.partition("/")
    if not slash or not camera:
        raise ConfigError(f"{stream!r} is not STAGE/CAMERA, such as raw/door")
    if save_to is None and not has_display():
        raise ConfigError("there is no display here: save frames with --save DIR, or set DISPLAY")
    as_encoded = save_to is not None and not boxes  # then the stream's own bytes are saved
    wanted = View.FRAME if as_encoded else AUTO
    with (
        connect(registry) as mesh,
        mesh.subscribe(stage, camera, max_age=max_age, view=wanted) as subscription,
    ):
        coming = _frames(subscription, stream, frames, timeout)
        if save_to is not None:
            _save_all(coming, save_to, boxes)
        else:
            _show_all(coming, stream, boxes)


def has_display() -> bool:
    """Whether a window can be opened here, as far as the environment tells."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def save(file: Path, frame: Frame, boxes: bool) -> None:
    """Write a frame as .jpg (its own bytes unless boxes are drawn) or .png. Raises `StorageError`; a file
    is there whole or not at all."""
    if boxes:
        data = _encoded(file, annotated(frame))
    else:
        data = frame.jpeg if file.suffix.lower() != ".png" else _encoded(file, frame.image)
    save_bytes(file, data)


def save_bytes(file: Path, data: bytes) -> None:
    """Write a file whole, or not at all. Raises `StorageError`."""
    part = file.with_name(f".{file.name}.part")
    try:
        part.write_bytes(data)
        part.replace(file)
    except OSError as error:
        with suppress(OSError):  # where there is no such folder, or a read-only disk, there is no such file
            part.unlink()
        raise StorageError(f"cannot write {file}: {error.strerror}; choose another place") from error


def _encoded(file: Path, image: Image) -> bytes:
    if file.suffix.lower() != ".png":
        return encode(image, 92)
    return bytes(cv2.imencode(".png", image)[1])


def check_picture(file: Path) -> None:
    """Raises `ConfigError` for a name that is no picture's."""
    if file.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise ConfigError(f"{file}: a picture's name ends in .jpg, .jpeg or .png")


def _frames(subscription: Subscription, stream: str, frames: int | None, timeout: float) -> Iterator[Frame]:
    """So many frames, or endless. Raises `NoFrame` when none comes within `timeout` seconds."""
    for _ in itertools.count() if frames is None else range(frames):
        if (frame := subscription.get(timeout)) is None:
            raise NoFrame(f"no frame of {stream} came within {timeout:g} s; `mesh ls` shows what there is")
        yield frame


def _save_all(frames: Iterable[Frame], folder: Path, boxes: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write to {folder}: {error.strerror}; choose another place") from error
    for frame in frames:
        file = folder / f"{frame.camera}-{frame.boot}-{frame.seq:08d}.jpg"
        save(file, frame, boxes)
        typer.echo(file)


def _show_all(frames: Iterable[Frame], title: str, boxes: bool) -> None:
    try:
        for frame in frames:
            cv2.imshow(title, annotated(frame) if boxes else frame.image)
            if cv2.waitKey(1) & 0xFF in (ord("q"), 27):
                return
    except cv2.error as error:
        raise ConfigError("a window cannot be opened here: save frames with --save DIR") from error
    finally:
        cv2.destroyAllWindows()
