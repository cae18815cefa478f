"""Alerts and dashboards as Prometheus itself reads them: promtool checks them and runs the alerts' tests."""

import os
import shutil
import subprocess

import pytest
import yaml

from infra.local.component import ROOT
from tests.house.test_monitoring import EXPRESSIONS

FOLDER = ROOT / "infra" / "prometheus"


@pytest.fixture(scope="module")
def promtool():
    """Run it, and return what it said. In CI it must be there; elsewhere its tests are left out without it."""
    program = shutil.which("promtool") or str(ROOT / ".tools" / "promtool" / "usr" / "bin" / "promtool")
    if not os.access(program, os.X_OK):
        missing = "promtool is missing: infra/prometheus/promtool.sh fetches it"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)

    def run(*words, folder=FOLDER):
        done = subprocess.run([program, *words], cwd=folder, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


def test_the_alerts_are_rules_of_prometheus(promtool):
    code, said = promtool("check", "rules", "alerts.yml")
    assert code == 0, said


def test_the_configuration_is_one_of_prometheus(promtool):
    code, said = promtool("check", "config", "prometheus.yml")
    assert code == 0, said


def test_each_alert_fires_when_it_should_and_not_before(promtool):
    code, said = promtool("test", "rules", "alerts_test.yml")
    assert code == 0, said


def test_prometheus_understands_what_the_dashboards_ask(promtool, tmp_path):
    asked = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, (where, expression) in enumerate(EXPRESSIONS)
        if not where.startswith("alert") and "label_values" not in expression
    ]
    rules = {"groups": [{"name": "panels", "rules": asked}]}
    (tmp_path / "panels.yml").write_text(yaml.safe_dump(rules))
    code, said = promtool("check", "rules", "panels.yml", folder=tmp_path)
    assert code == 0, said
    assert len(asked) > 30
