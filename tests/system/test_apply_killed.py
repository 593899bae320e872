"""kill -9 of an apply from a terminal: what it did is resumed once, and rolled back, by the commands of APPLYING.md."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.applying.cluster import after, hook_cluster

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 600.0


@pytest.fixture
def cluster(tmp_path):
    return hook_cluster(tmp_path / "hooks", tmp_path / "run")


@pytest.fixture
def command(tmp_path, prefect_environment):
    """Return words that apply, and what they need around them."""
    environment = {
        **prefect_environment,
        "PYTHONPATH": str(ROOT),
        "QUANTUMFLOW_HOOKS": str(tmp_path / "hooks"),
        "QUANTUMFLOW_APPLIES": str(tmp_path / "applies"),
    }

    def made(*words):
        line = [sys.executable, "-m", "flows", "apply", "--alone", *map(str, words)]
        return {"args": line, "env": environment, "cwd": tmp_path, "text": True}

    return made


def test_a_killed_apply_is_resumed_once_and_rolled_back(cluster, command, tmp_path, until, record_property):
    before = cluster.jobs
    (cluster.folder / "wait").write_text("blue cap")
    hook = cluster.folder / "hook"
    options = f'{{"migrate": "{hook}", "place": "{hook}", "recap": "{hook}"}}'
    words = (cluster.run, "--with", "shell", "--options", options, "--sha256", cluster.sha256, "--yes")
    with (tmp_path / "log").open("w") as log:
        apply = subprocess.Popen(**command(*words), stdout=log, stderr=log, start_new_session=True)
        try:
            until(lambda: len(cluster.changes) == 2 or apply.poll() is not None, LIMIT_S, tmp_path / "log")
            assert apply.poll() is None, (tmp_path / "log").read_text()
        finally:
            os.killpg(apply.pid, signal.SIGKILL)  # with the server that Prefect starts beside it; not with the hook
            apply.wait()
    (cluster.folder / "wait").unlink()
    assert cluster.changes == ["red place", "waiting place"]
    (journal,) = (tmp_path / "applies").glob("*.jsonl")

    def done(*more):
        return subprocess.run(**command(*more), capture_output=True, timeout=LIMIT_S, check=False)

    shown = done("--show", journal)
    assert "cut off" in shown.stdout, shown.stderr
    start_s = time.monotonic()
    resumed = done("--resume", journal)
    spent_s = time.monotonic() - start_s
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert cluster.jobs == after()
    assert cluster.changes == ["red place", "waiting place", "blue cap"]
    record_property("fault", ("kill -9 of an apply in its third action", "resumed by its journal", "nothing", spent_s))
    back = done("--rollback", journal)
    assert back.returncode == 0, back.stdout + back.stderr
    assert cluster.jobs == before
