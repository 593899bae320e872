"""Does a fleet without any plan say what is short, and does what it proposes do?"""

import re
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from data.schemas.fleet import CloudShare, FleetLimits, Offer
from tasks.fleet.elastic import NoFleet
from tasks.fleet.model import fleet_model
from tasks.fleet.programme import place_fleet
from tasks.fleet.programme_rows import write_programme
from tasks.fleet.programme_solve import solve_relaxed
from tasks.fleet.service import first_cuts
from tests.tasks.fleet.tiny import tiny

FREE = FleetLimits(lost_regions=0, spot_share=1.0, late_share=1.0)


def refused(demand: float = 1.0, **limits: Any) -> NoFleet:
    """Return why no plan was found."""
    with pytest.raises(NoFleet) as found:
        place_fleet(fleet_model(tiny(np.random.default_rng(4), replace(FREE, **limits), demand=demand)), gap=0.0)
    return found.value


def number(error: NoFleet, limit: str, pattern: str) -> float:
    """Return the number that the line on ``limit`` proposes."""
    line = next(each.detail for each in error.shortages if each.limit == limit)
    match = re.search(pattern + r" ([\d.,]+)$", line)
    assert match, line
    return float(match[1].replace(",", ""))


@pytest.mark.parametrize(
    ("limit", "tight", "demand", "pattern"),
    [
        ("carbon_kg_per_h", 0.2, 1.0, "raise it to"),
        ("max_regions", 1, 2.5, "at least"),
        ("changed_nodes", 0, 1.0, "raise it to"),
        ("lost_cloud_share", 1.0, 2.5, "relax it to"),
    ],
)
def test_the_value_that_is_proposed_is_the_one_that_is_missing(
    limit: str, tight: float, demand: float, pattern: str
) -> None:
    proposed = number(refused(demand, **{limit: tight}), limit, pattern)
    proposed = int(proposed) if isinstance(tight, int) else proposed
    model = fleet_model(tiny(np.random.default_rng(4), replace(FREE, **{limit: proposed}), demand=demand))
    cuts = tuple(first_cuts(model))
    # the relaxation tells, so whole nodes may want a little more
    assert solve_relaxed(model, write_programme(model, cuts), cuts, time.monotonic() + 60.0).complete
    less = proposed * 1.02 if pattern == "relax it to" else proposed * 0.98
    less = int(less) if isinstance(tight, int) else less
    assert refused(demand, **{limit: less}).shortages


def test_users_too_far_away_are_told_with_the_share_that_would_do() -> None:
    error = refused(late_share=0.0, latency_ms=21.0)
    assert number(error, "late_share", "relax it to") == 1.0
    assert "demand: 3.352 of 3.352 units lack capacity in any region" in str(error)


def test_residency_without_capacity_is_told_with_its_tag_and_quota() -> None:
    fleet = tiny(np.random.default_rng(4), FREE, demand=1.0)
    offers = [replace(offer, quota_nodes=0) if offer.region in ("a:0", "b:1") else offer for offer in fleet.offers]
    with pytest.raises(NoFleet) as found:
        place_fleet(fleet_model(replace(fleet, offers=tuple(offers))), gap=0.0)
    text = str(found.value)
    assert "residency eu: 0.6478 of 0.6478 units lack capacity in regions tagged eu (zone-0" in text
    assert "would do: quota: raise that of" in text
    raised = re.search(r"raise that of (\S+)/(\S+)/(\S+) from 0 to 1", text)
    assert raised
    assert raised[1] in ("a:0", "b:1")


def test_quotas_that_are_proposed_do() -> None:
    fleet = tiny(np.random.default_rng(4), FREE, demand=8.0)
    with pytest.raises(NoFleet) as found:
        place_fleet(fleet_model(fleet), gap=0.0)

    def raised(offer: Offer) -> Offer:
        line = re.search(rf"{offer.region}/{offer.sku}/{offer.purchase} from \d+ to (\d+)", str(found.value))
        return replace(offer, quota_nodes=int(line[1])) if line else offer

    more = replace(fleet, offers=tuple(raised(offer) for offer in fleet.offers))
    assert place_fleet(fleet_model(more), gap=0.0).nodes.sum() > 0


def test_shares_of_clouds_that_cannot_be_kept_are_named() -> None:
    error = refused(cloud_shares=(CloudShare("a", 0.1), CloudShare("b", 0.1)))
    assert number(error, "cloud_shares", "relax each by") == pytest.approx(0.4)


def test_outages_that_cannot_be_outlived_lower_the_availability() -> None:
    error = refused(2.5, availability=1.0)
    assert 0.955 <= number(error, "availability", "at most") < 1.0


def test_more_regions_to_lose_than_there_are_leave_nobody_served() -> None:
    error = refused(lost_regions=5)
    assert "4 of 4 units lack capacity in any region" in str(error)
    assert "would do: lost_regions: hold 4 units less" in str(error)


def test_without_any_offer_all_demand_lacks_capacity() -> None:
    fleet = replace(tiny(np.random.default_rng(4), FREE), offers=(), holdings=())
    with pytest.raises(NoFleet) as found:
        place_fleet(fleet_model(fleet))
    assert "demand: 3.352 of 3.352 units lack capacity in any region" in str(found.value)


def test_a_tag_that_no_region_has_is_named() -> None:
    fleet = tiny(np.random.default_rng(4), FREE)
    zones = (replace(fleet.zones[0], residency=("mars",)), *fleet.zones[1:])
    with pytest.raises(NoFleet) as found:
        place_fleet(fleet_model(replace(fleet, zones=zones)))
    assert "residency mars: 0.6478 of 0.6478 units lack capacity in regions tagged mars" in str(found.value)
