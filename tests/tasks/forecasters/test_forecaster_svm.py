"""Facts about every classifier of link congestion."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from data.generators.congestion import LinkHistory, link_history
from tasks.forecasters.congestion import learn, taught
from tasks.forecasters.congestion_features import COUNTER_OF, NAMES, Counters, labelled, link_features
from tasks.forecasters.congestion_methods import BoostedLinks, Logistic, QuantumKernel
from tasks.forecasters.protocol import ForecastFailed
from tasks.forecasters.svm import Svm

METHODS = [BoostedLinks(), Logistic(), Svm(), QuantumKernel(most_links=2_000, landmarks=80)]


@pytest.fixture(scope="module")
def seen() -> list[LinkHistory]:
    rng = np.random.default_rng(0)
    return [link_history(rng) for _ in range(30)]


@pytest.fixture(scope="module")
def unseen() -> list[LinkHistory]:
    rng = np.random.default_rng(99)
    return [link_history(rng) for _ in range(20)]


@pytest.fixture(scope="module", params=METHODS, ids=lambda method: method.kind)
def scored(request, seen, unseen):
    model = learn(request.param, seen, np.random.default_rng(0))
    features, congested = labelled(unseen)
    return model, model.scores(features), congested


def test_congestion_of_networks_never_seen_is_told_far_better_than_by_chance(scored):
    _, scores, congested = scored
    assert average_precision_score(congested, scores) > 5.0 * congested.mean()


def test_scores_mean_what_probabilities_mean(scored):
    _, scores, congested = scored
    assert ((scores >= 0.0) & (scores <= 1.0)).all()
    assert scores.mean() == pytest.approx(congested.mean(), abs=0.03)
    sure = scores > 0.5
    assert congested[sure].mean() > 0.35


def test_no_links_have_no_scores(scored):
    model, _, _ = scored
    assert model.scores(np.empty((0, len(NAMES)))).shape == (0,)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.kind)
def test_learning_again_gives_the_same_scores(method, seen):
    features, _ = labelled(seen[:2])
    first, second = (learn(method, seen[:15], np.random.default_rng(3)).scores(features) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_links_that_are_all_alike_teach_nothing(seen):
    quiet = replace(seen[0], congested=np.zeros_like(seen[0].congested))
    with pytest.raises(ForecastFailed, match="the same label"):
        learn(Svm(), [quiet], np.random.default_rng(0))


def test_what_is_taught_is_what_is_learned_from_the_simulator(seen):
    method = Logistic(networks=5)
    features, _ = labelled(seen[:1])
    rng = np.random.default_rng(7)
    by_hand = learn(method, [link_history(rng) for _ in range(5)], rng).scores(features)
    assert taught(method, np.random.default_rng(7)).scores(features).tobytes() == by_hand.tobytes()


def counters(one: LinkHistory, **changes) -> Counters:
    found = Counters(one.bandwidth_gb_per_s, one.throughput_gb_per_s, one.waits_per_s, one.nvlink_load, one.ends)
    return replace(found, **changes)


def test_how_much_a_counter_counts_for_a_wait_does_not_matter(seen):
    one = next(one for one in seen if np.isfinite(one.waits_per_s).all())
    features = link_features(counters(one))
    coarse = link_features(counters(one, waits_per_s=1e3 * one.waits_per_s))
    assert np.ptp(features[:, NAMES.index("waits")]) > 0.5
    assert coarse == pytest.approx(features, abs=0.01)


def test_what_is_not_known_is_nought_and_said_to_be_unknown(seen):
    one = seen[0]
    nothing = np.full_like(one.throughput_gb_per_s, np.nan)
    features = link_features(counters(one, waits_per_s=nothing, nvlink_load=nothing))
    assert np.isfinite(features).all()
    for name in ("waits", "waits_now", "waits_known", "nvlink_now", "nvlink_trend", "nvlink_known"):
        assert (features[:, NAMES.index(name)] == 0.0).all()


def test_features_of_a_rising_link_and_of_its_neighbours():
    """Link 0 leads to where link 1 starts; link 2 is alone."""
    sent = np.array([np.linspace(0.0, 5.0, 12), np.full(12, 9.5), np.full(12, 1.0)])
    unknown = np.full((3, 12), np.nan)
    rows = link_features(
        Counters(np.full(3, 10.0), sent, unknown, np.full((3, 12), 0.25), np.array([[0, 1], [1, 2], [3, 4]]))
    )
    rising, full, alone = (dict(zip(NAMES, row, strict=True)) for row in rows)
    assert rising["load_mean"] == pytest.approx(0.25)
    assert rising["load_max"] == rising["load_last"] == pytest.approx(0.5)
    assert rising["load_trend"] == pytest.approx(0.5)
    assert rising["load_now"] == pytest.approx((5.0 + 5.0 * 10 / 11) / 20)
    assert rising["behind_load_now"] == pytest.approx(0.95)
    assert full["before_load_now"] == pytest.approx(rising["load_now"])
    assert rising["before_load_now"] == full["behind_load_now"] == 0.0
    assert alone["before_load_now"] == alone["behind_load_now"] == 0.0
    assert rising["waits_known"] == 0.0
    assert rising["nvlink_now"] == pytest.approx(0.25)


def test_every_feature_names_the_counter_that_it_is_made_of(seen):
    assert link_features(counters(seen[0])).shape == (len(seen[0].congested), len(NAMES))
    assert set(COUNTER_OF.values()) == {
        "port_xmit_data",
        "port_xmit_wait",
        "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL",
    }
