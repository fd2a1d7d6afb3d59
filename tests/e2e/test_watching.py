"""A small mesh that is watched: its metrics are scraped, and `mesh top` runs in a terminal."""

import json
import signal
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from nodes.metrics.names import METRICS
from tests.e2e.site import Site
from tests.support.terminal import Terminal

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
BENCH_FRAMES = 20
NODES = ("capture", "collect", "process")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Cameras `door` and `gate`, a script's camera `bench` that has come to rest, motion, and a collector;
    each node has a port for its metrics."""
    with Site(tmp_path_factory.mktemp("site"), lasting=True) as site:
        port = ("--metrics", "0")
        site.collect(*port)
        site.node("process", "motion", "--policy", "fifo", *port)
        cameras = [f"{name}=synthetic:?size=160x120&fps={fps}" for name, fps in (("door", 5), ("gate", 12))]
        site.capture(*cameras, options=port)
        site.wait_nodes(*NODES)
        with site.mesh.publish("raw", "bench") as out:
            site.wait_for(lambda: out.listened_to, "the node subscribes")
            never = threading.Event()
            for n in range(BENCH_FRAMES):
                out.send(np.full((48, 64, 3), n, np.uint8))
                never.wait(0.01)
        site.wait_for(lambda: at_rest(site), "all of the script's frames are recorded, or dropped by name")
        yield site


def at_rest(site: Site) -> bool:
    group = site.group("bench", "motion")
    recorded = site.count("bench")["recorded"].get("motion", 0)
    rest = group["in_flight"] + group["waiting"]
    return bool(group["offered"] == BENCH_FRAMES and not rest and recorded == group["delivered"] > 0)


def metrics_url(site: Site, node: str) -> str:
    return site.listed(node).endpoints["metrics"]


def fetched(url: str, accept: str = "") -> tuple[str, str]:
    """What a reader gets: the content's type, and the text."""
    request = urllib.request.Request(url, headers={"Accept": accept} if accept else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def scraped(site: Site, node: str) -> list[Sample]:
    _, text = fetched(metrics_url(site, node))
    return [sample for family in parse_text(text) for sample in family.samples]


def value(samples: list[Sample], name: str, **labels: str) -> float:
    """The one sample of that name and these labels."""
    found = [s.value for s in samples if s.name == name and labels.items() <= s.labels.items()]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def test_metrics_agree_with_the_ledger(site: Site) -> None:
    count = site.stats()["bench"]
    group = count["groups"]["motion"]
    process, collect = scraped(site, "process"), scraped(site, "collect")
    taken = {"camera": "bench", "stage": "raw", "group": "motion"}
    made = taken | {"stage": "motion"}
    missed = group["dropped"].get("before_join", 0)
    assert value(process, "mesh_group_frames_offered_total", **taken) == group["offered"] - missed
    assert value(process, "mesh_group_frames_processed_total", **taken) == group["processed"]
    assert value(process, "mesh_group_frames_lost_total", **taken) == group["lost"] == 0
    assert value(process, "mesh_group_frames_in_flight", **taken) == group["in_flight"] == 0
    assert value(process, "mesh_results_total", **made) == group["results"]
    assert value(process, "mesh_results_delivered_total", **made) == group["delivered"]
    assert value(process, "mesh_results_waiting", **made) == group["waiting"] == 0
    recorded = value(collect, "mesh_recorded_frames_total", camera="bench", stage="motion")
    assert recorded == count["recorded"]["motion"]


def test_counters_of_what_runs_lie_between_two_looks_at_the_ledger(site: Site) -> None:
    before = site.stats()["gate"]["captured"]
    captured = value(scraped(site, "capture"), "mesh_camera_frames_captured_total", camera="gate")
    assert before <= captured
    site.wait_for(lambda: site.count("gate")["captured"] >= captured, "the ledger comes up to it")


def well(site: Site, node: str) -> list[Sample]:
    """A node's samples, if it is well and the registry answers it; else none."""
    samples = scraped(site, node)
    runs, heard = value(samples, "mesh_node_state", state="running"), value(samples, "mesh_node_registry_up")
    return samples if (runs, heard) == (1, 1) else []


def test_metrics_say_which_node_it_is_and_how_it_is(site: Site) -> None:
    for kind in NODES:
        samples = site.wait_for(lambda kind=kind: well(site, kind), f"{kind} runs, and is heard")  # type: ignore[misc]
        assert value(samples, "mesh_node_info", node=kind, kind=kind) == 1
        assert value(samples, "mesh_node_state", state="degraded") == 0
        assert abs(value(samples, "mesh_node_clock_offset_seconds")) < 1
        assert value(samples, "process_cpu_seconds_total") > 0
        assert value(samples, "process_resident_memory_bytes") > 1e7
    ups = {s.labels["camera"]: s.value for s in scraped(site, "capture") if s.name == "mesh_camera_up"}
    assert ups == {"door": 1, "gate": 1}


@pytest.mark.parametrize(
    ("node", "name", "labels"),
    [
        ("process", "mesh_group_frame_age_seconds", {"group": "motion", "stage": "motion"}),
        ("collect", "mesh_recorded_frame_age_seconds", {"stage": "motion"}),
    ],
)
def test_ages_are_a_histogram_of_every_frame(
    site: Site, node: str, name: str, labels: Mapping[str, str]
) -> None:
    samples = scraped(site, node)
    buckets = [s for s in samples if s.name == f"{name}_bucket" and labels.items() <= s.labels.items()]
    counts = [s.value for s in sorted(buckets, key=lambda s: float(s.labels["le"]))]
    assert counts == sorted(counts)
    frames = value(samples, f"{name}_count", **labels)
    assert frames == counts[-1] >= BENCH_FRAMES / 2
    done = "mesh_group_frames_processed_total" if node == "process" else "mesh_recorded_frames_total"
    assert frames >= sum(s.value for s in samples if s.name == done) - 3  # one for each camera under way
    assert 0 < value(samples, f"{name}_sum", **labels) / frames < 60


def test_both_text_formats_are_served_and_every_metric_is_a_known_one(site: Site) -> None:
    kinds = {name: metric.kind.value for name, metric in METRICS.items()}
    for node in NODES:
        url = metrics_url(site, node)
        plain_type, plain = fetched(url)
        open_type, opened = fetched(url, OPENMETRICS)
        assert plain_type.startswith("text/plain")
        assert open_type.startswith("application/openmetrics-text")
        ours = {}
        for family in parse_openmetrics(opened):  # type: ignore[no-untyped-call]  # it has no types
            suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
            ours[family.name + suffix] = family.type
        assert {n: k for n, k in ours.items() if n.startswith("mesh_")}.items() <= kinds.items()
        assert {n for n in ours if not n.startswith("mesh_")} <= {n for n in ours if n.startswith("process_")}
        assert "# EOF" in opened
        assert {family.name for family in parse_text(plain)} >= {"process_cpu_seconds", "mesh_node_state"}


def test_readers_that_hang_hold_up_neither_others_nor_the_nodes_end(site: Site) -> None:
    node = site.node("process", "passthrough", "--no-push", "--metrics", "0", name="leaving")
    site.wait_nodes("leaving")
    url = urlsplit(metrics_url(site, "leaving"))
    silent = [socket.create_connection((url.hostname, url.port)) for _ in range(20)]
    try:
        for client in silent[::2]:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
        assert value(scraped(site, "leaving"), "mesh_node_info", node="leaving") == 1
        assert node.stop() == 0
    finally:
        for client in silent:
            client.close()


def test_what_is_wrong_with_a_port_is_said_in_a_line(site: Site, tmp_path: Path) -> None:
    taken = urlsplit(metrics_url(site, "process")).port
    (tmp_path / "prometheus_client.py").write_text("raise ImportError('not here')\n")
    root = Path(__file__).parents[2]
    cases: list[tuple[str, int, str, dict[str, str]]] = [
        (str(taken), 1, f"--metrics 127.0.0.1:{taken} is in use: choose another port", {}),
        ("0.0.0.0:0", 2, "add --insecure if the network is trusted", {}),
        ("door:port", 2, "is not [HOST:]PORT, such as 9700", {}),
        ("0", 2, "pip install 'framemesh[metrics]'", {"PYTHONPATH": f"{tmp_path}:{root}"}),
    ]
    running = [
        (site.node("process", "passthrough", "--metrics", text, name=f"wrong{n}", **env), code, line)
        for n, (text, code, line, env) in enumerate(cases)
    ]
    for process, code, line in running:
        assert process.wait() == code, process.log
        assert line in process.log.splitlines()[-1]
        assert "Traceback" not in process.log


def test_a_registry_tells_what_it_was_asked(site: Site) -> None:
    registry = site.processes.start("registry", "--bind", "tcp://127.0.0.1:*", "--metrics", "0")
    site.wait_for(lambda: "its metrics are at" in registry.log, "the registry says where its metrics are")
    (line,) = (line for line in registry.log.splitlines() if "its metrics are at" in line)
    _, text = fetched(line.split()[-1])
    samples = [sample for family in parse_text(text) for sample in family.samples]
    assert value(samples, "mesh_registry_info") == 1
    assert value(samples, "mesh_registry_requests_total", outcome="answered") == 0
    assert registry.stop() == 0


def looked(site: Site) -> Any:
    """What `mesh top --once --json` shows; None where nodes were held up between two of their reports."""
    done = site.run("top", "--once", "--json")
    assert done.code == 0, done
    board = json.loads(done.out)
    nodes = {row["node"]: row for row in board["nodes"]}
    fps = {row["camera"]: row["fps_captured"] for row in board["cameras"]}
    works = (nodes["capture"]["fps_out"] or 0) > 0 and (nodes["process"]["cpu_percent"] or 0) > 0
    return board if works and (fps["gate"] or 0) > (fps["door"] or 0) > 0 else None


def test_top_prints_one_look_for_scripts(site: Site) -> None:
    board = site.wait_for(lambda: looked(site), "nodes have worked between two reports")
    nodes = {row["node"]: row for row in board["nodes"]}
    assert nodes["collect"]["rss_bytes"] > 1e7
    assert {"door/0", "gate/0"} <= set(nodes["process"]["has"])
    cameras = {row["camera"]: row for row in board["cameras"]}
    assert cameras["gate"]["state"] == "online"
    assert cameras["gate"]["unaccounted"] == 0
    groups = {row["group"]: row for row in board["groups"]}  # of a node that has just left, too
    group = groups["motion"]
    assert (group["stage"], group["output"]) == ("raw", "motion")
    assert group["age"]["p99_ms"] >= group["age"]["p50_ms"] > 0


def test_top_prints_lines_that_can_be_cut_sorted_and_filtered(site: Site) -> None:
    done = site.run("top", "--once", "--sort", "in", "--filter", "online")
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert (done.code, done.err) == (0, "")
    assert [row[:3] for row in rows] == [["cameras", "door", "online"], ["cameras", "gate", "online"]]


def test_top_says_what_it_cannot_do(site: Site) -> None:
    wrong: dict[tuple[str, ...], str] = {
        ("top",): "mesh top needs a terminal: give --once for one look, with --json for a script",
        ("top", "--json"): "--json goes with --once",
        ("top", "--sort", "nothing"): "--sort 'nothing' is no column: use one of node, kind,",
    }
    running = [(site.processes.start(*arguments), line) for arguments, line in wrong.items()]
    for process, line in running:
        assert process.wait() == 2
        assert line in process.log.splitlines()[-1]


def test_top_fits_a_small_terminal_and_ctrl_c_ends_it(site: Site) -> None:
    with Terminal(site.processes, "top", "--registry", site.url, size=(80, 24)) as terminal:
        shown = ("door", "gate", "bench", "capture", "collect", "process", "motion", "fps in", "p99 ms")
        keys = ("Quit", "Sort", "Filter", "Help")
        terminal.wait_for(lambda: terminal.has(*shown, *keys), "all is shown")
        terminal.wait_for(lambda: terminal.lines[0].endswith(site.url), "the first line says of what")
        terminal.wait_for(lambda: all(key in terminal.lines[-1] for key in keys), "the last one is the keys")
        terminal.press("?")
        terminal.wait_for(lambda: terminal.has("Any key closes this"), "the help is shown")
        terminal.press(" ")
        terminal.wait_for(lambda: not terminal.has("Any key closes this"), "the help is gone")
        terminal.press("\x03")
        assert terminal.wait() == 130
        assert terminal.modes == terminal.modes_before


def test_top_is_sorted_and_filtered(site: Site) -> None:
    with Terminal(site.processes, "top", "--registry", site.url, "--interval", 0.3) as terminal:
        wait: Callable[[Callable[[], object], str], object] = terminal.wait_for
        cameras = ("door", "gate")
        wait(lambda: terminal.has("160x120", "12.", "5.", "running"), "cameras and their rates are shown")
        assert terminal.order(cameras) == ["door", "gate"]
        terminal.press("2sr")
        wait(lambda: terminal.has("camera▼"), "the cameras are sorted by name, the other way round")
        wait(lambda: terminal.order(cameras) == ["gate", "door"], "the order has changed")
        terminal.press("rsssss")
        wait(lambda: terminal.has("fps▲"), "they are sorted by what is captured")
        wait(lambda: terminal.order(cameras) == ["door", "gate"], "the slower one comes first")
        terminal.press("/gat")
        wait(lambda: terminal.order(cameras) == ["gate"], "the filter leaves one camera")
        wait(lambda: terminal.has("cameras 1 of 3", "filter: gat"), "it is said that there are others")
        terminal.press("\x1b")
        wait(lambda: terminal.order(cameras) == ["door", "gate"], "all are back")
        terminal.press("m")
        wait(lambda: not terminal.has("memory"), "the cameras stand alone")
        terminal.press("m")
        wait(lambda: terminal.has("memory"), "the others are back")

        terminal.press("q")
        assert terminal.wait() == 0
        assert terminal.modes == terminal.modes_before


def test_top_goes_on_while_the_registry_is_away(tmp_path: Path) -> None:
    with (
        Site(tmp_path) as site,
        site.publish("raw", "bench"),
        Terminal(site.processes, "top", "--registry", site.url, "--interval", 0.3) as terminal,
    ):
        terminal.wait_for(lambda: terminal.has("bench", "online"), "the script's camera is shown")
        site.registry.kill()
        terminal.wait_for(lambda: terminal.has("ago, at "), "it is said that the registry does not answer")
        assert terminal.has(site.url, "bench", "online")
        terminal.press("p")
        terminal.wait_for(lambda: terminal.has("FROZEN"), "keys work meanwhile")
        terminal.press("p")
        terminal.wait_for(lambda: not terminal.has("FROZEN"), "and again")
        site.start_registry()
        terminal.wait_for(
            lambda: terminal.has("bench", "online") and not terminal.has("ago, at "), "it is back"
        )
        site.registry.suspend()
        try:
            terminal.wait_for(lambda: terminal.has("ago, at "), "the registry hangs")
            terminal.press("q")
            assert terminal.wait() == 0
        finally:
            site.registry.send(signal.SIGCONT)
