from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from data.generators.congestion import link_history
from data.schemas.cluster import Link
from data.schemas.telemetry import LinkSeries
from tasks.forecasters.protocol import ForecastFailed
from tasks.forecasters.svm import NAMES, CongestionModel, Svm, expect_congestion, labelled, link_features


@pytest.fixture(scope="module")
def model() -> CongestionModel:
    return Svm(networks=40).taught(np.random.default_rng(0))


def test_congestion_of_networks_never_seen_is_told_far_better_than_by_chance(model):
    rng = np.random.default_rng(99)
    features, congested = labelled([link_history(rng) for _ in range(40)])
    assert average_precision_score(congested, model.scores(features)) > 3.0 * congested.mean()


def test_scores_mean_what_probabilities_mean(model):
    rng = np.random.default_rng(99)
    features, congested = labelled([link_history(rng) for _ in range(60)])
    scores = model.scores(features)
    assert ((scores >= 0.0) & (scores <= 1.0)).all()
    assert scores.mean() == pytest.approx(congested.mean(), abs=0.06)


def test_teaching_again_gives_the_same_scores():
    features, _ = labelled([link_history(np.random.default_rng(5))])
    first, second = (Svm(networks=10).taught(np.random.default_rng(3)).scores(features) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_links_that_are_all_alike_teach_nothing():
    quiet = link_history(np.random.default_rng(0))
    quiet = replace(quiet, congested=np.zeros_like(quiet.congested))
    with pytest.raises(ForecastFailed, match="the same label"):
        Svm().train([quiet], np.random.default_rng(0))


def test_how_much_a_counter_counts_for_a_wait_does_not_matter():
    one = link_history(np.random.default_rng(4))
    features = link_features(one.bandwidth_gb_per_s, one.throughput_gb_per_s, one.waits_per_s)
    coarse = link_features(one.bandwidth_gb_per_s, one.throughput_gb_per_s, 1e3 * one.waits_per_s)
    column = NAMES.index("waits")
    assert np.ptp(features[:, column]) > 0.5
    assert coarse == pytest.approx(features, abs=0.01)


def test_features_of_a_rising_link():
    rising = np.linspace(0.0, 5.0, 12)[None, :]
    row = dict(zip(NAMES, link_features(np.array([10.0]), rising, np.full((1, 12), np.nan))[0], strict=True))
    assert row["load_mean"] == pytest.approx(0.25)
    assert row["load_max"] == pytest.approx(0.5)
    assert row["load_trend"] == pytest.approx(0.5)
    assert row["load_now"] == pytest.approx((5.0 + 5.0 * 10 / 11) / 20)
    assert row["waits_known"] == 0.0


def with_series(cluster, *loads):
    links = (
        Link("uplink-east", "east", "spine", 100.0),
        Link("uplink-west", "west", "spine", 100.0),
        Link("unmetered", "west", "spine", 100.0),
    )
    series = tuple(
        LinkSeries(link.id, 60.0, tuple(load * 100.0 for load in one), tuple(1e4 * load**4 for load in one))
        for link, one in zip(links, loads, strict=False)
    )
    return replace(cluster, links=links, link_series=series)


def test_a_full_link_flags_the_domains_of_its_rack_and_an_idle_one_does_not(cluster, model):
    found = expect_congestion(with_series(cluster, [0.98] * 20, [0.1] * 20), model)
    assert found.links == ("uplink-east",)
    assert found.domains == ("east",)
    assert found.racks == ("east",)
    assert [link for link, _ in found.scores] == ["uplink-east", "uplink-west"]


def test_a_node_at_the_end_of_a_full_link_flags_its_domain(cluster, model):
    full = with_series(cluster, [0.98] * 20)
    full = replace(full, links=(replace(full.links[0], source="west-3"), *full.links[1:]))
    assert expect_congestion(full, model).domains == ("west",)


def test_a_switch_has_nobody_to_move(cluster, model):
    full = with_series(cluster, [0.98] * 20)
    full = replace(full, links=(replace(full.links[0], source="leaf-9"), *full.links[1:]))
    found = expect_congestion(full, model)
    assert found.links == ("uplink-east",)
    assert found.domains == ()


def test_series_too_short_to_tell_are_left_out(cluster, model):
    assert expect_congestion(with_series(cluster, [0.98] * 3), model).scores == ()


def test_series_of_different_lengths_are_compared_over_the_time_they_share(cluster, model):
    found = expect_congestion(with_series(cluster, [0.1] * 30 + [0.98] * 10, [0.1] * 10), model)
    assert found.links == ("uplink-east",)
