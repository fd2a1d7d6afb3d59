"""A network camera over RTSP, in TCP.

Rules kept here: TCP alone, since a lost UDP packet smears the picture until the next keyframe; the video
track alone is asked for, so that sound cannot hide a picture that stands still.
"""

from nodes.capture.sources.base import SourceOptions
from nodes.capture.sources.container import ContainerSource, Target
from nodes.capture.sources.failures import Origin
from nodes.capture.sources.urls import address_of, network_url
from nodes.redact import redact

# FFmpeg reads ahead to guess the frame rate, which delays the first picture; a second has to do.
_OPTIONS = {
    "rtsp_transport": "tcp",
    "allowed_media_types": "video",
    "analyzeduration": "1000000",
}


def parse(url: str) -> Target:
    """What FFmpeg is to open. Raises `ConfigError` for a malformed URL."""
    full = network_url(url)
    return Target(full, Origin(redact(url), host=address_of(full)[0]), format="rtsp", options=_OPTIONS)


def open_rtsp(url: str, options: SourceOptions) -> ContainerSource:
    """The camera at `url`. Raises `SourceRefused` for a wrong password or path, else `SourceError`."""
    return ContainerSource(parse(url), options)
