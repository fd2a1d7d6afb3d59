"""docs/metrics.md, the dashboard and the alert rules speak of metrics that there are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nodes.metrics.names import METRICS, Kind

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "framemesh.json"
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
SCRAPES = ROOT / "deploy" / "prometheus" / "prometheus.yml"

SUFFIXES = ("_bucket", "_sum", "_count")
FOREIGN: dict[str, set[str]] = {  # not ours: prometheus_client's and Prometheus's own
    "process_cpu_seconds_total": set(),
    "process_resident_memory_bytes": set(),
    "process_start_time_seconds": set(),
    "up": set(),
}
OF_THE_SCRAPE = {"job", "instance"}
SELECTOR = re.compile(r"\b([a-z_]+)\{([^}]*)\}")
GROUPING = re.compile(r"\b(?:by|on|group_left|without|ignoring)\s*\(([^)]*)\)")


def described() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Kind and labels of every metric in a table of the page, by name."""
    rows = re.findall(
        r"^\| `(mesh_\w+)` \| (\w+) \| ([^|]*)\|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE
    )
    assert len({name for name, _, _ in rows}) == len(rows), "a metric is described twice"
    return {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def test_the_page_describes_every_metric_and_no_other() -> None:
    assert described() == {name: (metric.kind.value, metric.labels) for name, metric in METRICS.items()}


def test_names_follow_the_conventions() -> None:
    for name, metric in METRICS.items():
        assert re.fullmatch(r"mesh_[a-z]+(_[a-z]+)*", name), name
        assert name.endswith("_total") == (metric.kind is Kind.COUNTER), name
        assert name.endswith("_info") == (metric.kind is Kind.INFO), name
        assert "boot" not in metric.labels, name
        if metric.kind is Kind.HISTOGRAM:
            assert name.endswith("_seconds"), name


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def expressions() -> Iterator[str]:
    for panel in panels():
        yield from (target["expr"] for target in panel.get("targets", ()))
    for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"].removeprefix("label_values(").rpartition(",")[0]
    for rule in rules():
        yield rule["expr"]


def bare(expression: str) -> str:
    """A query without its strings and durations."""
    return re.sub(r"\[[^\]]*\]", "", re.sub(r'"[^"]*"', '""', expression))


def metric_of(name: str) -> str:
    for suffix in SUFFIXES:
        if name.removesuffix(suffix) in METRICS and METRICS[name.removesuffix(suffix)].kind is Kind.HISTOGRAM:
            return name.removesuffix(suffix)
    return name


def labels_of(name: str) -> set[str]:
    if name in FOREIGN:
        return FOREIGN[name]
    metric = METRICS[metric_of(name)]
    return {*metric.labels, *(["le"] if metric.kind is Kind.HISTOGRAM else [])}


@pytest.mark.parametrize("expression", list(expressions()))
def test_queries_ask_for_metrics_and_labels_that_there_are(expression: str) -> None:
    query = bare(expression)
    names = set(re.findall(r"\b(?:mesh|process)_\w+|\bup\b", query))
    assert names, "it asks for nothing"
    assert {name for name in names if metric_of(name) not in {*METRICS, *FOREIGN}} == set()
    for name, matchers in SELECTOR.findall(query):
        asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert asked <= labels_of(name) | OF_THE_SCRAPE, name
    known = {label for name in names for label in labels_of(name)} | OF_THE_SCRAPE
    grouped = {label.strip() for group in GROUPING.findall(query) for label in group.split(",")} - {""}
    assert grouped <= known


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_a_rule_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"}
    told = " ".join(rule["annotations"].values())
    names = re.findall(r"\b(?:mesh|process)_\w+|\bup\b", bare(rule["expr"]))
    known = {label for name in names for label in labels_of(name)} | OF_THE_SCRAPE
    assert set(re.findall(r"\$labels\.(\w+)", told)) <= known


def test_the_dashboard_is_one_that_grafana_can_import() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert board["title"]
    assert board["uid"] == "framemesh"
    assert {v["name"] for v in board["templating"]["list"]} >= {"datasource", "job"}
    assert len({panel["id"] for panel in panels()}) == len(panels())
    for panel in panels():
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
            assert panel["targets"], panel["title"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24


def test_the_scrape_configuration_names_the_rules_and_some_nodes() -> None:
    config = yaml.safe_load(SCRAPES.read_text())
    assert config["rule_files"] == ["alerts.yml"]
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "framemesh"
    assert job["static_configs"][0]["targets"]
