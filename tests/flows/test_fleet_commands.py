"""The fleet's commands: what they print, their exit codes, and what is wrong usage."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from data.generators.fleet import generate_fleet
from data.readers.fleet.fleet_file import read_fleet, write_fleet
from data.readers.fleet.plan_file import read_fleet_plan
from data.readers.plan import head_of
from data.schemas.fleet import FleetLimits
from data.schemas.fleet_plan import FLEET_PLAN
from data.schemas.plan import SolverRow
from flows.commands import app
from tasks.fleet.model import fleet_model
from tasks.fleet.plan import Account, assemble_fleet_plan
from tasks.fleet.programme import place_fleet
from tasks.fleet.waves import rollout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plan and its fleet, as a run leaves them."""
    folder = tmp_path_factory.mktemp("commands")
    limits = FleetLimits(latency_ms=250.0)
    fleet = generate_fleet(np.random.default_rng(5), regions=6, skus=2, zones=5, demand=600.0, limits=limits)
    model = fleet_model(fleet)
    placed = place_fleet(model, gap=0.02, seconds=30.0)
    waves = rollout(model, placed.nodes).waves
    rows = (
        SolverRow("fleet", "incumbent", model.cost_usd_per_h(model.held), 0, 0, 0, chosen=False),
        SolverRow("fleet", "programme", placed.cost_usd_per_h, 0, 0, 0, chosen=True),
    )
    account = Account(solvers=rows, notes=placed.notes)
    plan = assemble_fleet_plan(
        model, placed.nodes, flows=placed.flows, waves=waves, account=account, code_version="0", options="{}", seed=0
    )
    write_fleet(fleet, folder / "fleet.json")
    (folder / "fleet_plan.json").write_bytes(FLEET_PLAN.dump_json(plan))
    return folder


def said(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.output


def test_the_sample_is_planned_by_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    last = tmp_path / "runs" / "20200101T000000Z-aaaaaa"
    last.mkdir(parents=True)
    (tmp_path / "runs" / "latest").symlink_to(last.name)
    code, text = said("run", "fleet", "--frontier", 0, "--gap", 0.05, "--solver", "exact")
    assert code == 0, text
    assert "Plan for the fleet sample" in text
    assert "fleet_plan.json" in text
    assert "runs/latest-fleet points there" in text
    assert said("fleet", "verify")[0] == 0
    assert head_of(tmp_path / "runs" / "latest-fleet" / "fleet_plan.json")["fleet"] == "sample"
    assert (tmp_path / "runs" / "latest").resolve() == last, "that is where a plan for a cluster is looked for"


def test_a_plan_is_shown_with_figures_waves_and_changes(run: Path) -> None:
    code, text = said("fleet", "show", run)
    assert code == 0, text
    for word in ("rent and regions", "latency of 95 % of users", "What changes", "Waves"):
        assert word in text


def test_the_diff_and_its_inverse_mirror_each_other(run: Path) -> None:
    code, there = said("fleet", "diff", run)
    back = said("fleet", "diff", run, "--inverse")[1]
    assert code == 0
    marks = [[line.split()[0] for line in text.splitlines() if line.startswith("  ")] for text in (there, back)]
    swap = {"+": "-", "-": "+", "~": "~"}
    assert sorted(swap[mark] for mark in marks[0]) == sorted(marks[1])
    assert said("fleet", "diff", run, "--detailed-exitcode")[0] == 2


def test_waves_are_printed_and_a_wave_that_is_not_there_is_named(run: Path) -> None:
    waves = read_fleet_plan(run).waves
    code, text = said("fleet", "wave", run, 1)
    assert code == 0
    assert "abort if" in text
    started = sum(step.nodes for step in waves[0].starts)
    printed = [int(line.split()[1].replace(",", "")) for line in text.splitlines() if line.startswith("  + ")]
    assert sum(printed) == started
    assert len(said("fleet", "wave", run, 1, "--undo")[1].splitlines()) == len(waves[0].undo)
    code, text = said("fleet", "wave", run, len(waves) + 1)
    assert code == 1
    assert f"a number from 1 to {len(waves)}" in text


def test_a_stale_plan_and_an_altered_one_are_refused(run: Path, tmp_path: Path) -> None:
    code, text = said("fleet", "verify", run)
    assert code == 0, text
    fleet = read_fleet(run / "fleet.json").fleet
    moved = replace(
        fleet, holdings=(replace(fleet.holdings[0], nodes=fleet.holdings[0].nodes + 1), *fleet.holdings[1:])
    )
    write_fleet(moved, tmp_path / "now.json")
    code, text = said("fleet", "verify", run, "--fleet", tmp_path / "now.json")
    assert code == 1
    assert "stale" in text
    raw = json.loads((run / "fleet_plan.json").read_text())
    raw["resource_changes"][0]["change"]["after"] += 1
    (tmp_path / "fleet_plan.json").write_text(json.dumps(raw))
    code, text = said("fleet", "verify", tmp_path / "fleet_plan.json", "--fleet", run / "fleet.json")
    assert code == 1
    assert "altered" in text


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"fleet": 3}'])
def test_a_file_that_is_no_plan_is_told_in_one_message(tmp_path: Path, text: str) -> None:
    (tmp_path / "fleet_plan.json").write_text(text)
    code, said_text = said("fleet", "show", tmp_path)
    assert code == 1
    assert "BadSource" in said_text
    assert said("fleet", "show", tmp_path / "missing")[0] == 1


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--limit", "latency=80"), "latency_ms"),
        (("--limit", "latency_ms=near"), "a number or JSON"),
        (("--source", "{"), "expected JSON"),
        (("--source", "{}", "--fleet", "x.json"), "one source"),
        (("--source", '{"kind": "moon"}'), "catalogue"),
        (("--seconds", "-1"), "seconds"),
    ],
)
def test_wrong_usage_is_told_before_anything_runs(words: tuple[str, ...], named: str) -> None:
    code, text = said("run", "fleet", *words)
    assert code == 2
    assert named in text


def test_options_of_the_clusters_run_do_not_stand_before_the_fleet() -> None:
    code, text = said("run", "--power-cap", 1_000, "fleet")
    assert code == 2
    assert "--power-cap" in text


@pytest.mark.parametrize("name", ["fleet", "fleet_plan"])
def test_the_formats_are_published(name: str) -> None:
    code, text = said("schema", name)
    assert code == 0
    assert json.loads(text)["type"] == "object"
