"""A real Prometheus reads plans in figures, and wakes somebody by the rules of deployments/alerts.yaml."""

import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from data.readers.plan import write_plan
from tests.stored_runs import leave, plan_of

RULES = Path(__file__).resolve().parents[2] / "deployments" / "alerts.yaml"
START_S = 300.0

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        shutil.which("promtool") is None, reason="not installed: prometheus (see .ci/install_prometheus.sh)"
    ),
]


def store(runs, hours_ago, cluster):
    """Leave a run of the whole pipeline that began so long ago."""
    began = datetime.now(UTC) - timedelta(hours=hours_ago)
    plan = plan_of(cluster=cluster, options='{"nouns": ["power", "placement"]}')
    write_plan(plan, leave(runs, 0, plan, f"{began:%Y%m%dT%H%M%SZ}-00000a") / "plan.json")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two clusters, of which one has had no plan for five hours."""
    folder = tmp_path_factory.mktemp("site") / "runs"
    store(folder, 0, "small")
    store(folder, 5, "large")
    return folder


@pytest.fixture(scope="module")
def metrics(runs, background, until, free_port):
    """The address of `python -m flows metrics --port`."""
    port, log = free_port(), runs.parent / "metrics.log"
    command = [sys.executable, "-m", "flows", "metrics", str(runs), "--port", str(port)]
    with background(command, log) as process:

        def answers():
            assert process.poll() is None, log.read_text()
            return "Ctrl-C" in log.read_text()

        until(answers, START_S, log)
        yield f"127.0.0.1:{port}"


def test_promtool_finds_no_fault_in_what_is_served(metrics):
    text = httpx.get(f"http://{metrics}/metrics", timeout=60.0, trust_env=False).text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_promtool_finds_no_fault_in_the_rules():
    done = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_old_plan_wakes_somebody_until_there_is_a_new_one(runs, metrics, background, until, free_port, tmp_path):
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for rule in rules["groups"][0]["rules"]:
        rule.pop("for", None)  # nobody waits for hours here
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(rules))
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.yaml"],
        "scrape_configs": [{"job_name": "quantumflow-plans", "static_configs": [{"targets": [metrics]}]}],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    address, log = f"127.0.0.1:{free_port()}", tmp_path / "log"
    store_at = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]

    def firing():
        """The names of alerts that fire, each with its cluster; None while Prometheus knows nothing."""
        try:
            query = {"query": "up"}
            up = httpx.get(f"http://{address}/api/v1/query", params=query, timeout=30.0, trust_env=False).json()
            told = httpx.get(f"http://{address}/api/v1/alerts", timeout=30.0, trust_env=False).json()
        except (httpx.TransportError, ValueError):
            return None
        if [each["value"][1] for each in up["data"]["result"]] != ["1"]:
            return None
        labels = [alert["labels"] for alert in told["data"]["alerts"]]
        return {(each["alertname"], each.get("cluster", "")) for each in labels}

    with background(["prometheus", *store_at, f"--web.listen-address={address}"], log):
        until(lambda: firing() == {("QuantumFlowPlanOld", "large")}, START_S, log)
        (alert,) = httpx.get(f"http://{address}/api/v1/alerts", trust_env=False).json()["data"]["alerts"]
        assert alert["annotations"]["summary"].startswith("no plan for large since 5h")
        store(runs, 0.1, "large")
        until(lambda: firing() == set(), START_S, log)
        shutil.rmtree(runs)
        until(lambda: firing() is None, START_S, log)  # an error is an answer that Prometheus counts as down
