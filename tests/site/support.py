"""Sites from texts, for tests."""

from pathlib import Path

from mesh.cli.checks import NodeChecks
from mesh.site.problems import SiteError
from mesh.site.reading import Site, read_site

SITE = """
[cameras.door]
url = "synthetic:"

[capture.cameras]

[process.motion]
processors = ["motion"]

[collect.recorder]
"""

TWO_DEVICES = """
[site]
name = "shop"
insecure = true

[devices.hub]
address = "192.0.2.1"

[devices.gate]
address = "192.0.2.2"
labels = { room = "hall" }

[cameras.door]
url = "synthetic:"
device = "gate"

[capture.yard]

[capture.gate]
device = "gate"

[process.motion]
processors = ["motion"]
count = 2

[collect.recorder]
"""


def site_of(folder: Path, text: str) -> Site:
    path = folder / "mesh.toml"
    path.write_text(text)
    return read_site(path, NodeChecks())


def problems_of(folder: Path, text: str) -> list[str]:
    """What is wrong with a file, without its path."""
    try:
        site_of(folder, text)
    except SiteError as error:
        return [problem.partition("mesh.toml:")[2] for problem in error.problems]
    return []
