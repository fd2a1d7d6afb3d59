"""A real MQTT broker (Debian's `mosquitto`), and somebody who listens there.

    with Mosquitto(folder) as broker, Listener(broker.port, "site/#") as listener:
        broker.hang(); broker.kill(); broker.start()  # as after a power cut, on the same port, with its data

Rules kept here: the port is a free one on loopback, its data is under `folder`; it is gone on exit.
"""

import contextlib
import shutil
import signal
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from mesh.ports import free_port
from tests.support.waiting import wait_for

BINARY = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


def require_mosquitto() -> None:
    """Skip the test where there is no broker, or no client of one."""
    if BINARY is None:
        pytest.skip("no mosquitto here: apt-get install mosquitto")
    pytest.importorskip("paho.mqtt", reason="no client of MQTT here: pip install 'framemesh[mqtt]'")


def let_in(file: Path, user: str, password: str) -> None:
    """Write a file of passwords, of that user alone."""
    file.write_text(f"{user}:{password}\n")
    subprocess.run(["mosquitto_passwd", "-U", str(file)], check=True)


class Mosquitto:
    """The broker. Anybody may come in, unless `options` (lines of its configuration) say otherwise."""

    def __init__(self, folder: Path, *options: str, anonymous: bool = True) -> None:
        self.port = free_port()
        self._store = folder / "mosquitto.db"
        self._config = folder / "mosquitto.conf"
        self._log = folder / "mosquitto.log"
        lines = [
            f"listener {self.port} 127.0.0.1",
            f"allow_anonymous {str(anonymous).lower()}",
            *("user root", "persistence true", f"persistence_location {folder}/", "log_dest stderr"),
            *options,
        ]
        self._config.write_text("\n".join(lines) + "\n")
        self._popen: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Mosquitto at {self.port} {'running' if self._popen else 'away'}>"

    def url(self, rest: str = "/site", user: str = "", scheme: str = "mqtt") -> str:
        return f"{scheme}://{user}127.0.0.1:{self.port}{rest}"

    def start(self) -> None:
        assert BINARY is not None
        with self._log.open("ab") as log:
            command = [BINARY, "-c", str(self._config)]
            self._popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self._answers, "the broker listens")

    def hang(self) -> None:
        """Stop it, as a machine that swaps would: its connections stay, and nothing answers."""
        assert self._popen is not None
        self._popen.send_signal(signal.SIGSTOP)
        status = Path(f"/proc/{self._popen.pid}/stat")
        wait_for(lambda: status.read_text().rpartition(")")[2].split()[0] == "T", "the broker stands")

    def go_on(self) -> None:
        assert self._popen is not None
        self._popen.send_signal(signal.SIGCONT)

    def save(self) -> None:
        """Have it write who listens, so that it knows after it was killed."""
        assert self._popen is not None
        self._store.unlink(missing_ok=True)
        self._popen.send_signal(signal.SIGUSR1)
        wait_for(self._store.exists, "the broker saved")

    def reload(self) -> None:
        """Have it read its files of passwords and rights again."""
        assert self._popen is not None
        self._popen.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """`kill -9`, and reap it."""
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait()
            self._popen = None

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _answers(self) -> bool:
        assert self._popen is not None
        assert self._popen.poll() is None, f"mosquitto ended: {self.log()}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if value is not None and self._log.exists():
            value.add_note(self.log())
        self.kill()


@dataclass(frozen=True)
class Heard:
    """A message as it came; `about` is what MQTT 5 told beside it."""

    topic: str
    payload: bytes
    retained: bool
    about: dict[str, str]


class Listener:
    """Somebody who subscribed, and whom the broker remembers while it or they are away."""

    def __init__(self, port: int, topic: str, name: str = "listener", qos: int = 1) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        self._lock = threading.Lock()
        self._heard: list[Heard] = []
        self._subscribed = threading.Event()
        remembered: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
        remembered.SessionExpiryInterval = 600
        self._client = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = self._take
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", port, 60, clean_start=False, properties=remembered)

    def heard(self, ending: str = "") -> list[Heard]:
        """What came so far, on topics that end so."""
        with self._lock:
            return [each for each in self._heard if each.topic.endswith(ending)]

    def _take(self, client: Any, _: Any, message: Any) -> None:
        about = dict(getattr(message.properties, "UserProperty", []))
        if hasattr(message.properties, "ContentType"):
            about["content_type"] = message.properties.ContentType
        with self._lock:
            self._heard.append(Heard(message.topic, message.payload, message.retain, about))

    def __enter__(self) -> Self:
        self._client.loop_start()
        wait_for(self._subscribed.is_set, "subscribed")
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
