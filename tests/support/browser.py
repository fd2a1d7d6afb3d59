"""A browser that plays a film: Debian's chromium without a window, and the server that it takes it from.

Rules kept here: the film goes over HTTP in the ranges that the browser asks for, as it does from any server;
what the browser saw it tells the server itself; it is gone on exit, with all of its processes. Where there is
no chromium, the test is skipped and says so.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mesh.scope import Scope
from tests.support.waiting import wait_for

PLAY_FROM = 0.5  # of the film's length
PAGE = f"""<!doctype html><video muted src="/film"></video><script>
const video = document.querySelector("video")
const tell = what => fetch("/told", {{method: "POST", body: JSON.stringify(what)}})
video.onerror = () => tell({{error: video.error.message}})
video.onloadedmetadata = () => video.currentTime = {PLAY_FROM} * video.duration
video.onseeked = () => {{
  const from = video.currentTime
  video.ontimeupdate = () => video.currentTime > from + 0.2 && tell({{
    duration: video.duration, width: video.videoWidth, height: video.videoHeight,
    from: from, played: video.currentTime - from}})
  video.play()
}}
</script>"""
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
)


def played(film: Path, folder: Path) -> dict[str, Any]:
    """What a browser says of a film: `duration` in seconds, `width`, `height`, `from` where it began to play,
    how many seconds it `played`; or `error`."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium here (Debian: chromium)")
    told: list[dict[str, Any]] = []
    with _served(film, told) as url, _started(chromium, url, folder):
        return wait_for(lambda: told, "the browser plays the film", 90)[0]


@contextmanager
def _served(film: Path, told: list[dict[str, Any]]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, film, told))
    server.daemon_threads = False
    with Scope("film") as scope:
        scope.on_stop(server.shutdown)
        scope.spawn("serve", server.serve_forever, 0.05)
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            scope.stop()
            scope.join()
            server.server_close()


@contextmanager
def _started(chromium: str, url: str, folder: Path) -> Iterator[None]:
    command = [chromium, *OPTIONS, f"--user-data-dir={folder / 'profile'}", url]
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    except BaseException as error:
        error.add_note((folder / "chromium.log").read_text(errors="replace")[-3000:])
        raise
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        wait_for(lambda: not _runs(process.pid), "the browser has gone")


def _runs(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, film: Path, told: list[dict[str, Any]], *arguments: Any) -> None:
        self._film, self._told = film, told
        super().__init__(*arguments)

    def do_GET(self) -> None:
        if self.path == "/":
            self._answer(200, PAGE.encode(), "text/html")
        elif self.path == "/film":
            self._send_film()
        else:
            self._answer(404, b"", "text/plain")

    def do_POST(self) -> None:
        self._told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(204, b"", "text/plain")

    def _send_film(self) -> None:
        data = self._film.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._answer(200, data, "video/mp4", {"Accept-Ranges": "bytes"})
            return
        first, last = int(asked[1]), int(asked[2] or len(data) - 1)
        part = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        self._answer(206, data[first : last + 1], "video/mp4", part)

    def _answer(self, code: int, body: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:  # the browser has enough of it
            self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: what matters is told."""
