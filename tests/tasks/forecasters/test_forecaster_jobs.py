from dataclasses import replace

import numpy as np
import pytest

from data.schemas.cluster import Snapshot
from data.schemas.job import Parallelism, PowerLevel
from data.schemas.telemetry import NodeSeries
from tasks.forecasters.jobs import NAMES, job_samples, parameters_b


def changed(snapshot: Snapshot, job: str, **fields) -> Snapshot:
    return replace(snapshot, jobs=tuple(replace(one, **fields) if one.id == job else one for one in snapshot.jobs))


def row_of(snapshot: Snapshot, job: str):
    samples = job_samples(snapshot)
    row = samples.ids.index(job)
    return dict(zip(NAMES, samples.features[row], strict=True)), samples.take(np.array([row]))


@pytest.mark.parametrize(
    ("workload", "billions"),
    [
        ("pretrain llama-70b", 70.0),
        ("Mixtral-8x7B serving", 56.0),
        ("opt-350m", 0.35),
        ("qwen3-30b-a3b", 30.0),
        ("phi 1.5B eval", 1.5),
        ("0b", np.nan),
        ("resnet50 step3 12bits", np.nan),
        ("", np.nan),
    ],
)
def test_model_sizes_are_read_from_what_people_write(workload, billions):
    assert parameters_b(workload) == pytest.approx(billions, nan_ok=True)


def test_a_job_that_states_its_draw_is_measured(cluster):
    samples = job_samples(cluster)
    assert samples.power_w.tolist() == [900.0, 800.0, 700.0, 900.0, 900.0]


def metered(cluster, watts):
    series = tuple(NodeSeries(f"{rack}-0", 60.0, gpu_power_w=(watts,) * 5) for rack in ("east", "west"))
    return replace(changed(cluster, "red", gpu_power_w=None), node_series=series)


def test_a_job_without_a_draw_is_measured_by_the_meters_of_its_nodes(cluster):
    _, row = row_of(metered(cluster, 640.0), "red")
    assert row.power_w[0] == pytest.approx(640.0)


def test_a_meter_says_nothing_about_a_job_under_a_cap(cluster):
    """What is forecast is the draw without a cap."""
    _, row = row_of(changed(metered(cluster, 500.0), "red", gpu_power_cap_w=500.0), "red")
    assert np.isnan(row.power_w[0])


def test_meters_that_show_more_than_a_gpu_can_draw_are_cut_to_it(cluster):
    _, row = row_of(metered(cluster, 4_000.0), "red")
    assert row.power_w[0] == 1_200.0


def test_a_waiting_job_without_a_draw_is_not_measured(cluster):
    _, row = row_of(changed(cluster, "waiting", gpu_power_w=None), "waiting")
    assert not row.measured[0]


def test_the_lowest_cap_that_costs_no_speed_is_a_feature(cluster):
    levels = (PowerLevel(1_200.0, 1.0), PowerLevel(400.0, 0.8), PowerLevel(600.0, 0.999), PowerLevel(900.0, 1.0))
    features, _ = row_of(changed(cluster, "red", power_levels=levels), "red")
    assert features["free_cap"] == 0.5
    assert features["speed_at_lowest_cap"] == 0.8


def test_how_a_job_is_split_is_a_feature(cluster):
    job = next(one for one in cluster.jobs if one.id == "red")
    features, _ = row_of(changed(cluster, "red", parallelism=Parallelism(tensor=2, expert=4)), "red")
    assert (features["log2_tensor_parallel"], features["log2_pipeline_parallel"]) == (1.0, 0.0)
    assert features["log2_expert_parallel"] == 2.0
    assert 2.0 ** features["log2_data_parallel"] == job.gpus / 2


def test_what_nobody_knows_is_not_a_number_and_not_nought(cluster):
    features, _ = row_of(cluster, "waiting")
    assert np.isnan([features[name] for name in ("free_cap", "utilisation", "log2_parameters")]).all()


def test_only_utilisation_is_hidden_from_a_job_that_waits(cluster):
    _, row = row_of(changed(cluster, "red", utilisation=0.9), "red")
    shown, hidden = row.features[0], row.waiting().features[0]
    different = [
        name for name, one, other in zip(NAMES, shown, hidden, strict=True) if one != other and not np.isnan(one)
    ]
    assert different == ["utilisation"]


def test_the_same_words_give_the_same_features_in_any_order_and_process(cluster):
    names = [name for name in NAMES if name.startswith("word_")]
    one, _ = row_of(changed(cluster, "red", workload="Train llama"), "red")
    other, _ = row_of(changed(cluster, "red", workload="llama, train!"), "red")
    assert [one[name] for name in names] == [other[name] for name in names]
    # SHA-256 of "train" begins 0x11 0x6f: bucket 1, up; of "llama" 0xfc 0x5a: bucket 4, down
    assert [one[name] for name in names] == [0.0, 1.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0]


def test_a_job_that_may_run_on_several_gpu_models_has_none(cluster):
    mixed = replace(cluster, nodes=(*cluster.nodes[:-1], replace(cluster.nodes[-1], gpu_model="H100")))
    _, row = row_of(changed(mixed, "later", gpu_power_w=None), "later")
    assert row.gpu_models == ("",)
    assert (row.idle_w[0], row.max_w[0]) == (60.0, 1_200.0)


def test_a_cluster_without_jobs_has_no_rows(cluster):
    assert job_samples(replace(cluster, jobs=())).features.shape == (0, len(NAMES))


def test_a_cluster_without_nodes_is_refused(cluster):
    with pytest.raises(ValueError, match="at least one node"):
        job_samples(replace(cluster, nodes=()))
