"""`mesh recordings frame|export|timeline`: watch what was recorded."""

from pathlib import Path
from typing import Annotated

import typer

from mesh.cli.log import set_up
from mesh.cli.options import LogJson, LogLevel
from mesh.cli.viewing import check_picture, save
from mesh.clock import SYSTEM_CLOCK
from mesh.errors import StorageError
from mesh.recordings.reading import open_recordings
from mesh.recordings.times import parse_time

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that a collector records to.")]
Stage = Annotated[
    str | None,
    typer.Option(metavar="STAGE", help="The stage that is meant, where several were recorded."),
]
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
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Save the picture that a camera showed at a time: the last one that was captured until then."""
    set_up(log_level, log_json)
    check_picture(out)
    at = parse_time(time, SYSTEM_CLOCK.wall_ns())
    with open_recordings(folder) as recordings:
        found = recordings.frame_at(camera, at, stage)
    if found is None:
        raise StorageError(
            f"no frame of {camera} was recorded until then; `mesh recordings list` shows what is"
        )
    save(out, found, boxes)
