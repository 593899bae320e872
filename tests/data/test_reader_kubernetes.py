"""Facts about reading a Kubernetes cluster from files and from an API server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from data.crosscheck import cross_check
from data.digest import SNAPSHOT
from data.errors import BadSource, SourceUnavailable
from data.readers.kubernetes.cluster import read_kubernetes_files
from data.readers.kubernetes.groups import blocking, group_of, is_movable
from data.readers.kubernetes.live import read_kubernetes_live
from data.readers.kubernetes.objects import natural, seconds

FIXTURES = Path(__file__).parent / "fixtures" / "kubernetes"
NODES, PODS, BUDGETS = FIXTURES / "nodes.json", FIXTURES / "pods.json", FIXTURES / "budgets.json"


@pytest.fixture(scope="module")
def reading():
    return read_kubernetes_files(NODES, PODS, BUDGETS, taken_at=None)


@pytest.fixture(scope="module")
def jobs(reading):
    return {job.id: job for job in reading.snapshot.jobs}


@pytest.fixture(scope="module")
def nodes(reading):
    return {node.id: node for node in reading.snapshot.nodes}


def test_what_is_read_holds_no_contradiction_and_survives_a_round_trip(reading):
    assert cross_check(reading.snapshot) == ()
    assert SNAPSHOT.validate_json(SNAPSHOT.dump_json(reading.snapshot)) == reading.snapshot


def test_the_time_is_the_latest_timestamp_unless_the_caller_knows_it(reading):
    assert reading.snapshot.taken_at == "2027-01-15T08:00:00+00:00"
    later = read_kubernetes_files(NODES, PODS, taken_at="2027-01-15T09:00:00+00:00").snapshot
    assert {job.id: job.waiting_s for job in later.jobs}["ml/next"] == 3 * 3600.0


def test_models_counts_and_power_come_from_the_product_label(nodes):
    assert (nodes["dgx-1"].gpu_model, nodes["dgx-1"].gpus, nodes["dgx-1"].gpu_power_max_w) == ("H100", 8, 700.0)
    assert (nodes["tray-1"].gpu_model, nodes["tray-1"].gpus, nodes["tray-1"].gpu_power_max_w) == ("GB200", 4, 1200.0)


def test_the_clique_is_the_nvlink_domain_else_a_domain_label_else_the_node(nodes):
    assert nodes["tray-1"].nvlink_domain == nodes["tray-2"].nvlink_domain == "c0ffee00-0000-0000-0000-000000000001.1"
    assert nodes["tray-3"].nvlink_domain == "c0ffee00-0000-0000-0000-000000000001.2"
    assert nodes["tray-4"].nvlink_domain == "nvl-x"
    assert nodes["dgx-1"].nvlink_domain == "dgx-1"


def test_the_rack_is_the_nearest_label_that_is_set(nodes):
    assert [nodes[name].rack for name in ("dgx-1", "dgx-2", "tray-1", "tray-4")] == ["leaf9", "lg7", "leaf1", "z1"]


def test_cordoned_tainted_and_dead_nodes_are_told_from_those_that_work(nodes):
    states = {name: node.state for name, node in nodes.items()}
    assert [states[name] for name in ("dgx-1", "soft", "cordoned", "tainted", "dead")] == [
        "up", "up", "drained", "drained", "down",
    ]  # fmt: skip


def test_a_taint_that_every_job_tolerates_drains_nothing():
    found = read_kubernetes_files(NODES, PODS, taken_at=None, tolerated_taints=frozenset({"dedicated"}))
    assert {node.id: node.state for node in found.snapshot.nodes}["tainted"] == "up"


def test_time_sliced_gpus_are_set_aside_and_nodes_without_gpus_left_out(reading, nodes):
    assert not {"shared", "cpu"} & set(nodes)
    assert any(record.path == "nodes.json: items[10].metadata.labels" for record in reading.set_aside)


def test_gpus_that_are_not_allocatable_are_unavailable(nodes):
    assert nodes["dgx-2"].unavailable_gpus == (7,)


def test_a_gang_is_one_job_with_its_pods_in_natural_order(jobs):
    train = jobs["ml/train"]
    assert (train.workers, train.gpus_per_worker, train.state) == (3, 4, "running")
    assert [worker.node for worker in train.placement] == ["tray-1", "tray-2", "tray-3"]
    assert (train.remaining_s, train.waiting_s, train.priority) == (3600.0, 3600.0, 2.0)


def test_pods_of_a_gang_that_differ_in_size_or_state_share_the_gang(jobs):
    assert jobs["ml/uneven:running-4"].gang == jobs["ml/uneven:running-2"].gang == "ml/uneven"
    assert jobs["ml/half:running-1"].gang == jobs["ml/half:pending-1"].gang == "ml/half"


def test_each_replica_of_a_leader_worker_set_is_a_gang_of_its_own(jobs):
    assert jobs["ml/serve-0"].workers == jobs["ml/serve-1"].workers == 2


def test_a_pending_gang_keeps_the_product_that_it_asks_for(jobs):
    assert (jobs["ml/next"].state, jobs["ml/next"].gpu_model, jobs["ml/next"].gpus) == ("pending", "H100", 16)


def test_no_gpu_is_handed_out_twice_and_the_guess_is_noted(reading):
    held = [(w.node, gpu) for job in reading.snapshot.jobs for w in job.placement for gpu in w.gpus]
    assert len(held) == len(set(held))
    assert any("does not tell GPU indexes" in note for note in reading.notes)


def test_a_pod_needs_its_containers_together_or_its_largest_init_step(jobs):
    assert jobs["ml/sidecar"].gpus == 4


def test_a_bound_pod_holds_gpus_before_it_runs_and_while_it_is_deleted(jobs, nodes):
    assert jobs["ml/starting"].state == "running"
    assert "ml/leaving" not in jobs
    assert len(nodes["soft"].unavailable_gpus) == 1


def test_finished_pods_hold_nothing(jobs):
    assert not {"ml/done", "ml/broken", "ml/web"} & set(jobs)


def test_pods_on_a_dead_node_are_set_aside_and_their_gpus_are_not_used(reading, jobs, nodes):
    assert "ml/lost" not in jobs
    assert nodes["dead"].unavailable_gpus == (0,)
    assert any(record.found == "dead" for record in reading.set_aside)


def test_bare_forbidden_and_guarded_pods_stay(jobs):
    assert [jobs[f"ml/{name}"].movable for name in ("train", "bare", "still", "guarded")] == [True, False, False, False]


def test_without_budgets_a_guarded_pod_may_move():
    found = read_kubernetes_files(NODES, PODS, taken_at=None).snapshot
    assert {job.id: job.movable for job in found.jobs}["ml/guarded"]


def test_a_gpu_that_failed_under_a_running_pod_is_held_not_unavailable(tmp_path):
    raw = json.loads(NODES.read_text())
    raw["items"][2]["status"]["allocatable"]["nvidia.com/gpu"] = "3"
    path = tmp_path / "nodes.json"
    path.write_text(json.dumps(raw))
    found = read_kubernetes_files(path, PODS, taken_at=None).snapshot
    assert {node.id: node.unavailable_gpus for node in found.nodes}["tray-1"] == ()
    assert "ml/train" in {job.id for job in found.jobs}


@pytest.mark.parametrize(
    ("pod", "group"),
    [
        ({"spec": {"schedulingGroup": {"podGroupName": "a"}}, "metadata": {"labels": {"job-name": "b"}}}, "a"),
        ({"metadata": {"annotations": {"scheduling.k8s.io/group-name": "a"}, "labels": {"job-name": "b"}}}, "a"),
        ({"metadata": {"annotations": {"pod-group-name": "a"}}}, "a"),
        ({"metadata": {"labels": {"scheduling.x-k8s.io/pod-group": "a", "kueue.x-k8s.io/pod-group-name": "b"}}}, "a"),
        ({"metadata": {"labels": {"jobset.sigs.k8s.io/jobset-name": "a", "job-name": "b"}}}, "a"),
        ({"metadata": {"labels": {"ray.io/cluster": "a"}}}, "a"),
        ({"metadata": {"labels": {"app": "a"}}}, ""),
        ({"metadata": {"labels": None, "annotations": []}}, ""),
    ],
)
def test_the_nearest_gang_label_counts(pod, group):
    assert group_of(pod) == group


@pytest.mark.parametrize(
    ("rule", "movable"),
    [
        ({"key": "app", "operator": "In", "values": ["db"]}, False),
        ({"key": "app", "operator": "NotIn", "values": ["db"]}, True),
        ({"key": "app", "operator": "Exists"}, False),
        ({"key": "app", "operator": "DoesNotExist"}, True),
    ],
)
def test_a_budget_chooses_pods_by_expressions_too(rule, movable):
    budget = {
        "metadata": {"namespace": "n"},
        "spec": {"selector": {"matchExpressions": [rule]}},
        "status": {"disruptionsAllowed": 0},
    }
    pod = {"metadata": {"namespace": "n", "labels": {"app": "db"}, "ownerReferences": [{"kind": "StatefulSet"}]}}
    assert is_movable(pod, blocking([budget])) is movable
    budget["status"]["disruptionsAllowed"] = 1
    assert is_movable(pod, blocking([budget]))


def test_names_are_sorted_as_people_count():
    assert sorted(["w-10", "w-9", "w-1"], key=natural) == ["w-1", "w-9", "w-10"]
    assert sorted(["9a", "a9", "10a"], key=natural)


@pytest.mark.parametrize("broken", [b"", b'{"items": [', b"[]", b'{"kind": "Status"}'])
def test_files_that_are_no_lists_are_refused_with_their_name(tmp_path, broken):
    path = tmp_path / "pods.json"
    path.write_bytes(broken)
    with pytest.raises(BadSource, match=r"pods\.json"):
        read_kubernetes_files(NODES, path, taken_at=None)


@pytest.mark.parametrize(("count", "said"), [("99999999999", "at most 1024 GPUs"), ("9" * 5000, "at most 1024 GPUs")])
def test_an_absurd_number_of_gpus_sets_aside_the_node(tmp_path, count, said):
    raw = json.loads(NODES.read_text())
    raw["items"][0]["status"]["capacity"]["nvidia.com/gpu"] = count
    (tmp_path / "nodes.json").write_text(json.dumps(raw))
    found = read_kubernetes_files(tmp_path / "nodes.json", PODS, taken_at=None)
    assert ("nodes.json: items[0].status", said) in [(bad.path, bad.expected) for bad in found.set_aside]
    assert raw["items"][0]["metadata"]["name"] not in [node.id for node in found.snapshot.nodes]


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00", "", "soon", "2026-13-01T00:00:00Z"])
def test_a_time_that_was_never_set_counts_as_unknown(stamp):
    assert seconds(stamp) == 0.0
    assert seconds("2026-01-01T00:00:00") == seconds("2026-01-01T00:00:00Z") == 1_767_225_600.0


@pytest.mark.parametrize(
    "place", [("metadata",), ("spec",), ("status",), ("metadata", "labels"), ("spec", "containers")]
)
@pytest.mark.parametrize("value", [None, 7, [], [None], {}, "?"])
def test_no_part_of_a_wrong_kind_stops_the_reading(tmp_path, place, value):
    for source in (NODES, PODS):
        raw = json.loads(source.read_text())
        for item in raw["items"][1:]:
            holder = item
            for key in place[:-1]:
                holder = holder.get(key, {})
            holder[place[-1]] = value
        (tmp_path / source.name).write_text(json.dumps(raw))
    found = read_kubernetes_files(tmp_path / "nodes.json", tmp_path / "pods.json", taken_at=None)
    assert cross_check(found.snapshot) == ()


def test_a_missing_file_can_be_tried_again(tmp_path):
    with pytest.raises(SourceUnavailable, match="absent"):
        read_kubernetes_files(tmp_path / "absent.json", PODS, taken_at=None)


class Api(BaseHTTPRequestHandler):
    """Serves the fixtures as an API server does, five objects a page."""

    refused: frozenset[str] = frozenset()

    def do_GET(self):
        url = urlsplit(self.path)
        source = {"nodes": NODES, "pods": PODS, "poddisruptionbudgets": BUDGETS}[url.path.rsplit("/", 1)[1]]
        if source.stem in self.refused:
            self.send_error(403)
            return
        found = json.loads(source.read_text())["items"]
        start = int(parse_qs(url.query).get("continue", ["0"])[0])
        metadata = {"continue": str(start + 5)} if start + 5 < len(found) else {}
        body = json.dumps({"kind": "List", "metadata": metadata, "items": found[start : start + 5]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Start an API server that refuses some lists, and point the kubeconfig at it."""
    servers = []

    def start(*refused):
        handler = type("Handler", (Api,), {"refused": frozenset(refused)})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        kubeconfig(tmp_path, monkeypatch, server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def kubeconfig(folder, monkeypatch, port):
    (folder / "config").write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "lab",
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(folder / "config"))
    monkeypatch.setenv("KUBECONFIG", str(folder / "config"))


def test_a_live_cluster_reads_like_its_files_page_by_page(serve, reading):
    serve()
    live = read_kubernetes_live(context="lab", timeout_s=10)
    assert live.snapshot.cluster == "lab"
    assert live.snapshot.nodes == reading.snapshot.nodes
    assert {job.id: job.placement for job in live.snapshot.jobs} == {
        job.id: job.placement for job in reading.snapshot.jobs
    }


def test_budgets_that_may_not_be_listed_are_noted(serve):
    serve("budgets")
    current = read_kubernetes_live(context=None, timeout_s=10)
    assert any("budgets were not heeded" in note for note in current.notes)
    assert current.snapshot.cluster == "lab", "the name of the context, also where it is the current one"


def test_a_refusal_can_be_tried_again_and_is_named(serve):
    serve("pods")
    with pytest.raises(SourceUnavailable, match="list of pods: 403"):
        read_kubernetes_live(context=None, timeout_s=10)


def test_an_unknown_context_and_a_silent_server_are_named(tmp_path, monkeypatch):
    kubeconfig(tmp_path, monkeypatch, 1)
    with pytest.raises(SourceUnavailable, match="context other"):
        read_kubernetes_live(context="other", timeout_s=1)
    with pytest.raises(SourceUnavailable, match="list of nodes"):
        read_kubernetes_live(context="lab", timeout_s=1)


def test_neither_a_kubeconfig_nor_a_cluster_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "absent"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(SourceUnavailable, match="not in a cluster"):
        read_kubernetes_live(context=None, timeout_s=1)
