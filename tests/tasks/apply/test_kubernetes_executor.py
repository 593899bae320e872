"""Facts about plans on Kubernetes, against a small API server that merges and refuses as the real one does."""

import hashlib
import json
import threading
from dataclasses import replace

import pytest
import yaml

from data.errors import ApplyFailed, SourceUnavailable
from data.schemas.checkpoint import Archive
from data.schemas.job import Worker
from data.schemas.plan import Compress, Migrate, MoveReplicas, Place, Recap, Start
from data.transition import inverse
from tasks.apply.kubernetes import KubernetesExecutor
from tests.tasks.apply.kubernetes_stand_in import Refused, World, serve

QUICK = KubernetesExecutor(
    context="test", poll_s=0.05, stop_timeout_s=3.0, start_timeout_s=3.0, request_timeout_s=5.0, taken_s=1_800_000_000
)
NODES = ("a", "b", "c", "d")


def on(*nodes):
    return tuple(Worker(node, tuple(range(8))) for node in nodes)


def standings(actions):
    return [found.standing for found in QUICK.look(actions)]


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Four nodes with room for one pod each; jobs one and two lie across."""
    made = World(dict.fromkeys(NODES, 1))
    server = serve(made)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    made.server = server
    (tmp_path / "config").write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def across(world):
    """Jobs one on a and c, two on b and d, and the batch that brings each together."""
    for name, nodes in (("one", "ac"), ("two", "bd")):
        world.room = {node: int(node in nodes) for node in NODES}
        world.add_job(name, 2)
    world.room = dict.fromkeys(NODES, 1)
    return (
        Migrate("team/one", on("a", "c"), on("a", "b"), 0, "together", 1.0),
        Migrate("team/two", on("b", "d"), on("c", "d"), 0, "together", 1.0),
    )


def test_a_batch_is_suspended_placed_and_started_and_comes_back(world, across):
    assert standings(across) == ["before", "before"]
    QUICK.carry_out(across)
    assert (world.nodes("one"), world.nodes("two")) == (["a", "b"], ["c", "d"])
    assert standings(across) == ["after", "after"]
    suspends = [
        body["spec"]["suspend"] for method, kind, _, body in world.requests if (method, kind) == ("PATCH", "jobs")
    ]
    assert suspends == [True, True, True, True, False, False], "all stop before any starts"
    patches = len(suspends)
    QUICK.carry_out(across)
    assert sum(method == "PATCH" for method, *_ in world.requests) == patches, "what is in force is left alone"
    QUICK.carry_out(inverse(across))
    assert (world.nodes("one"), world.nodes("two")) == (["a", "c"], ["b", "d"])
    assert standings(across) == ["before", "before"]


def test_a_batch_that_was_cut_off_after_any_request_is_finished(world, across):
    for left in (0, 1, 3, 5):
        world.interfering = cut_off_after(left)
        with pytest.raises(SourceUnavailable):
            QUICK.carry_out(across)
        world.interfering = None
        QUICK.carry_out(across)
        assert standings(across) == ["after", "after"]
        QUICK.carry_out(inverse(across))
        assert standings(across) == ["before", "before"]


def cut_off_after(patches):
    left = iter(range(patches))

    def interfere():
        if next(left, None) is None:
            raise Refused(503, "the server is gone")

    return interfere


def test_a_job_that_waits_gets_its_nodes_and_any_again(world):
    world.room = {}
    world.add_job("late", 2)
    place = Place("team/late", (), on("b", "c"), "near its data", 1.0)
    assert standings([place]) == ["before"]
    QUICK.carry_out([place])
    assert standings([place]) == ["after"]
    world.room = dict.fromkeys(NODES, 1)
    world.settle()
    assert world.nodes("late") == ["b", "c"]
    assert standings([place]) == ["after"]
    QUICK.carry_out(inverse([place]))
    assert "affinity" not in world.job("late")["spec"]["template"]["spec"]
    world.settle()
    assert world.nodes("late") == ["a", "b"]


def test_a_later_plan_may_place_what_an_earlier_one_placed(world):
    world.room = {}
    world.add_job("late", 1)
    QUICK.carry_out([Place("team/late", (), on("b"), "r", 1.0)])
    place = Place("team/late", (), on("c"), "r", 1.0)
    assert standings([place]) == ["before"]
    QUICK.carry_out([place])
    world.room = dict.fromkeys(NODES, 1)
    world.settle()
    assert world.nodes("late") == ["c"]
    move = Migrate("team/late", on("c"), on("d"), 0, "r", 1.0)
    QUICK.carry_out([move])
    assert world.nodes("late") == ["d"]


def test_jobs_that_others_steer_are_refused_before_anything_stops(world, across):
    world.room = {"d": 2}
    fields = [{"key": "metadata.name", "operator": "In", "values": ["d"]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": fields}]}}
    world.add_job("own", 1, template={"affinity": {"nodeAffinity": required}})
    world.add_job("queued", 1)
    world.job("queued")["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "gpus"}
    for name, message in (("own", "node affinity of its own"), ("queued", "Kueue")):
        move = Migrate(f"team/{name}", on("d"), on("a"), 0, "r", 1.0)
        with pytest.raises(ApplyFailed, match=message):
            QUICK.carry_out([across[0], move])
    with pytest.raises(ApplyFailed, match="where the plan found it"):
        QUICK.carry_out([replace(across[0], before=on("x"), after=on("y"))])
    assert not any(method == "PATCH" for method, *_ in world.requests)


def test_a_job_that_its_user_suspended_is_not_started(world):
    world.add_job("paused", 1, suspend=True)
    place = Place("team/paused", (), on("b"), "r", 1.0)
    assert standings([place]) == ["other"]


def test_waits_end_with_what_was_found(world, across):
    quick = replace(QUICK, stop_timeout_s=0.2, start_timeout_s=0.2)
    world.stuck = {"one"}
    with pytest.raises(
        ApplyFailed, match=r"Job team/one: expected it to have no pods .* within 0\.2 s, found suspended"
    ):
        quick.carry_out(across[:1])
    world.stuck = set()
    world.room["b"] = 0
    with pytest.raises(
        ApplyFailed, match=r"expected it to run on a,b within 0\.2 s, found active, 2 pods, on a:1, asks"
    ):
        quick.carry_out(across[:1])


def test_a_job_that_is_gone_is_told_and_never_made_anew(world, across):
    del world.objects["Job", "team", "one"]
    found = QUICK.look(across)
    assert [each.standing for each in found] == ["gone", "before"]
    QUICK.carry_out(across[:1])
    assert ("Job", "team", "one") not in world.objects

    world.interfering = lambda: world.objects.pop(("Job", "team", "two"), None)
    with pytest.raises(ApplyFailed, match=r"409 .*changed or replaced meanwhile"):
        QUICK.carry_out(across[1:])
    assert ("Job", "team", "two") not in world.objects


def test_a_job_that_has_ended_is_gone(world, across):
    world.job("one")["status"]["conditions"] = [{"type": "Complete", "status": "True"}]
    assert standings(across[:1]) == ["gone"]


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (503, SourceUnavailable, "503 refused by the test"),
        (429, SourceUnavailable, "429"),
        (401, SourceUnavailable, "401"),
        (403, ApplyFailed, "apply Job team/one: 403 refused by the test"),
        (422, ApplyFailed, "422"),
    ],
)
def test_answers_of_the_server_are_told_apart(world, across, code, error, message):
    world.refusing = {("PATCH", "jobs"): code}
    with pytest.raises(error, match=message):
        QUICK.carry_out(across[:1])


def test_a_server_that_is_not_there_can_be_tried_again(world, across):
    world.server.shutdown()
    world.server.server_close()
    with pytest.raises(SourceUnavailable, match="read Job team/one"):
        QUICK.look(across)
    with pytest.raises(SourceUnavailable, match="context other"):
        replace(QUICK, context="other").look(across)


@pytest.mark.parametrize("job", ["../../secrets", "team/one/log", "one", "team/One", "team/one:pending-8", "team/a b"])
def test_a_name_that_no_job_can_have_reaches_no_server(world, job):
    move = Migrate(job, on("a"), on("b"), 0, "r", 1.0)
    with pytest.raises(ApplyFailed, match="expected the namespace and name"):
        QUICK.carry_out([move])
    assert standings([move]) == ["other"]
    assert world.requests == []


def test_caps_and_starts_of_several_jobs_stand_in_one_map_each(world):
    caps = [Recap("team/one", None, 300.0, "r", 1.0), Recap("team/two", 400.0, 350.5, "r", 1.0)]
    starts = [Start("team/one", None, 600.0, "r", 1.0), Start("team/two", None, None, "r", 1.0)]
    assert standings([*caps, *starts]) == ["before", "before", "before", "after"]
    for step in (caps, starts):
        QUICK.carry_out(step)
    assert sorted(world.data("quantumflow-power-caps").values()) == ["300", "350.5"]
    assert "2027-01-15T08:10:00Z" in world.data("quantumflow-start-times").values()
    assert standings([*caps, *starts]) == ["after"] * 4
    QUICK.carry_out(inverse(caps))
    assert sorted(world.data("quantumflow-power-caps").values()) == ["400", "max"]
    assert standings([Recap("team/one", 200.0, 250.0, "r", 1.0)]) == ["other"]


def test_a_map_that_others_change_meanwhile_is_read_again(world):
    recap = Recap("team/one", None, 300.0, "r", 1.0)
    QUICK.carry_out([Recap("team/two", None, 200.0, "r", 1.0)])
    left = iter([1])

    def interfere():
        if next(left, None):
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "quantumflow-power-caps"}}
            world.apply("ConfigMap", "default", "quantumflow-power-caps", {**body, "data": {"more": "1"}}, "me", False)

    world.interfering = interfere
    QUICK.carry_out([recap])
    assert len(world.data("quantumflow-power-caps")) == 3


def test_experts_and_archives_are_told(world, tmp_path):
    moved = MoveReplicas("serve", 3, (0, 5), (1, 2), (2, 1), "r", 1.0)
    (tmp_path / "step.qf").write_bytes(b"archive")
    digest = hashlib.sha256(b"archive").hexdigest()
    packed = Compress("step", None, Archive("step.qf", digest, 7), "r", 1.0)
    executor = replace(QUICK, folder=tmp_path)
    for action in (moved, packed):
        assert executor.look([action])[0].standing == "before"
        executor.carry_out([action])
        assert executor.look([action])[0].standing == "after"
        assert executor.look(inverse([action]))[0].standing == "before"
        executor.carry_out(inverse([action]))
        assert executor.look([action])[0].standing == "before"
    executor.carry_out([moved])
    assert json.loads(world.data("quantumflow-experts-serve")["layer-3.json"]) == {"0": 2, "5": 1}
    (tmp_path / "step.qf").write_bytes(b"altered")
    assert executor.look([packed])[0].standing == "other"
    with pytest.raises(ApplyFailed, match="expected"):
        executor.carry_out([packed])


def test_a_later_plan_moves_other_experts_of_a_layer(world):
    first = MoveReplicas("serve", 3, (0, 5), (1, 2), (2, 1), "r", 1.0)
    second = MoveReplicas("serve", 3, (1, 2), (6, 7), (7, 6), "r", 1.0)
    QUICK.carry_out([first])
    assert standings([second]) == ["before"]
    QUICK.carry_out([second])
    assert standings([first, second]) == ["after", "after"]
    assert json.loads(world.data("quantumflow-experts-serve")["layer-3.json"]) == {"0": 2, "5": 1, "1": 7, "2": 6}
    QUICK.carry_out(inverse([second]))
    assert standings([first, second]) == ["after", "before"]
    assert standings([MoveReplicas("serve", 3, (1,), (8,), (9,), "r", 1.0)]) == ["other"]


def test_a_job_that_fails_when_it_starts_anew_is_not_taken_for_one_that_has_ended(world, across):
    settled = world._control

    def control(namespace, name, job):
        placed = job["spec"]["template"]["spec"].get("affinity")
        if name == "one" and placed and not job["spec"].get("suspend"):
            job["status"] = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}
        else:
            settled(namespace, name, job)

    world._control = control
    with pytest.raises(ApplyFailed, match="team/one: expected it to run on a,b, but it failed: BackoffLimitExceeded"):
        QUICK.carry_out(across)
