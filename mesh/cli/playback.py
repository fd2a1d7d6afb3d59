"""`mesh recordings frame|export|timeline`: watch what was recorded."""

import os
import signal
from datetime import date
from pathlib import Path
from typing import Annotated

import cv2
import typer

from mesh.cli.choosing import Folder
from mesh.cli.log import set_up
from mesh.cli.options import LogJson, LogLevel, read_size
from mesh.cli.progress import progress
from mesh.cli.viewing import check_picture, save, save_bytes
from mesh.clock import SYSTEM_CLOCK
from mesh.errors import ConfigError, StorageError
from mesh.frame import Frame
from mesh.names import check_name
from mesh.recordings.folder import check_cameras
from mesh.recordings.names import day_of as day_at
from mesh.recordings.reading import open_recordings
from mesh.recordings.times import SECOND_NS, parse_time, show_length, show_time

Stage = Annotated[
    str | None,
    typer.Option(metavar="STAGE", help="The stage that is meant, where several were recorded."),
]
Start = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="2026-11-30T10:00:00Z, -2h or now; else all.")
]
End = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Until before then; else all.")]
Boxes = Annotated[bool, typer.Option("--boxes", help="Draw the detections.")]

# So that -2h is an argument, and its h no call for help.
TIMES_MAY_BEGIN_WITH_A_DASH = {"ignore_unknown_options": True, "help_option_names": ["--help"]}


def frame(
    folder: Folder,
    camera: Annotated[str, typer.Argument(metavar="CAMERA")],
    time: Annotated[str, typer.Argument(metavar="TIME", help="2026-11-30T10:00:00Z, -2h or now.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A .jpg or .png.")],
    stage: Stage = None,
    boxes: Boxes = False,
    nearest: Annotated[
        bool, typer.Option("--nearest", help="The nearest one, where nothing was recorded then.")
    ] = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Save the picture that a camera showed at a time: the last one until then. In a gap there is none."""
    set_up(log_level, log_json)
    check_picture(out)
    _check_place(out, folder)
    from mesh.recordings.moment import picture_at

    at_ns = parse_time(time, SYSTEM_CLOCK.wall_ns())
    with open_recordings(folder) as recordings:
        found = picture_at(recordings, camera, at_ns, stage, nearest=nearest)
    save(out, found, boxes)
    typer.echo(f"{out}: {camera}, captured {show_time(found.captured_ns)}{_apart(found, at_ns)}")


def export(
    folder: Folder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A .mp4, or a .mkv: the pictures as they are.")],
    camera: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A camera; several stand side by side (.mkv: a track each). Else all that have something.",
        ),
    ] = None,
    start: Start = None,
    end: End = None,
    stage: Stage = None,
    boxes: Boxes = False,
    speed: Annotated[float, typer.Option(metavar="N", min=0.01, max=10_000, help="N times as fast.")] = 1.0,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="The picture's size in pixels.")] = None,
    fps: Annotated[
        float | None, typer.Option(min=0.01, max=240, help="Pictures a second of film, at most.")
    ] = None,
    skip_gaps: Annotated[
        bool, typer.Option("--skip-gaps", help="Leave out what lies between, where nothing was recorded.")
    ] = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Write a film of what was recorded: .mp4 (H.264) plays anywhere, .mkv holds the pictures as they are."""
    set_up(log_level, log_json)
    _check_place(out, folder)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: nothing half-written is left
    from mesh.recordings.export import Film, export

    now_ns = SYSTEM_CLOCK.wall_ns()
    with open_recordings(folder) as recordings:
        film = Film(
            cameras=tuple(camera or ()),
            start=parse_time(start, now_ns) if start is not None else None,
            end=parse_time(end, now_ns) if end is not None else None,
            stage=stage,
            boxes=boxes,
            speed=speed,
            size=read_size(size),
            fps=fps,
            skip_gaps=skip_gaps,
        )
        with progress(out.name, percent=True) as tell:
            done = export(recordings, film, out, lambda share: tell(share, 1.0))
    left_out = f", {done.undecoded} damaged ones left out" if done.undecoded else ""
    typer.echo(f"{out}: {done.pictures} pictures, {done.seconds:.1f} s{left_out}")


def timeline(
    folder: Folder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A .png.")],
    camera: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A camera; once for each. Else all.")
    ] = None,
    day: Annotated[
        str, typer.Option(metavar="DAY", help="2026-11-30, today, yesterday, -7d: a day in UTC.")
    ] = "today",
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Draw a day: what was recorded of each camera, its gaps, and what was seen when."""
    set_up(log_level, log_json)
    from mesh.recordings.day import day_of
    from mesh.recordings.timeline import timeline

    if out.suffix.lower() != ".png":
        raise ConfigError(f"{out}: the picture's name ends in .png")
    _check_place(out, folder)
    wanted = _day(day)
    with open_recordings(folder) as recordings:
        names = [check_name("camera", name) for name in camera or recordings.cameras()]
    check_cameras(folder, names)
    days = [day_of(folder, name, wanted) for name in names]
    if not any(each.recorded for each in days):
        raise StorageError(f"nothing of {', '.join(names) or 'any camera'} was recorded on {wanted}")
    save_bytes(out, bytes(cv2.imencode(".png", timeline(days, wanted))[1]))
    seen = sum(bool(each.recorded) for each in days)
    typer.echo(f"{out}: {wanted}, {seen} camera{'s' * (seen != 1)} recorded")


def _day(text: str) -> date:
    """The day on which a time lies, UTC. Raises `ConfigError`."""
    return day_at(parse_time(text, SYSTEM_CLOCK.wall_ns()))


def _apart(found: Frame, at_ns: int) -> str:
    """How far a frame is from the time that was asked for, where that is worth a word."""
    since_ns = at_ns - found.captured_ns
    if 0 <= since_ns <= SECOND_NS:
        return ""
    return f", {show_length(abs(since_ns))} {'before' if since_ns > 0 else 'after'} {show_time(at_ns)}"


def _check_place(out: Path, folder: Path) -> None:
    """Raises `ConfigError` for a file among the recordings, which would not be one of them."""
    if Path(os.path.realpath(out.parent)).is_relative_to(os.path.realpath(folder)):
        raise ConfigError(f"{out} lies among the recordings in {folder}: write it to another folder")
