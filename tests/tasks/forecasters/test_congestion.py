"""Facts about what is said of a snapshot's links and domains."""

from dataclasses import replace

import numpy as np
import pytest

from data.schemas.cluster import Link
from data.schemas.telemetry import LinkSeries
from tasks.forecasters.congestion import CongestionModel, expect_congestion, taught
from tasks.forecasters.congestion_features import NAMES
from tasks.forecasters.congestion_methods import Logistic


@pytest.fixture(scope="module")
def model() -> CongestionModel:
    return taught(Logistic(), np.random.default_rng(0))


class Recorder:
    """A classifier that keeps what it was asked, and finds every link as likely as it is loaded."""

    def predict_proba(self, features):
        self.features = features
        likely = features[:, NAMES.index("load_now")]
        return np.stack([1.0 - likely, likely], axis=1)


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
    assert [domain for domain, _ in found.domain_scores] == ["east", "west"]


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
    assert found.domain_scores == ()


def test_series_too_short_to_tell_are_left_out(cluster, model):
    assert expect_congestion(with_series(cluster, [0.98] * 3), model).scores == ()


def test_series_of_different_lengths_are_compared_over_the_time_they_share(cluster, model):
    found = expect_congestion(with_series(cluster, [0.1] * 30 + [0.98] * 10, [0.1] * 10), model)
    assert found.links == ("uplink-east",)


@pytest.mark.parametrize(("east", "west", "order"), [(0.9, 0.6, ("east", "west")), (0.6, 0.9, ("west", "east"))])
def test_domains_stand_in_order_of_trouble(cluster, east, west, order):
    found = expect_congestion(with_series(cluster, [east] * 10, [west] * 10), CongestionModel(Recorder(), "recorder"))
    assert found.domains == order
    assert dict(found.domain_scores) == pytest.approx({"east": east, "west": west})


def test_of_equal_trouble_the_domain_that_sends_more_abroad_comes_first(cluster):
    jobs = tuple(job for job in cluster.jobs if job.id in {"red", "pinned"})
    red = next(job for job in jobs if job.id == "red")
    # two workers in the west and one in the east: the west sends twice as much
    spread = replace(red, workers=3, placement=(*red.placement, replace(red.placement[1], node="west-1")))
    equal = with_series(replace(cluster, jobs=(spread,)), [0.8] * 10, [0.8] * 10)
    assert expect_congestion(equal, CongestionModel(Recorder(), "recorder")).domains == ("west", "east")


def test_nvlinks_are_a_feature_of_the_adapters_of_their_node_and_not_judged_themselves(cluster):
    links = (
        Link("east-0:ib0", "east-0", "spine", 50.0),
        Link("west-0:ib0", "west-0", "spine", 50.0),
        Link("east-0:nvlink", "east-0", "east-0:nvswitch", 3_600.0, kind="nvlink"),
    )
    series = (
        LinkSeries("east-0:ib0", 60.0, (10.0,) * 12),
        LinkSeries("west-0:ib0", 60.0, (10.0,) * 12),
        LinkSeries("east-0:nvlink", 60.0, (1_800.0,) * 12),
    )
    recorder = Recorder()
    metered = replace(cluster, links=links, link_series=series)
    found = expect_congestion(metered, CongestionModel(recorder, "recorder"))
    assert [link for link, _ in found.scores] == ["east-0:ib0", "west-0:ib0"]
    # four GPUs of 900 GB/s each way, counted both ways: 7,200 GB/s
    assert recorder.features[:, NAMES.index("nvlink_now")].tolist() == pytest.approx([0.25, 0.0])
    assert recorder.features[:, NAMES.index("nvlink_known")].tolist() == [1.0, 0.0]
