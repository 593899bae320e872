from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold

from data.schemas.power import PowerSamples
from tasks.forecasters.gnn import GraphModel, GraphSage, parameter_shapes
from tasks.forecasters.gnn_network import Network
from tasks.forecasters.graph import RELATIONS, Scaler, neighbours
from tasks.forecasters.median import Median
from tasks.forecasters.protocol import ForecastFailed

QUICK = GraphSage(epochs=40, members=1)


@pytest.fixture(scope="module")
def model(samples: PowerSamples) -> GraphModel:
    return QUICK.train(samples, np.random.default_rng(0))


def mean_error(watts, samples):
    return float(np.mean(np.abs(watts - samples.power_w) / samples.power_w))


def test_jobs_never_seen_are_forecast_better_than_by_the_median(samples):
    seen, unseen = next(GroupKFold(3).split(samples.features, groups=samples.groups))
    part, rest = samples.take(seen), samples.take(unseen).waiting()
    rng = np.random.default_rng(0)
    graph = mean_error(GraphSage().train(part, rng).forecast(rest), rest)
    assert graph < 0.6 * mean_error(Median().train(part, rng).forecast(rest), rest)


@pytest.mark.slow
def test_models_never_seen_are_forecast_better_than_by_the_median_of_gpu_and_task(energy):
    graph, median = np.zeros(len(energy.ids)), np.zeros(len(energy.ids))
    for seen, unseen in GroupKFold(3).split(energy.features, groups=energy.groups):
        part, rest = energy.take(seen), energy.take(unseen)
        graph[unseen] = GraphSage(members=1, most=300).train(part, np.random.default_rng(0)).forecast(rest)
        answer = Median(by_workload=True).train(part, np.random.default_rng(0)).forecast(rest)
        median[unseen] = np.where(np.isnan(answer), float(np.median(part.power_w)), answer)
    assert mean_error(graph, energy) < 0.85 * mean_error(median, energy)


def test_the_same_seed_gives_the_same_bytes(samples, model):
    again = QUICK.train(samples, np.random.default_rng(0))
    assert [(name, values.tobytes()) for member in again.members for name, values in member] == [
        (name, values.tobytes()) for member in model.members for name, values in member
    ]
    assert again.forecast(samples).tobytes() == model.forecast(samples).tobytes()


def test_another_seed_gives_another_network(samples, model):
    other = QUICK.train(samples, np.random.default_rng(1))
    assert not np.array_equal(other.forecast(samples), model.forecast(samples))


def test_training_leaves_torch_as_others_had_it(samples):
    torch.manual_seed(7)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    model = QUICK.train(samples, np.random.default_rng(0))
    model.forecast(samples)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.are_deterministic_algorithms_enabled()


@settings(max_examples=25, deadline=None)
@given(
    features=st.lists(
        st.lists(st.floats(-1e9, 1e9) | st.just(float("nan")), min_size=3, max_size=3), min_size=1, max_size=6
    ),
    low=st.floats(0.0, 300.0),
    span=st.floats(1.0, 2_000.0),
)
def test_no_forecast_leaves_the_bounds_of_the_gpu(model, features, low, span):
    count = len(features)
    asked = PowerSamples(
        feature_set="made-up-1",
        names=("size", "batch", "utilisation"),
        after_start=(False, False, True),
        ids=tuple(f"asked-{row}" for row in range(count)),
        features=np.array(features),
        gpu_models=("H100",) * count,
        workloads=("",) * count,
        groups=("",) * count,
        idle_w=np.full(count, low),
        max_w=np.full(count, low + span),
        power_w=np.full(count, np.nan),
    )
    watts = model.forecast(asked)
    assert ((watts >= low) & (watts <= low + span)).all()


def test_a_forecast_does_not_depend_on_who_else_is_asked_about(samples, model):
    unmeasured = replace(samples, ids=tuple(f"new-{name}" for name in samples.ids), power_w=np.full(90, np.nan))
    together = model.forecast(unmeasured)
    alone = np.concatenate([model.forecast(unmeasured.take(np.array([row]))) for row in range(0, 90, 10)])
    assert alone == pytest.approx(together[::10], rel=1e-5)


def test_an_unmeasured_job_borrows_from_its_measured_like(samples):
    """Two clusters that differ only in what the same jobs draw give different forecasts."""
    model = QUICK.train(samples, np.random.default_rng(0))
    thrifty = replace(model, support=replace(samples, power_w=0.5 * (samples.power_w + samples.idle_w)))
    asked = replace(samples, ids=tuple(f"new-{name}" for name in samples.ids)).waiting()
    assert np.mean(thrifty.forecast(asked)) < np.mean(model.forecast(asked)) - 10.0


def test_a_gpu_model_that_nobody_measured_gets_no_forecast(samples, model):
    asked = replace(samples, gpu_models=("B300",) * 90)
    assert np.isnan(model.forecast(asked)).all()


def test_other_features_are_refused(samples, model):
    with pytest.raises(ValueError, match="expected features made-up-1, got made-up-2"):
        model.forecast(replace(samples, feature_set="made-up-2"))


def test_too_few_measured_jobs_are_refused(samples):
    with pytest.raises(ForecastFailed, match="23 measured jobs, at least 24"):
        QUICK.train(samples.take(np.arange(23)), np.random.default_rng(0))


def test_at_most_so_many_jobs_are_kept(samples):
    assert len(replace(QUICK, most=50).train(samples, np.random.default_rng(0)).support.ids) == 50


@pytest.mark.parametrize(("name", "value"), [("hidden", 0), ("layers", 9), ("members", 1000), ("nearest", 0)])
def test_absurd_options_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        GraphSage(**{name: value})


def test_nobody_hears_itself_and_everybody_hears_its_relations(samples):
    scaler = Scaler.of(samples)
    edges = dict(zip(RELATIONS, neighbours(samples, samples, scaler, nearest=4), strict=True))
    for relation, (speaker, listener) in edges.items():
        assert (speaker != listener).all()
        assert np.bincount(listener, minlength=90).max() == 4
        for one, other in zip(speaker, listener, strict=True):
            if "GPU" in relation:
                assert samples.gpu_models[one] == samples.gpu_models[other]
            if "workload" in relation:
                assert samples.workloads[one] == samples.workloads[other]


def test_the_nearest_are_heard(samples):
    scaler = Scaler.of(samples)
    scores = scaler.scaled(samples)
    speaker, listener = neighbours(samples, samples, scaler, nearest=4)[0]
    alike = np.array([model == samples.gpu_models[0] for model in samples.gpu_models])
    alike[0] = False
    distance = np.where(alike, ((scores - scores[0]) ** 2).sum(axis=1), np.inf)
    assert set(speaker[listener == 0]) == set(np.argsort(distance)[:4])


def test_jobs_without_a_workload_are_not_of_the_same_workload(samples):
    blank = replace(samples, workloads=("",) * 90)
    by_gpu, by_work, by_both = neighbours(blank, blank, Scaler.of(blank), nearest=4)
    assert by_gpu.size
    assert not by_work.size
    assert not by_both.size


@pytest.mark.parametrize("options", [QUICK, GraphSage(hidden=5, layers=3)])
def test_the_shapes_of_a_stored_model_are_those_of_the_network(samples, options):
    scaler = Scaler.of(samples)
    network = Network(scaler.scaled(samples).shape[1], options)
    assert list(parameter_shapes(options, scaler).items()) == [
        (name, tuple(values.shape)) for name, values in network.state_dict().items()
    ]
