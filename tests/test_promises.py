"""What the documents promise: commands that exist, deployments that are valid, layers that hold."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter
from typer.testing import CliRunner

from flows.catalogue import deployment_of, document, entries, flow_of
from flows.catalogue_rules import problems
from flows.commands import app
from flows.params import OptimizeParams

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
YAML: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
COMMANDS = sorted(set(re.findall(r"^(?:\$ )?((?:make|\.venv/bin/python -m|python -m) .*?)(?:\s+#.*)?$", README, re.M)))


def test_the_readme_has_commands() -> None:
    assert any(command.startswith("make run") for command in COMMANDS)
    assert any(command.startswith("make test") for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_of_the_readme_exists(command: str) -> None:
    words = command.split()
    if words[0] == "make":
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
        assert {word for word in words[1:] if "=" not in word} <= targets
        return
    module, arguments = words[words.index("-m") + 1], words[words.index("-m") + 2 :]
    if module != "flows":
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file()
        return
    names = [word for word in arguments[:2] if re.fullmatch(r"[a-z]+", word)]
    options = {word.split("=")[0] for word in arguments if word.startswith("--")}
    while names:
        result = CliRunner().invoke(app, [*names, "--help"])
        if result.exit_code == 0 and "Usage" in result.output:
            break
        names.pop()
    assert names, f"{command}: no such command"
    plain = re.sub(r"\x1b\[[0-9;]*m", "", result.output)
    assert all(option in plain for option in options), f"{command}: {options} not in the help"


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!https?:)[^)#]+)", README))))
def test_each_link_of_the_readme_leads_somewhere(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_deployment_is_sound() -> None:
    assert problems(document()) == []


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["name"])
def test_each_deployment_can_be_served_with_its_schedules_off(entry: dict[str, Any]) -> None:
    deployment = deployment_of(entry)
    assert flow_of(entry).name == deployment.flow_name
    assert [schedule.slug for schedule in deployment.schedules or []] == [each["slug"] for each in entry["schedules"]]
    assert not any(schedule["active"] for schedule in entry["schedules"]), "what ships plans for a sample"


def test_prefect_yaml_is_written_for_the_prefect_that_was_tested() -> None:
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"prefect=={YAML['prefect-version']}\n" in constraints


def test_prefect_reads_the_same_file() -> None:
    from prefect.cli.deploy._models import PrefectYamlModel

    model = PrefectYamlModel.model_validate(YAML)
    assert [deployment.name for deployment in model.deployments] == [entry["name"] for entry in entries()]


def test_prefect_yaml_holds_no_secret() -> None:
    text = (ROOT / "prefect.yaml").read_text(encoding="utf-8").lower()
    assert not re.search(r"password|token|secret|api_key|auth", text)


def test_every_field_of_the_form_has_a_title() -> None:
    schema = OptimizeParams.model_json_schema()
    assert all("title" in field for field in schema["properties"].values())
    assert all("position" in field for field in schema["properties"].values())


def test_the_form_round_trips_as_json() -> None:
    params = OptimizeParams.model_validate({"source": {"kind": "sample"}})
    assert TypeAdapter(OptimizeParams).validate_json(params.model_dump_json()) == params


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(ValueError, match="efort"):
        OptimizeParams.model_validate({"source": {"kind": "sample"}, "efort": "quick"})


def test_the_solvers_import_neither_prefect_nor_the_cluster() -> None:
    code = "import sys, qiskit_solvers; print([m for m in ('prefect', 'data', 'tasks', 'flows') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_changelog_names_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_constraints_pin_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[<>=\[; ]", each)[0].lower().replace("_", "-") for each in wanted} - {project["name"]}
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    assert names <= pinned
