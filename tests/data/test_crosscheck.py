"""Contradictions that no single field shows: parallel groups, bounds of draws, ranks and shares of experts."""

from dataclasses import replace

import pytest

from data.crosscheck import cross_check
from data.schemas.cluster import Snapshot
from data.schemas.job import Parallelism
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
