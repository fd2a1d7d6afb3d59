"""`mesh recordings`: what is in a folder that a collector records to."""

import typer

from mesh.cli import finding, playback, upkeep

app = typer.Typer(help="Find, watch and look after what was recorded.", no_args_is_help=True)
app.command("list")(finding.list_)
app.command("events")(finding.events)
app.command("gaps")(finding.gaps)
app.command("stats")(finding.stats)
app.command("info")(finding.info)
app.command("frame", context_settings=playback.TIMES_MAY_BEGIN_WITH_A_DASH)(playback.frame)
app.command("export")(playback.export)
app.command("timeline")(playback.timeline)
app.command("verify")(upkeep.verify)
app.command("rebuild")(upkeep.rebuild)
app.command("lock")(upkeep.lock)
app.command("unlock")(upkeep.unlock)
app.command("delete")(upkeep.delete)
