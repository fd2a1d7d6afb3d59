"""A broker-less mesh for camera frames. What scripts may rely on is what this module exports.

import mesh

with mesh.connect() as m:
    for frame in m.subscribe("raw"):
        print(frame.camera, frame.seq, frame.image.shape)
"""

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
