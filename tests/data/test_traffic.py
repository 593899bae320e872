"""Facts about who sends what to whom."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.generators.topologies import dgx, nvl72
from data.generators.traffic import Mix, demands_of, split_of
from data.schemas.job import Job, Parallelism, Worker

WHOLE = tuple(range(8))


def job(machines, parallelism=Parallelism(), name="job", gang="", traffic=12.0):  # noqa: B008  # frozen
    placement = tuple(Worker(f"dgx-{one:04d}", WHOLE) for one in machines)
    return Job(
        name, len(placement), 8, "running", placement, gang=gang, traffic_gb_per_s=traffic, parallelism=parallelism
    )


@pytest.fixture(scope="module")
def fabric():
    return dgx(8, unit=4)


def sent(demands, fabric):
    return np.bincount(demands.source, demands.gb_per_s, minlength=len(fabric.gpus))


def received(demands, fabric):
    return np.bincount(demands.target, demands.gb_per_s, minlength=len(fabric.gpus))


@pytest.mark.parametrize(
    "parallelism",
    [
        Parallelism(),
        Parallelism(tensor=8),
        Parallelism(tensor=4, expert=2),
        Parallelism(expert=8),
        Parallelism(tensor=2, expert=16),
        Parallelism(tensor=8, expert=4),
    ],
)
def test_every_gpu_sends_and_receives_the_traffic_of_its_job(fabric, parallelism):
    demands = demands_of([job([1, 2, 3, 4], parallelism)], fabric)
    assert sent(demands, fabric)[:32].tolist() == pytest.approx([12.0] * 32)
    assert received(demands, fabric)[:32].tolist() == pytest.approx([12.0] * 32)
    assert sent(demands, fabric)[32:].sum() == 0.0


def test_the_first_and_the_last_stage_have_one_neighbour_and_send_half_of_the_pipeline_s_part(fabric):
    demands = demands_of([job([1, 2, 3, 4], Parallelism(tensor=8, pipeline=4))], fabric, Mix(tensor=2.0, pipeline=1.0))
    per_gpu = sent(demands, fabric)[:32].reshape(4, 8)
    assert per_gpu == pytest.approx(np.array([10.0, 12.0, 12.0, 10.0])[:, None] * np.ones((4, 8)))


def test_tensor_parallel_traffic_stays_in_the_machine_and_pipeline_traffic_leaves_it(fabric):
    demands = demands_of([job([1, 2, 3, 4], Parallelism(tensor=8, pipeline=4))], fabric, Mix(tensor=2.0, pipeline=1.0))
    leaves = fabric.node[demands.source] != fabric.node[demands.target]
    assert demands.gb_per_s[~leaves].sum() == pytest.approx(8.0 * 32)
    assert demands.gb_per_s[leaves].sum() == pytest.approx(2.0 * 8 * (1 + 2 + 2 + 1))
    assert (fabric.node[demands.target[leaves]] - fabric.node[demands.source[leaves]]).tolist().count(1) == 24


def test_all_to_all_sends_every_other_gpu_of_the_group_the_same(fabric):
    demands = demands_of([job([1, 2], Parallelism(expert=16))], fabric)
    assert len(demands.source) == 16 * 15
    assert demands.gb_per_s == pytest.approx(np.full(240, 12.0 / 15))
    assert len(set(zip(demands.source.tolist(), demands.target.tolist(), strict=True))) == 240


def test_the_ring_leaves_a_machine_by_every_adapter_to_the_same_rail_of_the_next(fabric):
    demands = demands_of([job([1, 2, 3])], fabric)
    leaves = fabric.node[demands.source] != fabric.node[demands.target]
    assert (demands.source[leaves] % 8 == demands.target[leaves] % 8).all()
    assert demands.gb_per_s[leaves] == pytest.approx(np.full(24, 12.0 / 8))
    assert demands.gb_per_s[~leaves] == pytest.approx(np.full(24, 12.0 * 7 / 8))


def test_one_gpu_in_each_machine_sends_everything_abroad(fabric):
    one = Job("thin", 3, 1, "running", tuple(Worker(f"dgx-{n:04d}", (0,)) for n in (1, 2, 3)), traffic_gb_per_s=12.0)
    demands = demands_of([one], fabric)
    assert demands.source.tolist() == [0, 8, 16]
    assert demands.target.tolist() == [8, 16, 0]
    assert demands.gb_per_s == pytest.approx(np.full(3, 12.0))


def test_a_gang_over_one_rack_of_nvl72_stays_on_nvlink():
    fabric = nvl72(2)
    placement = tuple(Worker(f"gb200-001-{tray:02d}", (0, 1, 2, 3)) for tray in range(1, 17))
    gang = Job("gang", 16, 4, "running", placement, traffic_gb_per_s=30.0)
    demands = demands_of([gang], fabric)
    assert (fabric.domain[demands.source] == fabric.domain[demands.target]).all()
    assert demands.gb_per_s.sum() == pytest.approx(64 * 30.0)


def test_jobs_of_one_gang_share_a_ring_and_others_do_not(fabric):
    pair = [job([1], name="a", gang="g"), job([2], name="b", gang="g")]
    alone = [job([1], name="a"), job([2], name="b")]

    def abroad(jobs):
        demands = demands_of(jobs, fabric)
        return float(demands.gb_per_s[fabric.node[demands.source] != fabric.node[demands.target]].sum())

    assert abroad(pair) == pytest.approx(2 * 12.0)
    assert abroad(alone) == 0.0
    assert set(demands_of(pair, fabric).owner.tolist()) == {0, 1}


def test_jobs_that_hold_nothing_or_have_no_traffic_send_nothing(fabric):
    waiting = Job("waiting", 1, 8, "pending", traffic_gb_per_s=5.0)
    assert len(demands_of([waiting, job([1], traffic=0.0)], fabric).source) == 0


def test_degrees_that_do_not_divide_the_gpus_say_nothing():
    odd = job([1, 2, 3], Parallelism(tensor=16))
    assert (split_of(odd).tensor, split_of(odd).data) == (1, 24)


def test_gpus_that_the_fabric_lacks_are_refused(fabric):
    with pytest.raises(ValueError, match="job far: expected GPUs of the fabric, got dgx-0099 GPU 0"):
        demands_of([job([99], name="far")], fabric)
    with pytest.raises(ValueError, match="expected 16 GPUs held, got 8"):
        demands_of([replace(job([1]), workers=2)], fabric)


@settings(max_examples=25)
@given(st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4, 8]), st.integers(1, 6))
def test_what_is_sent_in_all_is_what_the_module_says(tensor, pipeline, expert, machines):
    fabric = dgx(8, unit=4)
    one = job(range(1, machines + 1), Parallelism(tensor, pipeline, expert))
    split, mix = split_of(one), Mix()
    demands = demands_of([one], fabric, mix)
    weights = {"tensor": mix.tensor, "expert": mix.expert, "pipeline": mix.pipeline, "data": mix.data}
    present = {kind: weight for kind, weight in weights.items() if getattr(split, kind) > 1}
    pipelined = present.get("pipeline", 0.0) / sum(present.values())
    expected = 12.0 * one.gpus * (1.0 - pipelined / split.pipeline)
    assert demands.gb_per_s.sum() == pytest.approx(expected)
    assert (demands.source != demands.target).all()
