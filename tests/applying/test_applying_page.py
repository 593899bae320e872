"""What deployments/APPLYING.md tells a person at night: its commands, names and figures are those of the code."""

import re
from pathlib import Path

from typer.testing import CliRunner

from flows import apply_server, applying, journals
from flows.apply_params import ApplyParams, SettleParams
from flows.commands import app
from flows.permitted import ROOTS
from tasks.apply.guards import Limits
from tasks.apply.hooks import FOLDERS

PAGE = (Path(__file__).resolve().parents[2] / "deployments" / "APPLYING.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"python -m flows apply[^#\n`]*", PAGE)


def test_every_option_of_its_commands_is_there():
    shown = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, ["apply", "--help"]).output
    options = {word for command in COMMANDS for word in re.findall(r"--[a-z0-9-]+", command)}
    assert options == {"--with", "--yes", "--sha256", "--show", "--resume", "--rollback"}
    assert all(option in shown for option in options)


def test_every_name_of_a_setting_is_one():
    names = set(re.findall(r"QUANTUMFLOW_[A-Z]+", PAGE))
    assert names == {ROOTS, FOLDERS, journals.APPLIES, applying.PROTECTED}
    assert apply_server.FREEZE in PAGE
    assert apply_server.LIMIT in PAGE


def test_every_field_that_it_names_is_in_a_form():
    fields = set(ApplyParams.model_fields) | set(SettleParams.model_fields)
    named = re.findall(r"\| `([a-z0-9_]+)`|, `([a-z_]+)`", PAGE)
    assert {name for pair in named for name in pair if name} <= fields
    assert {"max_age_s", "max_actions", "max_moved_gpus", "protected", "protected_priority", "sha256"} <= fields


def test_its_figures_are_the_defaults_of_the_forms():
    limits = ApplyParams().limits(())
    assert limits == Limits()
    assert f"more than {limits.max_actions} actions" in PAGE
    assert f"more than {limits.max_moved_gpus} GPUs" in PAGE
    assert limits.max_age_s == SettleParams(journal=Path("j")).max_age_s == 3_600.0
