"""Facts about how the benchmark of congestion scores."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tests.benchmarks.bench_congestion import Links, average_precisions, resampled


def links(rng, count=200, networks=5):
    return Links(np.zeros((count, 1)), rng.random(count) < 0.2, rng.integers(networks, size=count))


def test_average_precision_is_that_of_scikit_learn_under_any_weights(rng):
    one = links(rng)
    answer = np.round(rng.random(200), 1)  # with many ties
    weights = np.array([[1, 1, 1, 1, 1], [0, 2, 1, 1, 1], [5, 0, 0, 0, 0]], dtype=float)
    for found, weight in zip(average_precisions(answer, one, weights), weights, strict=True):
        expected = average_precision_score(one.congested, answer, sample_weight=weight[one.network])
        assert found == pytest.approx(expected)


def test_a_perfect_answer_scores_one_in_every_draw_and_a_constant_one_the_share(rng):
    one = links(rng)
    found = resampled(one, {"perfect": one.congested.astype(float), "constant": np.zeros(200)}, seed=0)
    assert np.nanmin(found["perfect"]) == 1.0
    assert found["constant"][0] == pytest.approx(one.congested.mean())
