"""Hosts as network namespaces, joined by a bridge in a namespace of its own, for tests of what networks do.

    with Network("a", "b") as network:
        with network["a"]:
            processes.start(...)  # lives on host a
        with network["a"].silent(network["b"]):
            ...                   # packets between the two are dropped

Rules kept here: nothing is made outside of namespaces that the test made, and all of them are removed,
whatever happens; where they cannot be made the test skips and says why. Needs root, iproute2 and iptables.
"""

import contextlib
import ctypes
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

CLONE_NEWNET = 0x40000000
SUBNET = "192.0.2"  # TEST-NET-1 (RFC 5737)
TOOLS = ("ip", "tc", "iptables")
IPTABLES = ("iptables", "--wait")  # one at a time on a machine, whatever the namespace


def why_not() -> str:
    """Why namespaces cannot be made here; empty where they can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "making network namespaces takes root"
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"not installed: {', '.join(missing)} (Debian: iproute2, iptables)"
    probe = f"mesh-{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"network namespaces cannot be made here: {made.stderr.strip()}"
    _run("ip", "netns", "del", probe)
    return ""


class Host:
    """One namespace, with a loopback and `eth0`.

    `with host:` moves this thread into it, and so what it starts there: processes, threads, sockets.
    """

    def __init__(self, name: str, namespace: str, address: str) -> None:
        self.name, self.namespace, self.address = name, namespace, address
        self._home: list[int] = []

    def __repr__(self) -> str:
        return f"<Host {self.name} at {self.address}>"

    def __enter__(self) -> Self:
        self._home.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        _enter(Path("/run/netns") / self.namespace)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        home = self._home.pop()
        try:
            _enter(Path(f"/proc/self/fd/{home}"))
        finally:
            os.close(home)

    def lossy(self, percent: float) -> None:
        """Lose so many of the packets that come in, at random."""
        chance = ("-m", "statistic", "--mode", "random", "--probability", str(percent / 100))
        self._here(*IPTABLES, "-A", "INPUT", "-i", "eth0", *chance, "-j", "DROP")

    def slow(self, rate: str) -> None:
        """Send no faster than `rate`, such as `2mbit`; at most 400 ms of packets wait."""
        self._here(
            "tc",
            "qdisc",
            "add",
            "dev",
            "eth0",
            "root",
            "tbf",
            "rate",
            rate,
            "burst",
            "32kb",
            "latency",
            "400ms",
        )

    @contextlib.contextmanager
    def silent(self, other: "Host") -> Iterator[None]:
        """Drop every packet between this host and another without a word."""
        rules = [("INPUT", "-s", other.address, "-j", "DROP"), ("OUTPUT", "-d", other.address, "-j", "DROP")]
        for rule in rules:
            self._here(*IPTABLES, "-I", *rule)
        try:
            yield
        finally:
            for rule in rules:
                self._here(*IPTABLES, "-D", *rule)

    def _here(self, *command: str) -> None:
        _run("ip", "netns", "exec", self.namespace, *command)


class Network:
    """Hosts by name. Their processes have to be gone when the `with` block ends."""

    def __init__(self, *names: str) -> None:
        if reason := why_not():
            pytest.skip(reason)
        mark = f"mesh-{secrets.token_hex(3)}"
        self._lan = f"{mark}-lan"
        self._hosts = {
            name: Host(name, f"{mark}-{name}", f"{SUBNET}.{number}") for number, name in enumerate(names, 1)
        }
        self._made: list[str] = []

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def __enter__(self) -> Self:
        try:
            self._make(self._lan)
            _run("ip", "-n", self._lan, "link", "add", "bridge", "type", "bridge")
            _run("ip", "-n", self._lan, "link", "set", "bridge", "up")
            for host in self._hosts.values():
                self._join(host)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._made:
            _run("ip", "netns", "del", self._made.pop())

    @contextlib.contextmanager
    def unplugged(self, host: Host) -> Iterator[None]:
        """Pull a host's cable: its link has no carrier."""
        port = ("ip", "-n", self._lan, "link", "set", f"to-{host.name}")
        _run(*port, "down")
        try:
            yield
        finally:
            _run(*port, "up")

    def _make(self, namespace: str) -> None:
        _run("ip", "netns", "add", namespace)
        self._made.append(namespace)
        _run("ip", "-n", namespace, "link", "set", "lo", "up")

    def _join(self, host: Host) -> None:
        self._make(host.namespace)
        port = f"to-{host.name}"
        pair = ("type", "veth", "peer", "name", "eth0", "netns", host.namespace)
        _run("ip", "-n", self._lan, "link", "add", port, *pair)
        _run("ip", "-n", self._lan, "link", "set", port, "master", "bridge", "up")
        _run("ip", "-n", host.namespace, "address", "add", f"{host.address}/24", "dev", "eth0")
        _run("ip", "-n", host.namespace, "link", "set", "eth0", "up")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"


def _enter(namespace: Path) -> None:
    """Move this thread to a network namespace (Python has `os.setns` from 3.12 on)."""
    fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    finally:
        os.close(fd)
