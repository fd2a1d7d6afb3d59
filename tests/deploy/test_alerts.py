"""The alert rules, checked and run by Prometheus's own tool."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
CASES = Path(__file__).parent / "alerts.test.yml"

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool here: apt-get install prometheus"
)


def promtool(*arguments: object) -> str:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_rules() -> None:
    assert "15 rules found" in promtool("check", "rules", PROMETHEUS / "alerts.yml")


def test_the_example_configuration_is_one() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")


def test_alerts_come_when_they_should_and_not_else(tmp_path: Path) -> None:
    cases = tmp_path / "cases.yml"
    cases.write_text(CASES.read_text().replace("RULES", str(PROMETHEUS / "alerts.yml")))
    assert "SUCCESS" in promtool("test", "rules", cases)


def test_every_alert_is_seen_to_come_and_to_stay_away() -> None:
    rules = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
    tests = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    came = {case["alertname"] for case in tests if case.get("exp_alerts")}
    stayed = {case["alertname"] for case in tests if not case.get("exp_alerts")}
    assert came == {rule["alert"] for rule in rules}
    assert came - stayed == {"MeshFramesOld"}
