"""Contradictions that no single field shows: parallel groups, bounds of draws, ranks and shares of experts."""

from dataclasses import replace

import pytest

from data.crosscheck import cross_check
from data.schemas.cluster import Node, Snapshot
from data.schemas.job import Job, Parallelism, Worker
from data.schemas.routing import ExpertDeployment

MOE = ExpertDeployment(
    "moe", "red", 2, 2, loads=(((1.0, 1.0, 1.0),),), placement=((0, 1, 2, 0),), shares=((0.5, 1.0, 1.0, 0.5),)
)


def contradictions(snapshot: Snapshot) -> list[tuple[str, str]]:
    return [(each.collection, each.field) for each in cross_check(snapshot)]


def test_what_agrees_is_sound(cluster: Snapshot) -> None:
    sound = replace(MOE, rank_speed=(1.0, 0.0), expert_groups=3)
    assert contradictions(replace(cluster, deployments=(sound,))) == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"rank_speed": (1.0,)}, "rank_speed"),
        ({"rank_speed": (0.0, 0.0)}, "rank_speed"),
        ({"expert_groups": 2}, "expert_groups"),
        ({"shares": ((1.0, 1.0),)}, "shares"),
        ({"shares": ((0.5, 1.0, 1.0, 0.4),)}, "shares[0]"),
    ],
)
def test_ranks_and_shares_must_fit_the_map(cluster: Snapshot, fields: dict[str, object], named: str) -> None:
    wrong = replace(MOE, **fields)  # type: ignore[arg-type]
    assert contradictions(replace(cluster, deployments=(wrong,))) == [("deployments", named)]


def test_parallel_groups_must_divide_the_gpus(cluster: Snapshot) -> None:
    job = replace(cluster.jobs[0], parallelism=Parallelism(tensor=cluster.jobs[0].gpus + 1))
    assert contradictions(replace(cluster, jobs=(job, *cluster.jobs[1:]))) == [("jobs", "parallelism")]


def test_the_high_draw_is_not_below_the_expected_one(cluster: Snapshot) -> None:
    job = replace(cluster.jobs[0], gpu_power_w=500.0, gpu_power_high_w=400.0)
    assert contradictions(replace(cluster, jobs=(job, *cluster.jobs[1:]))) == [("jobs", "gpu_power_high_w")]


def test_many_small_cycles_are_each_told_once_and_what_only_waits_for_them_is_not() -> None:
    node = Node("n", "H100", 8, nvlink_domain="n", rack="r")
    pairs = [(f"a{number}", f"b{number}") for number in range(3_000)]
    jobs = [Job(name, 1, 1, "pending", depends_on=(other,)) for a, b in pairs for name, other in ((a, b), (b, a))]
    jobs += [Job("self", 1, 1, "pending", depends_on=("self",)), Job("after", 1, 1, "pending", depends_on=("a0",))]
    found = cross_check(Snapshot("c", "2026-01-01T00:00:00Z", (node,), tuple(jobs)))
    assert [contradiction.index for contradiction in found] == [*range(1, 6_000, 2), 6_000]
    assert {contradiction.expected for contradiction in found} == {"no cycle"}


def test_loads_without_layers_are_told_not_stumbled_over() -> None:
    node = Node("n", "H100", 8, nvlink_domain="n", rack="r")
    job = Job("j", 1, 1, "running", (Worker("n", (0,)),))
    for loads in (((),), (((),),)):
        served = ExpertDeployment("d", "j", 1, 1, loads, ((0,),))
        found = cross_check(Snapshot("c", "2026-01-01T00:00:00Z", (node,), (job,), deployments=(served,)))
        assert {contradiction.collection for contradiction in found} == {"deployments"}
