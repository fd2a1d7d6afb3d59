"""Fault 6: packets are lost, links are slow, hosts are cut off from one another, with and without a word."""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.e2e.site import check_recording
from tests.faults.chain import CAMERA, STAGE, Chain
from tests.faults.figures import LONG, row
from tests.support.hosts import Network
from tests.support.waiting import wait_for

FPS = 20 if LONG else 10
PARTITION_S = 10.0 if LONG else 3.0
RECOVERS_WITHIN_S = 60.0
LOSS_PERCENT = 1.0
WAY = ["in a", "a -> b", "in b", "b -> c", "in c", "c -> d", "in d"]
RATE = "8mbit" if LONG else "4mbit"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def network() -> Iterator[Network]:
    with Network("a", "b", "c", "d") as network:
        yield network


def connections(pid: int, kind: str) -> list[list[str]]:
    """The rows of /proc/net/KIND in a process's network namespace."""
    return [line.split() for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]]


def tcp_peers(pid: int) -> set[str]:
    """Addresses to which a process's host has established TCP connections."""
    remotes = (row[2].partition(":")[0] for row in connections(pid, "tcp") if row[3] == "01")
    return {".".join(str(byte) for byte in reversed(bytes.fromhex(remote))) for remote in remotes}


def traced(chain: Chain) -> list[str]:
    """The hops of the chain that two seconds' frames took; fewer while few come through."""
    done = chain.run("trace", CAMERA, "--seconds", 2)
    hops = [line.split("\t")[1] for line in done.out.splitlines() if line.startswith("hops")]
    return [hop for hop in hops if hop in WAY]


def ipc_peers(pid: int, endpoint: str) -> int:
    """Connections that a process's host has at an `ipc://@NAME` endpoint."""
    name = endpoint.removeprefix("ipc://")
    return sum(row[5] == "03" and row[-1] == name for row in connections(pid, "unix"))


def test_a_chain_over_four_hosts_carries_identity_and_time_to_the_end(
    tmp_path: Path, network: Network
) -> None:
    with Chain(tmp_path, network, fps=10) as chain:
        chain.begin("--input", "raw")
        chain.on("a", "process", "passthrough", "--no-push", name="near")
        chain.wait_for(lambda: chain.count(CAMERA)["groups"]["passthrough"]["processed"] > 3, "near works")

        (raw,) = [s for s in chain.mesh.streams() if (s.stage, s.relay) == ("raw", False)]
        on_a, on_b = chain.source.popen.pid, chain.first.popen.pid
        wait_for(lambda: ipc_peers(on_a, raw.local) == 1, "the processor beside the camera is connected here")
        assert raw.endpoint.startswith(f"tcp://{chain.hosts['a'].address}:")
        others = {chain.hosts["a"].address, chain.hosts["c"].address}
        wait_for(lambda: tcp_peers(on_b) == others, "its neighbours in the chain are connected to b")
        assert ipc_peers(on_b, raw.local) == 0
        assert len({node.place for node in chain.mesh.nodes()}) == 4

        wait_for(lambda: traced(chain) == WAY, "frames are traced on their way")

        chain.finish()
        ledger = chain.count(CAMERA)
        assert ledger["unaccounted"] == 0
        assert chain.collector.stop() == 0
        raw_lines = {line["seq"]: line for line in chain.lines(CAMERA, "raw")}
        lines = check_recording(chain, CAMERA, STAGE)
        assert len(lines) == ledger["groups"][STAGE]["results"]
        for line in lines:
            assert [hop[0] for hop in line["hops"]] == ["a", "b", "c", "d"]
            assert line["hops"][0][1] == line["captured_ns"]
            assert all(received <= sent for _, received, sent in line["hops"])
            origin = raw_lines.get(line["seq"])
            assert origin is None or (origin["boot"], origin["captured_ns"]) == (
                line["boot"],
                line["captured_ns"],
            )
        assert len(raw_lines) > len(lines) / 2


def test_a_chain_recovers_from_partitions_and_its_results_are_exact(tmp_path: Path, network: Network) -> None:
    b, c, d = (network[name] for name in "bcd")
    with Chain(tmp_path, network, FPS) as chain:
        chain.begin()
        for host in (b, c, d):
            host.lossy(LOSS_PERCENT)
        for host in (b, c):
            host.slow(RATE)
        recovery = {
            "b-c silent": recovered(chain, c.silent(b), PARTITION_S),
            "c-d silent": recovered(chain, d.silent(c), PARTITION_S),
            "c unplugged": recovered(chain, network.unplugged(c), PARTITION_S),
            "d unplugged": recovered(chain, network.unplugged(d), PARTITION_S),
        }
        if LONG:  # long enough for TCP to give the connection up, and for frames to be lost
            recovery["b-c silent for 30 s"] = recovered(chain, c.silent(b), 30.0)
        chain.finish()
        ledger = chain.count(CAMERA)
        assert [chain.first.stop(), chain.last.stop(), chain.collector.stop()] == [0, 0, 0]
        motion, codes = ledger["groups"]["motion"], ledger["groups"][STAGE]
        lines = check_recording(chain, CAMERA, STAGE)
        row(
            f"6 network: {LOSS_PERCENT:g} % loss, {RATE}, partitions of {PARTITION_S:g} s",
            offered=codes["offered"],
            delivered=codes["delivered"],
            dropped=codes["dropped"],
            lost=codes["lost"],
            duplicates=ledger["duplicates"],
            recovery_s={what: round(took, 1) for what, took in recovery.items()},
            captured=ledger["captured"],
            lost_before=motion["lost"],
            late=sum(line.get("late", False) for line in lines),
        )
        assert ledger["unaccounted"] == 0
        for group in (motion, codes):
            told = group["processed"] + sum(group["dropped"].values()) + group["lost"] + group["in_flight"]
            assert told == group["offered"]
        assert codes["offered"] == motion["results"]
        assert codes["lost"] > 0 or not LONG, "what the link lost is counted"
        assert codes["results"] == codes["delivered"] == ledger["recorded"][STAGE]
        assert len(lines) == len({line["seq"] for line in lines}) == codes["results"], "each exactly once"
        in_time = [line["seq"] for line in lines if not line.get("late", False)]
        assert in_time == sorted(in_time), "in order, but for what came too late and says so"


def recovered(chain: Chain, fault: AbstractContextManager[None], lasts_s: float) -> float:
    """Seconds from the end of a fault until a frame that was captured after it is recorded."""
    with fault:
        threading.Event().wait(lasts_s)  # the fault itself lasts so long
    healed_ns, began = time.time_ns(), time.monotonic()
    chain.wait_for(lambda: chain.newest_ns() > healed_ns, "a frame came through the chain", RECOVERS_WITHIN_S)
    return time.monotonic() - began
