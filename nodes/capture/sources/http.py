"""Video over HTTP: MJPEG streams of cameras (multipart/x-mixed-replace), and whatever else FFmpeg opens.

Rules kept here: a stream without a length is live; a video file behind HTTP has one, and is paced by the
capture node like any file.
"""

from nodes.capture.sources.base import SourceOptions
from nodes.capture.sources.container import ContainerSource, Target
from nodes.capture.sources.failures import Origin
from nodes.capture.sources.redact import redact
from nodes.capture.sources.urls import address_of, network_url

# Without these FFmpeg reads twenty pictures to guess a frame rate that MJPEG over HTTP does not have.
_OPTIONS = {"fpsprobesize": "0", "analyzeduration": "1000000"}


def parse(url: str) -> Target:
    """What FFmpeg is to open. Raises `ConfigError` for a malformed URL."""
    full = network_url(url)
    return Target(full, Origin(redact(url), host=address_of(full)[0]), options=_OPTIONS)


def open_http(url: str, options: SourceOptions) -> ContainerSource:
    """The stream at `url`. Raises `SourceRefused` for a wrong password or path, else `SourceError`."""
    return ContainerSource(parse(url), options)
