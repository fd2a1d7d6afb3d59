"""`mesh view` and `mesh snapshot`: look at a stream."""

import os
import sys
from pathlib import Path
from typing import Annotated

import cv2
import typer

from mesh.cli.log import set_up
from mesh.cli.options import LogJson, LogLevel, RegistryUrl
from mesh.client import Mesh, NoFrame, connect
from mesh.codec import Image, encode
from mesh.draw import annotated
from mesh.errors import ConfigError, StorageError
from mesh.frame import Frame

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
    _check_suffix(file)
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
    with connect(registry) as mesh:
        if save_to is not None:
            _save_all(mesh, stage, camera, save_to, frames, boxes, timeout)
        else:
            _show_all(mesh, stage, camera, frames, boxes, timeout)


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
    part = file.with_name(f".{file.name}.part")
    try:
        part.write_bytes(data)
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True) if part.parent.is_dir() else None
        raise StorageError(f"cannot write {file}: {error.strerror}; choose another place") from error


def _encoded(file: Path, image: Image) -> bytes:
    if file.suffix.lower() != ".png":
        return encode(image, 92)
    return bytes(cv2.imencode(".png", image)[1])


def _check_suffix(file: Path) -> None:
    if file.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise ConfigError(f"{file}: a picture's name ends in .jpg, .jpeg or .png")


def _frame(frame: Frame | None, stage: str, camera: str, timeout: float) -> Frame:
    if frame is None:
        raise NoFrame(
            f"no frame of {stage}/{camera} came within {timeout:g} s; `mesh ls` shows what there is"
        )
    return frame


def _save_all(
    mesh: Mesh, stage: str, camera: str, folder: Path, frames: int | None, boxes: bool, timeout: float
) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write to {folder}: {error.strerror}; choose another place") from error
    count = 0
    with mesh.subscribe(stage, camera) as subscription:
        while frames is None or count < frames:
            frame = _frame(subscription.get(timeout), stage, camera, timeout)
            file = folder / f"{camera}-{frame.boot}-{frame.seq:08d}.jpg"
            save(file, frame, boxes)
            typer.echo(file)
            count += 1


def _show_all(mesh: Mesh, stage: str, camera: str, frames: int | None, boxes: bool, timeout: float) -> None:
    title, count = f"{stage}/{camera}", 0
    with mesh.subscribe(stage, camera) as subscription:
        try:
            while frames is None or count < frames:
                frame = _frame(subscription.get(timeout), stage, camera, timeout)
                cv2.imshow(title, annotated(frame) if boxes else frame.image)
                if cv2.waitKey(1) & 0xFF in (ord("q"), 27):
                    return
                count += 1
        except cv2.error as error:
            raise ConfigError("a window cannot be opened here: save frames with --save DIR") from error
        finally:
            cv2.destroyAllWindows()
