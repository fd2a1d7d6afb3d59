"""Video over HTTP: MJPEG streams of cameras (multipart/x-mixed-replace), and whatever else FFmpeg opens.

Rules kept here: what answers is asked once what it has: an MJPEG stream is read here, at a fraction of what
FFmpeg's takes; everything else, and what does not speak HTTP as we do, is opened anew by FFmpeg. A stream
without a length is live; a video file behind HTTP has one, and is paced by the capture node like any file.
"""

from urllib.request import getproxies, proxy_bypass

from nodes.capture.sources.base import Source, SourceOptions
from nodes.capture.sources.container import ContainerSource, Target
from nodes.capture.sources.exchange import NotHttp, Response, get
from nodes.capture.sources.failures import Origin, broken_off, refused_with, stalled, stopped
from nodes.capture.sources.mjpeg import MjpegSource, is_mjpeg
from nodes.capture.sources.urls import address_of, network_url
from nodes.connection import Ended, Patience
from nodes.redact import redact

# Without these FFmpeg reads twenty pictures to guess a frame rate that MJPEG over HTTP does not have.
_OPTIONS = {"fpsprobesize": "0", "analyzeduration": "1000000"}
_FAILED = 400  # and above


def parse(url: str) -> Target:
    """What is to be opened. Raises `ConfigError` for a malformed URL."""
    full = network_url(url)
    return Target(full, Origin(redact(url), host=address_of(full)[0]), options=_OPTIONS)


def open_http(url: str, options: SourceOptions) -> Source:
    """The stream at `url`. Raises `SourceRefused` for a wrong password or path, else `SourceError`."""
    target = parse(url)
    response = None if _is_proxied(target.origin.host) else _ask(target, options)
    if response is not None and is_mjpeg(response):
        return MjpegSource(response, target.origin, options)
    if response is not None:
        response.connection.close()
        if response.status >= _FAILED:
            raise refused_with(target.origin, response.status)
    return ContainerSource(target, options)


def _ask(target: Target, options: SourceOptions) -> Response | None:
    """The answer; None from what does not speak HTTP as we do. Raises `SourceError`."""
    clock, stall_s = options.clock, options.stall_s
    try:
        return get(target.url, Patience(clock, clock.monotonic() + stall_s, options.stop.is_set))
    except NotHttp:
        return None
    except Ended:
        raise stopped(target.origin) from None
    except TimeoutError as error:
        raise stalled(target.origin, stall_s) from error
    except OSError as error:
        raise broken_off(target.origin, error) from error


def _is_proxied(host: str) -> bool:
    """Whether the environment names a proxy for `host`, which FFmpeg then asks."""
    return "http" in getproxies() and not proxy_bypass(host)
