"""`mesh top` in a terminal: the only place that knows textual.

app    the screen, its keys, and what stands above and below the tables
table  one table, brought up to date in place
"""

from mesh.top.screen.app import run

__all__ = ["run"]
