"""`mesh recordings`: what is in a folder that a collector records to."""

import typer

from mesh.cli import playback

app = typer.Typer(help="Find and watch what was recorded.", no_args_is_help=True)
app.command("frame", context_settings=playback.TIMES_MAY_BEGIN_WITH_A_DASH)(playback.frame)
app.command("export")(playback.export)
