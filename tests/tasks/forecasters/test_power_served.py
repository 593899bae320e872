from dataclasses import replace

import numpy as np
import pytest

from tasks.forecasters.blend import GRAPH_SHARE, Blend
from tasks.forecasters.boosting import Boosting
from tasks.forecasters.gnn import GraphSage
from tasks.forecasters.median import Median
from tasks.forecasters.protocol import ForecastFailed
from tasks.forecasters.served import Served, combined

QUICK_TREES = Boosting(rounds=30, rate=0.1)
QUICK_GRAPH = GraphSage(epochs=5, members=1, hidden=8)


def test_the_weights_of_the_members_add_up_to_one():
    watts = np.array([100.0, 500.0])
    assert combined(watts, watts, watts) == pytest.approx(watts)
    assert combined(watts, watts + 20.0, None) == pytest.approx(watts + 10.0)
    assert combined(watts, watts, watts + 100.0) == pytest.approx(watts + 100.0 * GRAPH_SHARE)


def test_where_a_member_has_no_answer_there_is_none():
    assert np.isnan(combined(np.array([1.0]), np.array([np.nan]), None)).all()


def test_models_never_seen_are_forecast_better_than_by_the_median(energy):
    models = sorted(set(energy.groups))
    held = np.isin(energy.groups, models[::4])
    part, rest = energy.take(np.flatnonzero(~held)[::2]), energy.take(np.flatnonzero(held))
    rng = np.random.default_rng(0)
    errors = []
    for method in (Served(boosting=QUICK_TREES), Median(by_workload=True)):
        watts = method.train(part, rng).forecast(rest)
        watts = np.where(np.isnan(watts), np.median(part.power_w), watts)
        errors.append(float(np.mean(np.abs(watts - rest.power_w) / rest.power_w)))
    assert errors[0] < 0.8 * errors[1]


def test_both_together_give_the_same_bytes_for_the_same_seed(samples):
    blend = Blend(QUICK_GRAPH, QUICK_TREES)
    first, second = (blend.train(samples, np.random.default_rng(2)).forecast(samples) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_both_together_know_no_more_gpu_models_than_either(samples):
    model = Blend(QUICK_GRAPH, QUICK_TREES).train(samples, np.random.default_rng(2))
    assert np.isnan(model.forecast(replace(samples, gpu_models=("B300",) * 90))).all()


def test_too_few_rows_for_one_member_are_too_few_for_all(samples):
    with pytest.raises(ForecastFailed, match="at least 24"):
        Blend(QUICK_GRAPH, QUICK_TREES).train(samples.take(np.arange(22)), np.random.default_rng(0))


def test_jobs_of_a_snapshot_are_no_served_models(samples):
    with pytest.raises(ValueError, match="log2_batch"):
        Served().train(samples, np.random.default_rng(0))
