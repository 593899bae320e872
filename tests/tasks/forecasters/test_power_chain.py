from dataclasses import replace

import numpy as np
import pytest

from data.schemas.power import PowerSamples
from tasks.forecasters.boosting import Boosting
from tasks.forecasters.gnn import GraphSage
from tasks.forecasters.power import (
    BLEND,
    BOOSTING,
    GRAPH,
    HIGHEST,
    MEASURED,
    MEDIAN,
    PowerRules,
    forecast_power,
    judge,
    train_power,
)
from tasks.forecasters.protocol import ForecastFailed, HeldOut, TrainedPower

QUICK = GraphSage(epochs=30, members=1)
NOW = "2026-03-08T12:00:00+00:00"


@pytest.fixture(scope="module")
def trained(samples: PowerSamples) -> TrainedPower:
    """A model that is trusted, whatever it learned: what is judged here is the chain."""
    model = QUICK.train(samples, np.random.default_rng(0))
    return TrainedPower(model, samples, "2026-03-05T12:00:00+00:00", HeldOut(3, 0.1, 0.2, 0.3))


def some_unmeasured(samples: PowerSamples, rows: slice) -> PowerSamples:
    power_w = samples.power_w.copy()
    power_w[rows] = np.nan
    return replace(samples, power_w=power_w)


def forecast(samples, trained, why="", rules=None):
    return forecast_power(
        samples, trained, np.random.default_rng(1), taken_at=NOW, why_untrained=why, rules=rules or PowerRules()
    )


def steps(answer):
    return [(one.wanted, one.used) for one in answer.fallbacks]


def test_a_trusted_graph_network_answers_and_nothing_falls_back(samples, trained):
    answer = forecast(some_unmeasured(samples, slice(0, 5)), trained)
    assert answer.sources[:6] == (GRAPH,) * 5 + (MEASURED,)
    assert answer.fallbacks == ()


def test_measurements_are_kept_to_the_bit(samples, trained):
    answer = forecast(some_unmeasured(samples, slice(0, 5)), trained)
    assert np.array_equal(answer.watts[5:], samples.power_w[5:])


def test_without_unmeasured_jobs_nobody_is_asked(samples):
    answer = forecast(samples, None, "no model")
    assert answer.fallbacks == ()
    assert np.array_equal(answer.watts, samples.power_w)


def test_a_missing_model_falls_back_to_boosting_with_the_reason_given(samples):
    answer = forecast(some_unmeasured(samples, slice(0, 5)), None, "the file is cut short")
    assert steps(answer) == [(GRAPH, BOOSTING)]
    assert answer.fallbacks[0].reason == "the file is cut short; 5 jobs"
    assert answer.sources[:5] == (BOOSTING,) * 5


def test_a_stale_model_is_not_asked(samples, trained):
    old = replace(trained, trained_at="2026-02-28T12:00:00+00:00")
    answer = forecast(some_unmeasured(samples, slice(0, 1)), old)
    assert steps(answer) == [(GRAPH, BOOSTING)]
    assert "stale: trained 8.0 days before the snapshot, 7 are allowed" in answer.fallbacks[0].reason
    assert forecast(some_unmeasured(samples, slice(0, 1)), old, rules=PowerRules(max_age_s=9 * 86_400)).fallbacks == ()


def test_a_model_of_other_features_is_not_asked(samples, trained):
    other = replace(some_unmeasured(samples, slice(0, 1)), feature_set="made-up-2")
    assert steps(forecast(other, trained)) == [(GRAPH, BOOSTING)]
    assert "trained on features made-up-1, the jobs have made-up-2" in forecast(other, trained).fallbacks[0].reason


def test_a_model_that_boosting_beat_on_held_out_gangs_is_not_asked(samples, trained):
    beaten = replace(trained, held_out=HeldOut(3, 0.25, 0.2, 0.3))
    answer = forecast(some_unmeasured(samples, slice(0, 1)), beaten)
    assert steps(answer) == [(GRAPH, BOOSTING)]
    assert "25.0 %, that of boosting 20.0 %" in answer.fallbacks[0].reason


def test_where_both_together_were_best_both_answer_together(samples, trained):
    together = replace(trained, held_out=HeldOut(3, 0.25, 0.2, 0.3, blend=0.15))
    asked = some_unmeasured(samples, slice(0, 5))
    answer = forecast(asked, together)
    assert answer.sources[:5] == (BLEND,) * 5
    assert answer.fallbacks == ()
    graph, boosting = trained.model.forecast(asked), Boosting().train(samples, np.random.default_rng(1)).forecast(asked)
    low, high = np.minimum(graph, boosting)[:5], np.maximum(graph, boosting)[:5]
    assert ((answer.watts[:5] >= low - 1e-9) & (answer.watts[:5] <= high + 1e-9)).all()


def test_where_the_median_was_best_the_median_answers(samples, trained):
    beaten = replace(trained, held_out=HeldOut(3, 0.25, 0.2, 0.1))
    answer = forecast(some_unmeasured(samples, slice(0, 1)), beaten)
    assert steps(answer) == [(GRAPH, MEDIAN), (BOOSTING, MEDIAN)]


def test_an_error_that_is_not_a_number_is_no_recommendation(samples, trained):
    unjudged = replace(trained, held_out=HeldOut(3, float("nan"), 0.2, 0.3))
    assert steps(forecast(some_unmeasured(samples, slice(0, 1)), unjudged)) == [(GRAPH, BOOSTING)]


def test_too_few_measured_jobs_leave_the_median_of_the_gpu_model(samples):
    few = some_unmeasured(samples.take(np.arange(22)), slice(0, 3))
    answer = forecast(few, None, "19 measured jobs")
    assert steps(answer) == [(GRAPH, MEDIAN), (BOOSTING, MEDIAN)]
    assert "19 measured jobs, at least 20 are needed" in answer.fallbacks[1].reason
    for row in range(3):
        alike = [model == few.gpu_models[row] for model in few.gpu_models]
        assert answer.watts[row] == np.nanmedian(few.power_w[alike])


def test_a_gpu_model_that_nobody_measured_gets_its_highest_draw(samples, trained):
    asked = some_unmeasured(samples, slice(0, 2))
    asked = replace(asked, gpu_models=("B300", *asked.gpu_models[1:]))
    answer = forecast(asked, trained)
    assert answer.sources[:2] == (HIGHEST, GRAPH)
    assert answer.watts[0] == asked.max_w[0]
    assert steps(answer) == [(GRAPH, HIGHEST), (BOOSTING, HIGHEST), (MEDIAN, HIGHEST)]
    assert {one.reason for one in answer.fallbacks} == {"no measured job on GPU model B300; 1 job"}


def test_a_cluster_without_any_measurement_gets_the_highest_draws(samples):
    answer = forecast(some_unmeasured(samples, slice(None)), None, "0 measured jobs")
    assert np.array_equal(answer.watts, samples.max_w)
    assert steps(answer) == [(GRAPH, HIGHEST), (BOOSTING, HIGHEST), (MEDIAN, HIGHEST)]


@pytest.mark.parametrize("model", [True, False])
def test_every_answer_lies_between_idle_and_highest(samples, trained, model):
    asked = some_unmeasured(samples, slice(0, 60))
    asked = replace(asked, features=1e6 * asked.features, idle_w=asked.idle_w + 300.0)
    answer = forecast(asked, trained if model else None, "none")
    assert ((answer.watts[:60] >= asked.idle_w[:60]) & (answer.watts[:60] <= asked.max_w[:60])).all()


def test_a_feature_that_nobody_knows_does_not_stop_boosting(samples):
    features = samples.features.copy()
    features[:, 1] = np.nan
    answer = forecast(some_unmeasured(replace(samples, features=features), slice(0, 3)), None, "none")
    assert answer.sources[:3] == (BOOSTING,) * 3


def test_judging_shows_what_a_forecaster_that_knows_the_answer_would_not(samples):
    """Held-out jobs are asked about as if waiting, so the feature that gives their draw away is not seen."""
    errors = judge(samples, np.random.default_rng(0), QUICK, folds=3).errors
    assert errors.folds == 3
    assert 0.02 < errors.boosting < errors.median
    assert errors.graph < errors.median


def test_one_gang_cannot_be_judged(samples):
    alone = replace(samples, groups=("gang",) * 90)
    with pytest.raises(ForecastFailed, match="one gang"):
        train_power(alone, np.random.default_rng(0), graph=QUICK, trained_at=NOW)


def test_forty_measured_jobs_are_enough_to_train_and_judge(samples):
    trained = train_power(samples.take(np.arange(40)), np.random.default_rng(0), graph=QUICK, trained_at=NOW)
    assert len(trained.samples.ids) == 40
    with pytest.raises(ForecastFailed, match="39 measured jobs, at least 40"):
        train_power(samples.take(np.arange(39)), np.random.default_rng(0), graph=QUICK, trained_at=NOW)


@pytest.mark.slow
def test_training_again_gives_the_same_errors(samples):
    first, second = (
        train_power(samples, np.random.default_rng(3), graph=QUICK, trained_at=NOW).held_out for _ in range(2)
    )
    assert first == second
