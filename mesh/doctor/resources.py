"""Whether this machine lets a mesh of this size work, and whether this shell points at the registry meant."""

import resource
from collections.abc import Iterator
from dataclasses import dataclass

from mesh.doctor.findings import Finding, note, ok, warning
from mesh.doctor.site import Site

CHECK = "resources"
FILES_FOR_ONE_NODE = 4  # at the registry: two connections, and as many for a client that comes and goes
FILES_FOR_ITSELF = 256


@dataclass(frozen=True, slots=True)
class Resources:
    """What this process may have. `open_files` is what it can raise its limit to: `mesh registry` does."""

    open_files: int

    @classmethod
    def here(cls) -> "Resources":
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return cls(2**31 if hard == resource.RLIM_INFINITY else hard)


@dataclass(frozen=True, slots=True)
class Pointed:
    """Which registry was looked at, and what named it: "--registry", a site's file, or nothing; `environment`
    is what MESH_REGISTRY says."""

    url: str
    given: str
    environment: str = ""

    @property
    def by(self) -> str:
        if self.given:
            return f"as {self.given} says"
        return "as MESH_REGISTRY says" if self.environment else "the default"


def judge_files(resources: Resources, site: Site | None) -> Finding:
    nodes = len(site.live) if site is not None else 0
    wanted = FILES_FOR_ITSELF + FILES_FOR_ONE_NODE * nodes
    if resources.open_files < wanted:
        return warning(
            CHECK,
            "open files",
            f"a process may have {resources.open_files} files open here; a registry for {nodes} nodes wants "
            f"{wanted}",
            f"raise the limit where it is started: `ulimit -Hn {wanted}`, LimitNOFILE={wanted} (systemd)",
        )
    return ok(CHECK, "open files", f"a process may have {resources.open_files} files open here")


def judge_pointed(pointed: Pointed) -> Finding:
    if pointed.given and pointed.environment not in ("", pointed.url):
        return note(
            CHECK,
            "environment",
            f"MESH_REGISTRY is {pointed.environment}, another one than {pointed.given} says, {pointed.url}: "
            "what is started in this shell without --registry goes there",
            f"export MESH_REGISTRY={pointed.url}",
        )
    return ok(CHECK, "environment", f"the registry is {pointed.url}, {pointed.by}")


def judge(resources: Resources, pointed: Pointed, site: Site | None) -> Iterator[Finding]:
    yield judge_files(resources, site)
    yield judge_pointed(pointed)
