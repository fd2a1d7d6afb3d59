"""The errors of the mesh: one small tree that says whose fault a failure is.

Every error carries one line that says what is wrong and, where a person can act, what to do.
The command line prints that line and nothing else; scripts catch `MeshError` or a branch of it.
"""


class MeshError(Exception):
    """Anything that the mesh raises on purpose. `exit_code` is what a command ends with."""

    exit_code = 1


class ConfigError(MeshError):
    """Yours: a command line, an option or a configuration is wrong."""

    exit_code = 2


class WireError(MeshError):
    """The peer's: bytes that break `docs/WIRE.md`. Counted and refused, never fatal."""


class DecodeError(WireError):
    """The peer's: an image whose bytes do not decode to what its header promised."""


class TransportError(MeshError):
    """The network's: a socket could not be bound, connected or used."""


class SourceError(MeshError):
    """The camera's: a source could not be opened or stopped giving frames."""


class SourceRefused(SourceError):
    """The camera's, and trying again will not help: wrong credentials, no such file, no such device."""


class ProcessorError(MeshError):
    """The processor's: it raised, or returned something that is not a frame."""


class StorageError(MeshError):
    """The disk's: full, read-only, or holding something that cannot be read."""


class RegistryError(MeshError):
    """The registry's: it refused a request."""


class Conflict(RegistryError):
    """Another writer was first: the entry is not at the revision that was expected."""


class LeaseExpired(RegistryError):
    """The lease is gone: it ran out, or the registry restarted without it."""


class RegistryUnavailable(TransportError):
    """The registry does not answer."""
