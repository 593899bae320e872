"""Are the manifests valid, do they fit one another, and how much may their pods do?"""

import json
import re
import warnings
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).resolve().parents[2] / "deployments"
VERSION = "1.33"
DOCUMENTS = [
    (path.name, document)
    for path in sorted((FOLDER / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]
TEMPLATE = json.loads((FOLDER / "work_pools/kubernetes.json").read_text(encoding="utf-8"))


def name_of(each):
    return f"{each[0]}-{each[1]['kind']}-{each[1]['metadata']['name']}"


def validate(document):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of what the validator itself imports
        import kubernetes_validate

        kubernetes_validate.validate(document, VERSION, strict=True)


def of_kind(*kinds):
    return [document for _, document in DOCUMENTS if document["kind"] in kinds]


def rendered(**given):
    """The Job of a run, as the worker fills the template in."""
    variables = TEMPLATE["variables"]["properties"]
    values = {name: field["default"] for name, field in variables.items() if field.get("default") is not None}
    values |= given

    def fill(value):
        if isinstance(value, dict):
            filled = {key: fill(each) for key, each in value.items()}
            return {key: each for key, each in filled.items() if each is not None}
        if isinstance(value, list):
            return [fill(each) for each in value]
        if isinstance(value, str) and (whole := re.fullmatch(r"\{\{ (\w+) \}\}", value)):
            return values.get(whole[1])
        return re.sub(r"\{\{ (\w+) \}\}", lambda it: str(values[it[1]]), value) if isinstance(value, str) else value

    job = fill(TEMPLATE["job_configuration"]["job_manifest"])
    job["metadata"]["generateName"] = "small-"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    environment = TEMPLATE["job_configuration"]["env"].items()
    container |= {
        "args": ["prefect", "flow-run", "execute"],
        "env": [{"name": name, "value": value} for name, value in environment],
    }
    return job


PODS = [(name_of(each), each[1]["spec"]["template"]) for each in DOCUMENTS if each[1]["kind"] in ("Deployment", "Job")]
PODS.append(("run", rendered()["spec"]["template"]))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_each_manifest_is_valid(document):
    validate(document[1])


def test_the_job_of_a_run_is_valid():
    job = rendered()
    validate(job)
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example.com/quantumflow:0.1.0"


def test_a_misspelt_field_would_be_found():
    job = rendered()
    job["spec"]["template"]["spec"]["restartPolice"] = "Never"
    with pytest.raises(Exception, match="restartPolice"):
        validate(job)


def test_the_template_uses_each_of_its_variables_and_no_other():
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(TEMPLATE["job_configuration"])))
    assert used == set(TEMPLATE["variables"]["properties"])


def test_the_template_is_one_that_the_kubernetes_worker_accepts():
    worker = pytest.importorskip("prefect_kubernetes.worker", reason="prefect-kubernetes is in the image, not here")
    theirs = worker.KubernetesWorker.get_default_base_job_template()
    assert set(TEMPLATE["job_configuration"]) <= set(theirs["job_configuration"])


@pytest.mark.parametrize("pod", [pod for _, pod in PODS], ids=[name for name, _ in PODS])
def test_each_pod_obeys_the_restricted_profile(pod):
    spec = pod["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert all("hostPath" not in volume for volume in spec["volumes"])
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert not container["image"].endswith(":latest")
        assert "memory" in container["resources"]["limits"]
        assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in spec["volumes"]}


@pytest.mark.parametrize("pod", [pod for _, pod in PODS], ids=[name for name, _ in PODS])
def test_settings_come_from_maps_and_secrets_of_the_pod_s_own_side(pod):
    (container,) = pod["spec"]["containers"]
    labels = pod["metadata"]["labels"]
    metrics = labels.get("app.kubernetes.io/name") == "metrics"
    side = "worker" if metrics or labels.get("quantumflow/api") == "yes" else "server"
    sources = [(key, source[key]["name"]) for source in container["envFrom"] for key in source]
    assert {name for _, name in sources} == {side}
    assert not metrics or {kind for kind, _ in sources} == {"configMapRef"}, "it asks no server"
    for variable in container.get("env", []):
        assert not re.search(r"PASSWORD$|AUTH_STRING$", variable["name"])
        assert "://" not in variable["value"]


def test_selectors_find_their_pods():
    labels = {
        document["metadata"]["name"]: document["spec"]["template"]["metadata"]["labels"]
        for document in of_kind("Deployment")
    }
    for document in of_kind("Deployment"):
        wanted = document["spec"]["selector"]["matchLabels"].items()
        assert wanted <= labels[document["metadata"]["name"]].items()
    for document in of_kind("Service"):
        assert document["spec"]["selector"].items() <= labels[document["metadata"]["name"]].items()


def test_every_pod_is_in_a_network_policy_beside_the_one_that_refuses_all():
    policies = of_kind("NetworkPolicy")
    refuse = next(policy for policy in policies if policy["metadata"]["name"] == "nobody")
    assert refuse["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    selectors = [policy["spec"]["podSelector"].get("matchLabels", {}) for policy in policies]
    for name, pod in PODS:
        assert any(each and each.items() <= pod["metadata"]["labels"].items() for each in selectors), name


def test_automations_reach_the_addresses_that_they_tell():
    selected = [
        policy["spec"]["egress"]
        for policy in of_kind("NetworkPolicy")
        if policy["spec"]["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "services"}}
    ]
    assert selected == [[{"ports": [{"protocol": "TCP", "port": 443}]}]]


def test_probes_ask_the_right_questions():
    (server,) = (each for each in of_kind("Deployment") if each["metadata"]["name"] == "server")
    (container,) = server["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/api/health"
    assert container["readinessProbe"]["httpGet"]["path"] == "/api/ready"


def test_nobody_may_do_everything():
    for role in of_kind("Role", "ClusterRole"):
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert "secrets" not in rule["resources"]
    assert all(set(rule["verbs"]) == {"list"} for role in of_kind("ClusterRole") for rule in role["rules"])


def test_everything_but_what_has_no_namespace_is_in_ours():
    for _, document in DOCUMENTS:
        if document["kind"] not in ("Namespace", "ClusterRole", "ClusterRoleBinding"):
            assert document["metadata"]["namespace"] == "quantumflow"
