"""Figures of plans for Prometheus: the newest plan of each cluster, however old, and how applies ended."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from data.errors import SourceUnavailable
from data.readers.plan import write_plan
from data.schemas.plan import Fallback, SetAside
from flows.commands import app
from flows.journals import APPLIES
from tasks.report.metrics import plan_registry
from tests.stored_runs import applied, leave, plan_of

Labels = dict[str, str]


def store(runs: Path, number: int, **changes: object) -> Path:
    """Leave a run whose plan is written as runs write it, head first."""
    plan = plan_of(**changes)  # type: ignore[arg-type]  # fields by name
    folder = leave(runs, number, plan)
    write_plan(plan, folder / "plan.json")
    return folder


def read(runs: Path, *journals: Path) -> dict[str, list[tuple[Labels, float]]]:
    """Return the samples by name, as Prometheus understands the text."""
    text = generate_latest(plan_registry(runs, lambda: journals)).decode()
    return {
        family.name: [(sample.labels, sample.value) for sample in family.samples]
        for family in text_string_to_metric_families(text)
    }


def test_a_plan_in_figures(tmp_path: Path) -> None:
    trouble = Fallback("refine", "qaoa", "anneal", "no Aer")
    store(tmp_path, 4, fallbacks=(trouble, trouble), set_aside=(SetAside("job-3", "GPUs", "none"),))
    found = read(tmp_path)
    of = {"cluster": "small", "flow": "optimize-power"}
    assert found["quantumflow_plan_timestamp_seconds"] == [(of, datetime(2026, 11, 20, 1, tzinfo=UTC).timestamp())]
    assert found["quantumflow_plan_duration_seconds"] == [(of, 24.0)]
    assert found["quantumflow_plan_fallbacks"] == [(of, 2.0)]
    assert found["quantumflow_plan_set_aside"] == [(of, 1.0)]
    assert found["quantumflow_plan_changes"] == [(of, 1.0)]
    assert found["quantumflow_plan_actions"] == [({**of, "kind": "recap"}, 1.0)]
    problem = {**of, "problem": "power"}
    costs = [found[f"quantumflow_plan_cost_{name}"] for name in ("before", "after", "bound")]
    assert costs == [[(problem, 100.0)], [(problem, 80.0)], [(problem, 64.0)]]
    assert found["quantumflow_runs_unreadable"] == found["quantumflow_runs_unfinished"] == [({}, 0.0)]


def test_a_cluster_that_nobody_planned_for_in_a_while_is_still_told(tmp_path: Path) -> None:
    store(tmp_path, 0, cluster="forgotten")
    for number in range(1, 300):
        store(tmp_path, number, cluster="busy")
    ages = {labels["cluster"]: value for labels, value in read(tmp_path)["quantumflow_plan_timestamp_seconds"]}
    assert ages["busy"] - ages["forgotten"] == 299 * 900.0


def test_what_is_to_be_improved_tells_plans_apart_and_the_newest_counts(tmp_path: Path) -> None:
    both = json.dumps({"nouns": ["power", "placement"], "effort": "quick", "solver": {"kind": "anneal"}})
    store(tmp_path, 0, after=90.0)
    store(tmp_path, 1, after=70.0)
    store(tmp_path, 2, after=60.0, options=both)
    store(tmp_path, 3, after=50.0, options=both.replace("quick", "standard"))
    found = {labels["flow"]: value for labels, value in read(tmp_path)["quantumflow_plan_cost_after"]}
    assert found == {"optimize-power": 70.0, "optimize-cluster": 50.0}


def test_a_plan_that_cannot_be_read_is_counted_and_the_one_before_it_told(tmp_path: Path) -> None:
    store(tmp_path, 0)
    damaged = store(tmp_path, 1) / "plan.json"
    damaged.write_bytes(damaged.read_bytes().replace(b'"value": 1.0', b'"value": 2.0', 1)[:-200])
    (tmp_path / ".20261120T030000Z-000001.partial").mkdir()
    found = read(tmp_path)
    assert found["quantumflow_runs_unreadable"] == found["quantumflow_runs_unfinished"] == [({}, 1.0)]
    assert found["quantumflow_plan_duration_seconds"][0][1] == 20.0


def test_words_of_a_file_cannot_forge_lines(tmp_path: Path) -> None:
    hostile = 'x"} 1\nup{job="q\\'
    store(tmp_path, 0, cluster=hostile)
    entries = [{"entry": {"executor": hostile}}, {"entry": {"outcome": hostile}}]
    (tmp_path / "applies").mkdir()
    (tmp_path / "applies" / f"1-{'0' * 12}.jsonl").write_text("\n".join(map(json.dumps, entries)))
    found = read(tmp_path, tmp_path / "applies")
    assert "up" not in found
    assert found["quantumflow_applies"] == [({"outcome": hostile, "executor": hostile}, 1.0)]
    assert found["quantumflow_runs_unreadable"] == [({}, 1.0)], "readers refuse such a name of a cluster"


def test_applies_by_how_they_ended(tmp_path: Path) -> None:
    plan = plan_of()
    leave(tmp_path, 0, plan)
    applied(tmp_path / "applies", plan, "applied", "applied", None, "partly-rolled-back")
    (tmp_path / "applies" / f"9-{plan.sha256[:12]}.jsonl").write_text("{")
    for number, path in enumerate(sorted((tmp_path / "applies").iterdir())):
        os.utime(path, (number, 1000.0 + number))
    found = read(tmp_path, tmp_path / "applies")
    counts = {(labels["outcome"], labels["executor"]): value for labels, value in found["quantumflow_applies"]}
    assert counts == {
        ("applied", "slurm"): 2.0, ("not ended", "slurm"): 1.0, ("partly-rolled-back", "slurm"): 1.0,
        ("unreadable", ""): 1.0,
    }  # fmt: skip
    last = {labels["outcome"]: value for labels, value in found["quantumflow_apply_timestamp_seconds"]}
    assert last == {"applied": 1001.0, "not ended": 1002.0, "partly-rolled-back": 1003.0, "unreadable": 1004.0}


def test_a_folder_that_is_not_there_is_an_error_not_an_empty_answer(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="missing: No such file"):
        generate_latest(plan_registry(tmp_path / "missing", tuple))
    for options in ([], ["--port", "9"]):
        done = CliRunner().invoke(app, ["metrics", str(tmp_path / "missing"), *options])
        assert (done.exit_code, done.output.count("\n")) == (1, 1)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = CliRunner().invoke(app, ["metrics", str(tmp_path), "--port", str(port)])
    assert done.exit_code == 1
    assert f"port {port} of 127.0.0.1: expected to listen there, found: Address already in use" in done.output


def test_the_command_prints_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of()
    store(tmp_path / "runs", 0)
    applied(tmp_path / "named", plan, "rolled-back")
    monkeypatch.setenv(APPLIES, str(tmp_path / "named"))
    done = CliRunner().invoke(app, ["metrics", str(tmp_path / "runs")])
    assert done.exit_code == 0
    assert 'quantumflow_plan_fallbacks{cluster="small",flow="optimize-power"} 0.0\n' in done.output
    assert 'quantumflow_applies{executor="slurm",outcome="rolled-back"} 1.0\n' in done.output


def test_a_journal_of_another_plan_is_counted_too(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    applied(tmp_path / "applies", replace(plan_of(), sha256="9" * 64), "applied")
    assert read(tmp_path / "runs", tmp_path / "applies")["quantumflow_applies"][0][1] == 1.0


def test_nothing_is_compiled_to_tell_them(tmp_path: Path) -> None:
    """Under systemd the command may not make memory executable, which numba asks for when it is imported."""
    store(tmp_path, 0)
    script = (
        "import sys; from flows.commands import app; app(['metrics', sys.argv[1]], standalone_mode=False); "
        "print(sorted({'numba', 'torch', 'qiskit'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert "quantumflow_plan_fallbacks{" in done.stdout
