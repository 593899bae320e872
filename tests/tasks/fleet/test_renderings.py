"""Facts about renderings of a fleet's plan: they parse, hold the plan's sizes, and no name from outside breaks out."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from data.schemas.fleet import Fleet
from data.schemas.fleet_plan import FleetPlan, ResourceChange, Step
from tasks.fleet.renderings.kubernetes import as_kubernetes
from tasks.fleet.renderings.names import MACHINE, REGION, Rendered, label, states
from tasks.fleet.renderings.opentofu import as_opentofu
from tasks.fleet.renderings.skypilot import as_skypilot
from tests.tasks.fleet.plans import sample_fleet, sample_plan

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
REAL = {"altus": "aws", "boreas": "gcp", "cirro": "azure", "dorado": "alicloud"}
HOSTILE = (
    "aws:us-east-1/x${file(/etc/passwd)}/spot",
    'aws:us-east-1/x"}],"provisioner":[/spot',
    "aws:../../etc/h100x8/spot",
    "aws:[us]/h100x8/spot",
    "aws:us-east-1@evil/h100x8/spot",
    "nocloud/h100x8/spot",
    "aws:us-east-1/h100x8:latest/spot",
    "aws:us-ëast-1/h100x8/spot",
)


def loaded(text: str) -> list[Any]:
    """Return the documents of a stream of YAML."""
    return list(yaml.load_all(text, Loader=LOADER))


def renamed(region: str) -> str:
    """Return the region with the name of a real cloud."""
    cloud, _, name = region.partition(":")
    return f"{REAL[cloud]}:{name}"


@cache
def real() -> FleetPlan:
    """Return the sample's plan as if its clouds were real ones."""

    def change(each: ResourceChange) -> ResourceChange:
        region = renamed(each.region)
        return replace(each, region=region, address=f"{region}/{each.sku}/{each.purchase}")

    def moved(steps: tuple[Step, ...]) -> tuple[Step, ...]:
        return tuple(replace(each, address=renamed(each.address)) for each in steps)

    plan = sample_plan()
    return replace(
        plan,
        resource_changes=tuple(change(each) for each in plan.resource_changes),
        waves=tuple(replace(each, starts=moved(each.starts), stops=moved(each.stops)) for each in plan.waves),
    )


def real_fleet() -> Fleet:
    """Return the sample; only its machines matter here."""
    return sample_fleet()


def rendered(plan: FleetPlan) -> dict[str, Rendered]:
    """Return all renderings."""
    return {
        "opentofu": as_opentofu(plan),
        "kubernetes": as_kubernetes(plan, real_fleet()),
        "skypilot": as_skypilot(plan),
    }


def hostile(address: str) -> FleetPlan:
    """Return a plan of one resource with a name that no schema kept out."""
    region, sku, purchase = address.rsplit("/", 2) if address.count("/") >= 2 else (address, "x", "spot")
    first = next(each for each in real().resource_changes if each.change.after)
    one = replace(first, address=address, region=region, sku=sku, purchase=purchase)  # type: ignore[arg-type]
    return replace(real(), resource_changes=(one,), waves=())


def test_opentofu_has_a_folder_for_each_cloud_and_the_sizes_of_every_half_of_a_wave() -> None:
    files = dict(as_opentofu(real()).files)
    assert as_opentofu(real()).left_out == ()
    assert {path.partition("/")[0] for path in files} == {"aws", "google", "azurerm", "alicloud"}
    nodes: dict[str, int] = {}
    for provider in ("aws", "google", "azurerm", "alicloud"):
        after = json.loads(files[f"{provider}/after.tfvars.json"])["nodes"]
        before = json.loads(files[f"{provider}/before.tfvars.json"])["nodes"]
        last = json.loads(files[f"{provider}/{states(real())[-1][0]}.tfvars.json"])["nodes"]
        assert last == after
        assert before.keys() == after.keys()
        nodes |= after
    assert sum(nodes.values()) == sum(each.change.after for each in real().resource_changes)


def test_every_size_and_provider_that_opentofu_reads_is_there() -> None:
    files = dict(as_opentofu(real()).files)
    for provider in ("aws", "google", "azurerm", "alicloud"):
        text = files[f"{provider}/main.tf.json"]
        main, sizes = json.loads(text), json.loads(files[f"{provider}/after.tfvars.json"])["nodes"]
        assert set(re.findall(r'\$\{var\.nodes\[\\"(\w+)\\"\]\}', text)) == sizes.keys()
        variables = set(re.findall(r"var\.(\w+)\[", text))
        assert variables == main["variable"].keys()
        aliases = {f"{provider}.{each['alias']}" for each in main["provider"][provider] if "alias" in each}
        used = {each.get("provider") for kind in main["resource"].values() for each in kind.values()} - {None}
        assert used == aliases
        for kind in main["resource"]:
            assert kind.startswith(f"{provider}_")
        for one, other in re.findall(r"\$\{(\w+)\.(\w+)\.(?:id|self_link)\}", text):
            assert other in main["resource"][one]
        assert not re.search(r"secret|password|access_key|token", text)


def test_kubernetes_files_hold_the_planned_sizes_and_name_each_object_once() -> None:
    found = as_kubernetes(real(), real_fleet())
    replicas: dict[str, dict[str, int]] = {"Deployment": {}, "MachineDeployment": {}}
    for path, text in found.files:
        if path == "sizes.yaml":
            continue
        for each in loaded(text):
            if each["kind"] in replicas:
                name = each["metadata"]["name"]
                assert name not in replicas[each["kind"]]
                assert re.fullmatch(r"[a-z][a-z0-9-]{0,61}[a-z0-9]", name)
                replicas[each["kind"]][name] = each["spec"]["replicas"]
    wanted = sorted(each.change.after for each in real().resource_changes)
    assert sorted(replicas["Deployment"].values()) == wanted
    assert replicas["Deployment"] == replicas["MachineDeployment"]
    sizes = loaded(dict(found.files)["sizes.yaml"])[0]
    assert sizes[states(real())[-1][0]] == replicas["Deployment"]


def test_kubernetes_objects_have_the_fields_that_its_client_knows_and_no_others() -> None:
    client = pytest.importorskip("kubernetes.client", reason="the Kubernetes client is not installed")
    api = client.ApiClient(client.Configuration())
    kinds = {"Namespace": "V1Namespace", "Deployment": "V1Deployment"}
    seen = 0
    for path, text in as_kubernetes(real(), real_fleet()).files:
        for each in loaded(text) if path.endswith(".workers.yaml") else ():
            answer = SimpleNamespace(data=json.dumps(each))
            try:
                known = api.deserialize(answer, kinds[each["kind"]])
            except TypeError:
                known = api.deserialize(answer.data, kinds[each["kind"]], "application/json")
            assert api.sanitize_for_serialization(known) == each
            seen += 1
    assert seen > len(real().resource_changes)


@pytest.mark.slow
def test_kubernetes_objects_are_as_their_schemas_say() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    seen = 0
    for path, text in as_kubernetes(real(), real_fleet()).files:
        if path.endswith(".workers.yaml"):
            for each in loaded(text):
                validate.validate(each, "1.29", strict=True)
                seen += 1
    assert seen > len(real().resource_changes)


def test_skypilot_services_hold_the_planned_replicas_of_the_clouds_that_it_knows() -> None:
    found = as_skypilot(real())
    replicas = 0
    for _, text in found.files:
        task = loaded(text)[0]
        places = [each["infra"] for each in task["resources"]["any_of"]]
        assert json.loads(task["envs"]["PLANNED_NODES"]).keys() == set(places)
        assert len({each["use_spot"] for each in task["resources"]["any_of"]}) == 1
        replicas += task["service"]["replicas"]
    known = [each for each in real().resource_changes if not each.region.startswith("alicloud:")]
    assert replicas == sum(each.change.after for each in known)
    assert len(found.left_out) == len(real().resource_changes) - len(known)


def test_skypilot_tasks_are_as_its_schema_says() -> None:
    schemas = pytest.importorskip("sky.utils.schemas", reason="SkyPilot is not installed")
    utils = pytest.importorskip("sky.utils.common_utils", reason="SkyPilot is not installed")
    for _, text in as_skypilot(real()).files:
        task = loaded(text)[0]
        utils.validate_schema(task, schemas.get_task_schema(), "task: ")
        utils.validate_schema(task["resources"], schemas.get_resources_schema(), "resources: ")
        utils.validate_schema(task["service"], schemas.get_service_schema(), "service: ")


@pytest.mark.parametrize("address", HOSTILE)
def test_names_that_no_cloud_could_look_up_are_left_out_and_told(address: str) -> None:
    for name, found in rendered(hostile(address)).items():
        assert len(found.left_out) == 1, name
        for path, text in found.files:
            assert re.fullmatch(r"[\w./-]+", path)
            assert ".." not in path
            for word in ("passwd", "provisioner", "evil", "latest", "etc"):
                assert word not in text


def test_words_of_a_plan_reach_no_rendering() -> None:
    plan = replace(real(), resource_changes=real().resource_changes[:5], waves=())
    words = "${file(1)}\n- x: !!python/object:os"
    evil = tuple(replace(each, reason=words, risk="%{ if }") for each in plan.resource_changes)
    assert rendered(replace(plan, resource_changes=evil, notes=("${x}",))) == rendered(plan)


def test_clouds_without_a_provider_are_told() -> None:
    found = as_opentofu(sample_plan())
    assert found.files == ()
    assert len(found.left_out) == len(sample_plan().resource_changes)


@given(st.lists(st.text(max_size=80), min_size=1, max_size=3), st.sampled_from(["-", "_"]))
def test_a_label_is_always_a_name(parts: list[str], mark: str) -> None:
    found = label(*parts, mark=mark)
    assert re.fullmatch(rf"[a-z][a-z0-9{mark}]{{0,61}}[a-z0-9]", found)
    assert REGION.fullmatch(found) or mark == "_"
    assert MACHINE.fullmatch(found)


@pytest.mark.system
@pytest.mark.parametrize("provider", ["aws", "google", "azurerm", "alicloud"])
def test_opentofu_validates_what_is_rendered(provider: str, tmp_path: Path) -> None:
    binary = shutil.which("tofu") or shutil.which("terraform")
    if binary is None:
        pytest.skip("neither tofu nor terraform is installed")
    for path, text in as_opentofu(real()).files:
        if path.startswith(f"{provider}/"):
            (tmp_path / path.partition("/")[2]).write_text(text, encoding="utf-8")
    listed = subprocess.run(
        [binary, "providers"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )  # reads the configuration, and needs no provider for it
    assert listed.returncode == 0, listed.stderr
    assert provider in listed.stdout
    ready = subprocess.run(
        [binary, "init", "-backend=false", "-input=false"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if ready.returncode:
        pytest.skip("the provider's schema cannot be fetched here; the configuration itself was read")
    done = subprocess.run([binary, "validate"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
