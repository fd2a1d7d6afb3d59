"""A real RTSP camera for tests: GstRtspServer in a process of its own, which can be killed and restarted.

    with RtspServer() as server:
        server.url("h264")                          # rtsp://127.0.0.1:PORT/h264
        server.url("secret", "user", "p@ss")        # wants USER and PASSWORD
        server.kill(); server.start()               # as after a power cut, on the same port

Mounts, all 320x240 at 15 frames per second: `h264`, `mjpeg`, and `secret` (H.264, with basic authentication,
on a port of its own, since GStreamer answers 404 where some mounts want a password and others do not).
The process runs with the system's Python, which has `gi`; it ends when its stdin does.
"""

import functools
import json
import subprocess
import sys
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

SYSTEM_PYTHON = "/usr/bin/python3"
USER, PASSWORD = "viewer", "sesam:offne@dich"
WIDTH, HEIGHT, FPS = 320, 240, 15

_PROBE = """
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
missing = [e for e in ("x264enc", "rtph264pay", "jpegenc", "rtpjpegpay") if not Gst.ElementFactory.find(e)]
if missing:
    raise SystemExit(f"GStreamer lacks {missing}")
"""


@functools.cache
def unavailable() -> str:
    """Why there can be no RTSP server on this machine; empty where there can."""
    try:
        done = subprocess.run([SYSTEM_PYTHON, "-c", _PROBE], capture_output=True, text=True, timeout=60)
    except OSError as error:
        return f"no {SYSTEM_PYTHON} for GstRtspServer: {error}"
    return "" if done.returncode == 0 else f"no GstRtspServer: {done.stderr.strip().splitlines()[-1]}"


class RtspServer:
    """The camera. A context manager: started on entry, killed and reaped on exit."""

    def __init__(self) -> None:
        self.port = self.secret_port = 0
        self._process: subprocess.Popen[str] | None = None

    def url(self, mount: str, user: str = "", password: str = "") -> str:
        """The address of a mount, with credentials percent-encoded where given."""
        userinfo = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
        port = self.secret_port if mount == "secret" else self.port
        return f"rtsp://{userinfo}127.0.0.1:{port}/{mount}"

    @property
    def pid(self) -> int:
        """The process that serves; for signals."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> None:
        """Start serving, on the ports of before if there were any; returns once it accepts connections."""
        command = [SYSTEM_PYTHON, __file__, str(self.port), str(self.secret_port)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.kill()
            raise RuntimeError(f"the RTSP server did not start on ports {self.port}, {self.secret_port}")
        self.port, self.secret_port = json.loads(line)["ports"]

    def kill(self) -> None:
        """End it at once, with nothing said to its clients."""
        if self._process is None:
            return
        with self._process:  # closes its pipes and reaps it
            self._process.kill()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def _serve(port: int, secret_port: int) -> None:
    import gi  # type: ignore[import-not-found,import-untyped,unused-ignore]  # Debian's, not the virtualenv's

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
        GLib,
        Gst,
        GstRtspServer,
    )

    Gst.init(None)
    servers = (
        _server(GstRtspServer, port, {"/h264": _H264, "/mjpeg": _MJPEG}),
        _server(GstRtspServer, secret_port, {"/secret": _H264}, _auth(GstRtspServer)),
    )
    if 0 in [server.attach(None) for server in servers]:
        raise SystemExit("a port is taken")
    loop = GLib.MainLoop()
    GLib.io_add_watch(0, GLib.PRIORITY_DEFAULT, GLib.IO_HUP, lambda *_: loop.quit())
    sys.stdout.write(json.dumps({"ports": [server.get_bound_port() for server in servers]}) + "\n")
    sys.stdout.flush()
    loop.run()


def _server(rtsp: Any, port: int, mounts: dict[str, str], auth: Any = None) -> Any:
    server = rtsp.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(port))
    for path, codec in mounts.items():
        server.get_mount_points().add_factory(path, _factory(rtsp, codec))
    if auth is not None:
        server.set_auth(auth)
    return server


_H264 = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0 pt=96"
_MJPEG = "jpegenc ! rtpjpegpay name=pay0 pt=26"


def _auth(rtsp: Any) -> Any:
    token = rtsp.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth = rtsp.RTSPAuth()
    auth.add_basic(rtsp.RTSPAuth.make_basic(USER, PASSWORD), token)
    return auth


def _factory(rtsp: Any, codec: str) -> Any:
    factory = rtsp.RTSPMediaFactory()
    caps = f"video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={FPS}/1"
    factory.set_launch(f"( videotestsrc is-live=true pattern=ball ! {caps} ! {codec} )")
    factory.set_shared(True)
    permissions = rtsp.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)
    return factory


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]))
