"""A web client may choose a run's parameters: which files, servers and secrets can they reach?"""

import ast
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from pydantic import TypeAdapter, ValidationError

from data.errors import BadSource
from data.readers.sources import Prometheus
from flows.budget import BudgetParams
from flows.catalogue import entries, flow_of
from flows.checkpoint import CheckpointParams
from flows.fleet_params import FleetParams
from flows.params import OptimizeParams
from flows.permitted import HOSTS, ROOTS, TOKENS, Permitted, forbidden, in_deployment, permitted, require_permitted
from flows.tokens import TokenParams

FLOWS = Path(__file__).resolve().parents[2] / "flows"
SAMPLE = {"kind": "sample"}


def run_of(deployment: Any) -> FlowRunContext:
    """Return what Prefect puts around a run of ``deployment``, or of none."""
    run = FlowRun.model_construct(id=uuid4(), flow_id=uuid4(), deployment_id=deployment)
    return FlowRunContext.model_construct(flow_run=run)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder that this worker may use."""
    (tmp_path / "root").mkdir()
    monkeypatch.setenv(ROOTS, str(tmp_path / "root"))
    monkeypatch.delenv(HOSTS, raising=False)
    monkeypatch.delenv(TOKENS, raising=False)
    monkeypatch.chdir(tmp_path / "root")
    return tmp_path / "root"


OUTSIDE = [
    (OptimizeParams, {"source": SAMPLE, "output": "/etc"}, "params.output"),
    (OptimizeParams, {"source": SAMPLE, "output": "../elsewhere"}, "params.output"),
    (OptimizeParams, {"source": SAMPLE, "previous_plan": "/root/plan.json"}, "params.previous_plan"),
    (OptimizeParams, {"source": SAMPLE, "power_model": "/srv/model"}, "params.power_model"),
    (OptimizeParams, {"source": SAMPLE, "topology": "/proc/self/environ"}, "params.topology"),
    (OptimizeParams, {"source": {"kind": "snapshot", "path": "/etc/shadow"}}, "params.source.path"),
    (OptimizeParams, {"source": {"kind": "slurm-files", "squeue": "a", "sinfo": "/b"}}, "params.source.sinfo"),
    (
        OptimizeParams,
        {"source": {"kind": "expert-recordings", "paths": ["a", "/b"], "ranks": 1, "slots_per_rank": 1}},
        "params.source.paths[1]",
    ),
    (OptimizeParams, {"source": SAMPLE, "output": "a\0b"}, "params.output"),
    (
        FleetParams,
        {"source": {"kind": "catalogue", "prices": ["p"], "regions": "r", "demand": "d",
                    "emission_factors": {"aws": "/etc/passwd"}}},
        "params.source.emission_factors.aws",
    ),
    (FleetParams, {"outages": "/etc/passwd"}, "params.outages"),
    (BudgetParams, {"budget_usd": 1.0, "prices": "/etc/passwd"}, "params.prices"),
    (TokenParams, {"tokens": "t", "model_graph": "g", "output": "/usr/lib/x.json"}, "params.output"),
    (CheckpointParams, {"ask": {"do": "restore", "archive": "a.qfz", "target": "/usr/bin/x"}}, "params.ask.target"),
    (CheckpointParams, {"ask": {"do": "verify", "archive": "a.qfz", "bases": ["/"]}}, "params.ask.bases[0]"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "fields", "place"), OUTSIDE, ids=[f"{row[0].__name__}-{row[2]}" for row in OUTSIDE])
def test_a_path_outside_the_roots_is_refused_in_a_deployment(form, fields, place, root):
    params = form.model_validate(fields)
    with run_of(uuid4()), pytest.raises(BadSource) as refused:
        require_permitted(params)
    assert [record.path for record in refused.value.records] == [place]
    assert ROOTS in str(refused.value) or "\\x00" in str(refused.value)


def test_paths_under_the_roots_pass(root):
    fields = {"source": {"kind": "snapshot", "path": str(root / "cluster.json")}, "previous_plan": "runs"}
    with run_of(uuid4()):
        require_permitted(OptimizeParams.model_validate(fields))


def test_what_prefect_yaml_asks_for_passes(root):
    for entry in entries():
        with run_of(uuid4()):
            for each in flow_of(entry).validate_parameters(entry["parameters"]).values():
                require_permitted(each)


def test_a_link_that_leads_out_is_refused(root, tmp_path):
    (root / "runs").symlink_to(tmp_path)
    (root / "circle").symlink_to(root / "circle")
    for name in ("runs/x", "circle/x"):
        with run_of(uuid4()), pytest.raises(BadSource, match=r"params\.output"):
            require_permitted(OptimizeParams.model_validate({"source": SAMPLE, "output": name}))


def test_a_neighbour_whose_name_begins_alike_is_outside(root):
    with run_of(uuid4()), pytest.raises(BadSource, match=r"params\.output"):
        require_permitted(OptimizeParams.model_validate({"source": SAMPLE, "output": f"{root}-2/runs"}))


def test_whoever_sits_at_a_terminal_keeps_his_rights(root):
    params = OptimizeParams.model_validate({"source": SAMPLE, "output": "/srv/plans"})
    assert not in_deployment()
    require_permitted(params)
    with run_of(None):
        require_permitted(params)


def test_unset_the_working_folder_and_loopback_are_allowed_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert permitted({}) == Permitted((tmp_path.resolve(),), frozenset({"127.0.0.1", "::1", "localhost"}))
    assert permitted({HOSTS: " Prometheus.Site , 10.0.0.7,"}).hosts == {"prometheus.site", "10.0.0.7"}
    with pytest.raises(BadSource, match="QUANTUMFLOW_ROOTS: expected whole paths"):
        permitted({ROOTS: "data:/srv"})


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "https://evil.example",
        "http://127.0.0.1.evil.example",
        "http://[fe80::1]:9090",
        "http://localhost.evil.example:9090/",
    ],
)
def test_a_server_that_the_worker_was_not_told_of_is_not_asked(url, root):
    """Also no token goes there, whichever variable a parameter names."""
    telemetry = {"url": url, "token_variable": "PREFECT_API_AUTH_STRING"}
    params = OptimizeParams.model_validate({"source": SAMPLE, "telemetry": telemetry})
    with run_of(uuid4()), pytest.raises(BadSource, match=HOSTS):
        require_permitted(params)


def test_a_server_that_the_worker_was_told_of_is_asked(root, monkeypatch):
    params = OptimizeParams.model_validate({"source": SAMPLE, "telemetry": {"url": "https://Prometheus.site:9090/p"}})
    monkeypatch.setenv(HOSTS, "prometheus.site")
    with run_of(uuid4()):
        require_permitted(params)


@pytest.mark.parametrize(
    ("listed", "named", "passes"),
    [
        (None, "PROMETHEUS_TOKEN", False),
        ("", "", False),
        ("PROMETHEUS_TOKEN", "KUBE_TOKEN", False),
        ("PROMETHEUS_TOKEN", "prometheus_token", False),
        (" OTHER , PROMETHEUS_TOKEN", "PROMETHEUS_TOKEN", True),
        ("PREFECT_API_AUTH_STRING", "PREFECT_API_AUTH_STRING", False),
        ("prefect_api_key", "prefect_api_key", False),
        ("QUANTUMFLOW_DATABASE_PASSWORD", "QUANTUMFLOW_DATABASE_PASSWORD", False),
    ],
)
def test_a_secret_that_the_worker_does_not_list_is_sent_nowhere(listed, named, passes, root, monkeypatch):
    """Not to this machine either: whoever fills in the form may listen on one of its ports."""
    if listed is not None:
        monkeypatch.setenv(TOKENS, listed)
    telemetry = {"url": "http://127.0.0.1:31337", "token_variable": named}
    params = OptimizeParams.model_validate({"source": SAMPLE, "telemetry": telemetry})
    if passes:
        with run_of(uuid4()):
            require_permitted(params)
    else:
        with run_of(uuid4()), pytest.raises(BadSource) as refused:
            require_permitted(params)
        assert [record.path for record in refused.value.records] == ["params.telemetry.token_variable"]


@pytest.mark.parametrize(
    ("hosts", "url", "passes"),
    [
        ("site:9090", "http://site:9090/p", True),
        ("site:9090", "http://site:31337", False),
        ("site:9090", "http://site", False),
        ("site:443", "https://site/p", True),
        ("site:80", "http://Site", True),
        ("site", "http://site:31337", True),
        ("[fe80::1]:9090", "http://[fe80::1]:9090", True),
        ("[fe80::1]:9090", "http://[fe80::1]:80", False),
        ("fe80::1", "http://[fe80::1]:80", True),
        ("fe80::1:80", "http://[fe80::1]:80", False),
        ("site:0", "http://site:0", True),
        ("site", "http://site:99999", False),
    ],
)
def test_where_a_port_is_listed_no_other_is_asked(hosts, url, passes):
    allowed = permitted({HOSTS: hosts})
    assert (not list(forbidden(TypeAdapter(Prometheus).validate_python({"url": url}), allowed))) is passes


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "gopher://h", "ftp://h", "http://", "https://user:secret@h", "http://h/a@b", "http://h h",
     "http://h/?a=1", "http://h/#a", "http://h\n"],
)  # fmt: skip
def test_an_address_is_http_without_credentials_already_in_the_form(url):
    """The server of Prefect checks forms against the same pattern, before it stores what was typed."""
    with pytest.raises(ValidationError):
        TypeAdapter(Prometheus).validate_python({"url": url})


def test_places_are_found_wherever_they_stand(tmp_path):
    allowed = Permitted((tmp_path,), frozenset())
    told = SimpleNamespace(path=Path("/etc"))  # no form: nothing of ours hides paths in such
    value = {"a": [Path("/etc"), (Path("/usr"), {"b": Path("/var")})], "told": told}
    places = ["params.a[0]", "params.a[1][0]", "params.a[1][1].b"]
    assert [record.path for record in forbidden(value, allowed)] == places


def flows_of(path: Path) -> list[ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(getattr(getattr(each, "func", each), "id", "") == "flow" for each in node.decorator_list)
    ]


ASKED = [(path, node) for path in sorted(FLOWS.glob("*.py")) for node in flows_of(path)]


@pytest.mark.parametrize(("path", "node"), ASKED, ids=[node.name for _, node in ASKED])
def test_every_flow_asks_what_is_permitted(path, node):
    """plan_cluster, which the flows of a cluster share, asks for them."""
    called = {each.func.id for each in ast.walk(node) if isinstance(each, ast.Call) and isinstance(each.func, ast.Name)}
    assert called & {"require_permitted", "plan_cluster"}, f"{path.name}: {node.name} takes any path from the web"


def test_the_shared_pipeline_asks():
    text = (FLOWS / "pipeline.py").read_text(encoding="utf-8")
    body = text[text.index("def plan_cluster") :]
    assert body.index("require_permitted(params)") < body.index("run_folder(")


def test_no_deployment_carries_a_secret():
    words = ("password", "secret", "token", "api_key", "authorization")
    text = json.dumps(entries()).lower()
    assert not [word for word in words if word in text]
