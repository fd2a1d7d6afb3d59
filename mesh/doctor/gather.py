"""Everything that the checks judge, found out once.

Rules kept here: what can hang is asked aside or with a time limit; this machine and the site are looked at
at the same time; a registry that is away leaves what is of this machine.
"""

import errno
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.doctor.address import Where, is_numeric, resolved, servers_of, where
from mesh.doctor.aside import Answers, Question, ask_aside
from mesh.doctor.disk import SHARED, Local
from mesh.doctor.file import Written
from mesh.doctor.knock import knock
from mesh.doctor.permissions import REGISTRY, SECRETS, STATE, OwnFile
from mesh.doctor.reach import Reached, reach
from mesh.doctor.registry import Seen, look
from mesh.doctor.resources import Pointed, Resources
from mesh.doctor.site import Site
from mesh.doctor.starting import Starting
from mesh.doctor.versions import Versions
from mesh.place import this_place
from mesh.registry.persist import STATE_FILE
from mesh.registry.records import NodeRecord, NodeState
from mesh.scope import Scope


@dataclass(frozen=True, slots=True)
class Asked:
    """What the doctor is told.

    pointed:    the registry, and who said so
    timeout_s:  for each thing that is waited for
    folders:    folders of this machine, by what they are for: the spool, recordings
    secrets:    files of cameras' passwords
    has_secret, read_secrets, ffmpeg:  what only nodes know: whether a URL holds a password, what is in a file
                of secrets (raises `ConfigError`), and the version of FFmpeg
    file:       the site's file as it was found
    """

    pointed: Pointed
    timeout_s: float
    folders: Sequence[tuple[str, Path]]
    secrets: Sequence[Path]
    has_secret: Callable[[str], bool]
    read_secrets: Callable[[Path], object]
    ffmpeg: str
    file: Written | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found out, for checks to judge. `site` is None while the registry is away.

    host:      this machine's name
    addresses: what the hosts in nodes' endpoints were resolved to; empty for those that could not be
    ports:     the registry's addresses, each with why it was not reached, or nothing
    """

    asked: Asked
    host: str
    versions: Versions
    resources: Resources
    registry: Seen
    site: Site | None = None
    ports: dict[str, str] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    reached: Sequence[Reached] = ()
    folders: Sequence[Local] = ()
    files: Sequence[OwnFile] = ()

    @property
    def starting(self) -> Starting:
        """How what is missing gets to run again."""
        return Starting(self.asked.file, self.asked.pointed.url)


def gather(asked: Asked, clock: Clock = SYSTEM_CLOCK) -> Facts:
    """Look at this machine and at the site, each wait within the time limit."""
    machine: list[tuple[Sequence[Local], Sequence[OwnFile]]] = []
    with Scope("doctor") as scope:
        scope.spawn("machine", lambda: machine.append(_machine(asked)))
        seen, site, ports = _registry(asked, clock)
        addresses, reached = _nodes(asked, site, clock)
        state = _state(seen, asked)
        scope.join()
    folders, files = machine[0] if machine else ((), ())
    return Facts(
        asked=asked,
        host=socket.gethostname(),
        versions=Versions.here(asked.ffmpeg),
        resources=Resources.here(),
        registry=seen,
        site=site,
        ports=ports,
        addresses=addresses,
        reached=reached,
        folders=folders,
        files=[*files, *state],
    )


def _machine(asked: Asked) -> tuple[Sequence[Local], Sequence[OwnFile]]:
    """The folders and files of this machine."""
    folders = [*((what, str(path.absolute())) for what, path in asked.folders), ("shared memory", SHARED)]
    files = [(SECRETS, str(path)) for path in asked.secrets]
    files += [(REGISTRY, str(path)) for path in _files_of(asked.pointed.url)]
    questions: list[Question] = [("folder", path) for _, path in folders] + [("file", p) for _, p in files]
    answers, limit = ask_aside(questions, asked.timeout_s), asked.timeout_s
    return (
        [Local.of(what, path, answers.get(("folder", path)), limit) for what, path in folders],
        [_file(what, path, answers, asked) for what, path in files if not _is_new(what, path, answers)],
    )


def _file(what: str, path: str, answers: Answers, asked: Asked) -> OwnFile:
    read = asked.read_secrets if what == SECRETS else None
    return OwnFile.of(what, path, answers.get(("file", path)), asked.timeout_s, read)


def _is_new(what: str, path: str, answers: Answers) -> bool:
    """Whether a registry's file is not there because nothing was configured yet."""
    error = answers.get(("file", path), {}).get("error")
    return what == REGISTRY and error == os.strerror(errno.ENOENT)


def _files_of(registry_url: str) -> Sequence[Path]:
    scheme, _, rest = registry_url.partition(":")
    if scheme != "file" or not rest:
        return ()
    path = Path(rest.removeprefix("//")).absolute()
    return path, path.with_name(f"{path.name}.live")


def _registry(asked: Asked, clock: Clock) -> tuple[Seen, Site | None, dict[str, str]]:
    """The registry, what is in it, and whether its ports are reached."""
    url, limit = asked.pointed.url, asked.timeout_s
    addresses = _resolve((server.host for server in servers_of(url)), limit)
    unknown = sorted(host for host, address in addresses.items() if not address)
    if unknown:
        return Seen(url, away=f"the name {', '.join(unknown)} is not known here"), None, {}
    folders: set[Question] = {("folder", str(path.parent)) for path in _files_of(url)}
    if folders - ask_aside(folders, limit).keys():
        return Seen(url, away=f"its disk does not answer within {limit:g} s"), None, {}
    seen, site = look(resolved(url, addresses), url, limit, clock)
    return seen, site, {} if site is None else _ports(url, addresses, limit, clock)


def _state(seen: Seen, asked: Asked) -> Sequence[OwnFile]:
    """What the registry's server keeps, where that is on this machine."""
    about = seen.about
    if about is None or about.host != socket.gethostname():
        return ()
    paths = [f"{folder.path}/{STATE_FILE}" for folder in about.folders]
    answers = ask_aside([("file", path) for path in paths], asked.timeout_s)
    return [OwnFile.of(STATE, path, answers.get(("file", path)), asked.timeout_s) for path in paths]


def _ports(url: str, addresses: Mapping[str, str], limit: float, clock: Clock) -> dict[str, str]:
    """Whether the registry's ports are reached: the two of a server, one of each member of a cluster."""
    offsets = (0, 1) if url.startswith("tcp:") else (0,)
    places = [Where(server.host, server.port + more) for server in servers_of(url) for more in offsets]
    tried = {str(place): f"tcp://{Where(addresses[place.host], place.port)}" for place in places}
    found = knock(tried.values(), limit, clock)
    return {shown: found[endpoint] for shown, endpoint in tried.items()}


def _nodes(asked: Asked, site: Site | None, clock: Clock) -> tuple[Mapping[str, str], Sequence[Reached]]:
    """What the hosts of the nodes' endpoints are resolved to, and how each node is reached."""
    if site is None:
        return {}, ()
    endpoints = (endpoint for node in site.live for endpoint in node.endpoints.values())
    places = [place for endpoint in endpoints if (place := where(endpoint)) is not None]
    addresses = _resolve((place.host for place in places), asked.timeout_s)
    reached: Sequence[Reached] = reach(site.live, addresses, this_place(), asked.timeout_s, clock)
    if any(one.trouble for one in reached):
        reached = _looked_at_again(reached, asked, clock)
    return addresses, reached


def _looked_at_again(reached: Sequence[Reached], asked: Asked, clock: Clock) -> Sequence[Reached]:
    """Whoever ended properly meanwhile, or started anew, is in no trouble."""
    url, limit = asked.pointed.url, asked.timeout_s
    addresses = _resolve((server.host for server in servers_of(url)), limit)
    _, site = look(resolved(url, addresses), url, limit, clock)
    now = {node.id: node for node in site.nodes} if site is not None else {}
    return [replace(one, moved_on=_has_moved_on(one.node, now.get(one.node.id))) for one in reached]


def _has_moved_on(node: NodeRecord, now: NodeRecord | None) -> bool:
    return now is not None and (now.state is NodeState.ENDED or now.started_ns != node.started_ns)


def _resolve(hosts: Iterable[str], limit: float) -> dict[str, str]:
    """Each host's address; empty where its name is not known, or the name server does not answer."""
    names = set(hosts)
    asked: set[Question] = {("name", host) for host in names if not is_numeric(host)}
    answers = ask_aside(asked, limit)
    return {
        host: host if is_numeric(host) else str(answers.get(("name", host), {}).get("address", ""))
        for host in sorted(names)
    }
