"""Real etcd servers (Debian's `etcd-server`): one, or a cluster of three on this machine.

    with Etcd(folder, members=3) as etcd:
        registry = open_registry(etcd.url)
        etcd.leader().kill()

Rules kept here: ports are free ones, data is under `folder`; every server is gone on exit; heartbeats and
elections are quick, so that a lease of one second lasts one second, and no test waits long for a new leader.
"""

import contextlib
import itertools
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from mesh.ports import free_port
from tests.support.waiting import WITHIN_S, wait_for

BINARY = shutil.which("etcd")
LOG_CHARACTERS_SHOWN = 3000
HEARTBEAT_MS = 50
ELECTION_MS = 500
STATUS_S = 5.0  # a member that hangs is left for another one

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_prefixes = itertools.count()


def require_etcd() -> None:
    """Skip the test where there is no etcd, or no client of it."""
    if BINARY is None:
        pytest.skip("no etcd here: apt-get install etcd-server")
    pytest.importorskip("etcd3gw", reason="no client of etcd here: pip install 'framemesh[etcd]'")


class Member:
    """One server, that may be killed and started again with its data."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.port, self.peer_port = free_port(), free_port()
        self._popen: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Member {self.name} at {self.port} {'running' if self.running else 'away'}>"

    @property
    def peer(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"

    @property
    def running(self) -> bool:
        return self._popen is not None

    def start(self, cluster: str, options: Sequence[str] = ()) -> None:
        assert BINARY is not None
        client = f"http://127.0.0.1:{self.port}"
        command = [
            *(BINARY, "--name", self.name, "--data-dir", str(self.folder / self.name)),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer),
            *("--initial-cluster", cluster, "--heartbeat-interval", str(HEARTBEAT_MS)),
            *("--election-timeout", str(ELECTION_MS), "--log-level", "error", *options),
        ]
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self._popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self) -> None:
        """`kill -9`, and reap it."""
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait()
            self._popen = None

    def call(self, path: str, *, within: float = WITHIN_S, **body: Any) -> dict[str, Any]:
        """What it answers. Raises `OSError` when it does not."""
        data = json.dumps(body).encode()
        with _direct.open(f"http://127.0.0.1:{self.port}/v3/{path}", data, timeout=within) as reply:
            return json.load(reply)  # type: ignore[no-any-return]  # a test reads it

    def status(self) -> dict[str, Any]:
        """Its status; empty while it does not answer."""
        if self._popen is None:
            return {}
        assert self._popen.poll() is None, f"etcd has ended: {self.log()}"
        try:
            return self.call("maintenance/status", within=STATUS_S)
        except OSError:
            return {}

    def log(self) -> str:
        """The end of what it has logged."""
        return (self.folder / f"{self.name}.log").read_text(errors="replace")[-LOG_CHARACTERS_SHOWN:]


class Etcd:
    """A cluster that lives as long as the `with` block. `options` are added to each member's command."""

    def __init__(self, folder: Path, members: int = 1, options: Sequence[str] = ()) -> None:
        self._options = options
        folder.mkdir(parents=True, exist_ok=True)
        self.members = [Member(f"etcd{number}", folder) for number in range(members)]

    @property
    def url(self) -> str:
        """The address of a mesh of its own in it."""
        return f"etcd://{','.join(f'127.0.0.1:{each.port}' for each in self.members)}/test-{next(_prefixes)}"

    def start(self, member: Member) -> None:
        member.start(",".join(f"{each.name}={each.peer}" for each in self.members), self._options)

    def leader(self) -> Member:
        """The member that leads, once there is one."""
        found = wait_for(self._leader, "etcd has a leader")
        assert found is not None
        return found

    def compact(self) -> None:
        """Have etcd forget every change but the latest."""
        leader = self.leader()
        revision = leader.call("maintenance/status")["header"]["revision"]
        leader.call("kv/compaction", revision=revision, physical=True)

    def _leader(self) -> Member | None:
        for member in self.members:
            status = member.status()
            if status and status.get("leader") == status["header"]["member_id"]:
                return member
        return None

    def __enter__(self) -> Self:
        try:
            for member in self.members:
                self.start(member)
            self.leader()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        for member in self.members:
            with contextlib.suppress(ProcessLookupError):
                member.kill()
