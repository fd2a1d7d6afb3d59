"""A broker-less mesh for camera frames. What scripts may rely on is what this module exports.

import mesh

with mesh.connect() as m:
    for frame in m.subscribe("raw"):
        print(frame.camera, frame.seq, frame.image.shape)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesh.client import Mesh, NoFrame, Subscription, connect, subscribe
    from mesh.errors import (
        ConfigError,
        Conflict,
        DecodeError,
        MeshError,
        ProcessorError,
        RegistryError,
        RegistryUnavailable,
        SourceError,
        StorageError,
        TransportError,
        WireError,
    )
    from mesh.frame import Codec, Detection, EndOfStream, Frame, Hop
    from mesh.publication import Publication, publish
    from mesh.recordings.reading import Recordings, open_recordings

__all__ = [
    "Codec",
    "ConfigError",
    "Conflict",
    "DecodeError",
    "Detection",
    "EndOfStream",
    "Frame",
    "Hop",
    "Mesh",
    "MeshError",
    "NoFrame",
    "ProcessorError",
    "Publication",
    "Recordings",
    "RegistryError",
    "RegistryUnavailable",
    "SourceError",
    "StorageError",
    "Subscription",
    "TransportError",
    "WireError",
    "connect",
    "open_recordings",
    "publish",
    "subscribe",
]

# Where each is. It is imported when it is asked for: a registry is of this package, too, and needs no pixels.
_PLACES = {
    "mesh.client": "Mesh NoFrame Subscription connect subscribe",
    "mesh.errors": "ConfigError Conflict DecodeError MeshError ProcessorError RegistryError "
    "RegistryUnavailable SourceError StorageError TransportError WireError",
    "mesh.frame": "Codec Detection EndOfStream Frame Hop",
    "mesh.publication": "Publication publish",
    "mesh.recordings.reading": "Recordings open_recordings",
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _PLACE_OF:
        raise AttributeError(f"module 'mesh' has no {name!r}")
    return getattr(import_module(_PLACE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
