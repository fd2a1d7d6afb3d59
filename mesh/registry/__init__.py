"""The registry: a small store of keys with leases, watched by prefix, behind one protocol.

`open_registry` gives a client of any backend; `Session` is how a node stands in it.
"""

from pathlib import Path

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ConfigError
from mesh.registry.about import About, Folder
from mesh.registry.base import Change, Delete, Entry, Event, Put, Registry, Synced, Value, Watch
from mesh.registry.session import Session, Taken

__all__ = [
    "About",
    "Change",
    "Delete",
    "Entry",
    "Event",
    "Folder",
    "Put",
    "Registry",
    "Session",
    "Synced",
    "Taken",
    "Value",
    "Watch",
    "open_registry",
]


def open_registry(url: str, *, clock: Clock = SYSTEM_CLOCK, timeout: float = 3.0) -> Registry:
    """A client of the registry at `url`: `tcp://HOST:PORT`, `etcd://HOST:PORT[,HOST:PORT…][/PREFIX]`,
    `file:PATH` or `memory:NAME`.

    `clock` times the leases of `file:` and `memory:`; a server has its own. A call waits `timeout` seconds
    for a server. Raises `ConfigError` when `url` is none of these, its file cannot be used, or the packages
    for it are not there.
    """
    scheme, colon, rest = url.partition(":")
    # A backend's libraries are imported only where it is used.
    match scheme:
        case "memory" if colon:
            from mesh.registry.memory import MemoryRegistry

            return MemoryRegistry(rest, clock)
        case "file" if rest:
            from mesh.registry.file import FileRegistry

            return FileRegistry(Path(rest.removeprefix("//")), clock)
        case "tcp" if rest.startswith("//"):
            from mesh.registry.remote import RemoteRegistry

            return RemoteRegistry(url, timeout)
        case "etcd" if rest.startswith("//"):
            return _open_etcd(url, timeout)
    raise ConfigError(
        f"{url!r} is not a registry: use tcp://HOST:PORT, etcd://HOST:PORT,…, file:PATH or memory:NAME"
    )


def _open_etcd(url: str, timeout: float) -> Registry:
    try:
        from mesh.registry.etcd import EtcdRegistry
    except ModuleNotFoundError as error:
        raise ConfigError(f"{url} needs the package {error.name}: pip install 'framemesh[etcd]'") from error
    return EtcdRegistry(url, timeout)
