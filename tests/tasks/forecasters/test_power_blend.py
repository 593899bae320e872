"""Does the mean of trees and graph network keep to its weights, its seed and what its members know?"""

from dataclasses import replace

import numpy as np
import pytest

from tasks.forecasters.blend import GRAPH_SHARE, Blend, blended
from tasks.forecasters.boosting import Boosting
from tasks.forecasters.gnn import GraphSage
from tasks.forecasters.protocol import ForecastFailed

QUICK_TREES = Boosting(rounds=30, rate=0.1)
QUICK_GRAPH = GraphSage(epochs=5, members=1, hidden=8)


def test_the_weights_of_the_members_add_up_to_one():
    watts = np.array([100.0, 500.0])
    assert blended(watts, watts) == pytest.approx(watts)
    assert blended(watts + 100.0, watts) == pytest.approx(watts + 100.0 * GRAPH_SHARE)


def test_where_a_member_has_no_answer_there_is_none():
    assert np.isnan(blended(np.array([np.nan]), np.array([1.0]))).all()


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
