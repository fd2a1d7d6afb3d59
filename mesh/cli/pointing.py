"""Which registry a command means: --registry's, else MESH_REGISTRY's, else that of the site's file in this
folder, else the usual one.

Rules kept here: all commands mean the same one, nodes that are started by hand too: in a site's folder they
are the site's, as `mesh ls` beside them shows; when it does not answer, it is said whose it is.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mesh import client
from mesh.errors import RegistryUnavailable

DEFAULT_FILE = Path("mesh.toml")


@dataclass(frozen=True, slots=True)
class Meant:
    """A registry. `site` says that the file in this folder has it, `is_run` that its `mesh up` runs it; and
    `fault` why that file was of no use."""

    url: str
    site: bool = False
    is_run: bool = False
    fault: str = ""

    def told(self, error: RegistryUnavailable) -> str:
        """Why it is not reached, and whose it is."""
        if self.is_run:
            return (
                f"no registry answers at {self.url}, where {DEFAULT_FILE} in this folder has it: `mesh up` "
                "runs it; another one is named by --registry or MESH_REGISTRY"
            )
        if self.site:
            return f"{error} ({DEFAULT_FILE} in this folder says that it is there)"
        return f"{error} ({self.fault})" if self.fault else str(error)


def meant(registry: str | None) -> Meant:
    """The one that a command means that was given `registry`. A file that does not say it in a way that can
    be read is passed over."""
    if registry or os.environ.get("MESH_REGISTRY") or not is_there(DEFAULT_FILE):
        return Meant(client.registry_url(registry))
    from mesh.site.problems import SiteError
    from mesh.site.reading import registry_of

    try:
        url, is_run = registry_of(DEFAULT_FILE)
    except SiteError as error:
        return Meant(client.registry_url(), fault=f"that of the site here is not known: {error}")
    return Meant(url, site=True, is_run=is_run)


def is_there(file: Path) -> bool:
    """Whether there is such a file, as far as that can be told: none is in a folder that is closed to us."""
    return os.path.exists(file)


def registry_url(registry: str | None) -> str:
    """Its URL."""
    return meant(registry).url


@contextmanager
def telling(registry: str | None) -> Iterator[None]:
    """Have a registry that does not answer told with whose it is."""
    try:
        yield
    except RegistryUnavailable as error:
        raise RegistryUnavailable(meant(registry).told(error)) from error


@contextmanager
def connect(registry: str | None, *, timeout: float = 3.0) -> Iterator[client.Mesh]:
    """A mesh, as `mesh.client.connect` gives it. Raises as that does."""
    with telling(registry), client.connect(registry_url(registry), timeout=timeout) as mesh:
        yield mesh
