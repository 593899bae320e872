"""The page of a fleet's plan: well-formed pictures, hostile names, fleets with nothing, and lines that say what is."""

import math
from dataclasses import replace
from xml.etree.ElementTree import fromstring

import numpy as np
import pytest

from data.generators.fleet import generate_fleet
from data.schemas.fleet import Fleet, FleetLimits, Region
from data.schemas.fleet_plan import FleetPlan
from data.schemas.plan import Metric
from tasks.fleet.latency_frontier import LatencyChoice, latency_frontier, limits_about
from tasks.fleet.model import fleet_model
from tasks.fleet.plan import Account, assemble_fleet_plan
from tasks.fleet.service import serve
from tasks.report.fleet_frontier import FleetPoint, latency_chart, latency_lines
from tasks.report.fleet_map import RegionChange, fleet_map, region_changes
from tasks.report.fleet_page import figure_row, headline, render_fleet_report
from tasks.report.fleet_tables import latency_table, wave_table
from tasks.report.world_outline import coasts, equal_earth

LIMITS = FleetLimits(latency_ms=250.0)


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return generate_fleet(np.random.default_rng(5), regions=6, skus=2, zones=5, demand=600.0, limits=LIMITS)


def plan_of(fleet: Fleet, change: int = 0) -> FleetPlan:
    """Return a plan made by hand: the first held resource gets ``change`` nodes more."""
    model = fleet_model(fleet)
    nodes = model.held.copy()
    nodes[np.flatnonzero(nodes)[0]] += change
    flows = serve(model, model.region_capacity(nodes)).flows
    return assemble_fleet_plan(
        model, nodes, flows=flows, waves=(), account=Account(), code_version="0", options="{}", seed=0
    )


def test_a_plan_without_changes_says_so(fleet: Fleet) -> None:
    plan = plan_of(fleet)
    page = render_fleet_report(plan, fleet, None)
    assert "stays as it is" in page
    assert "not checked" in page
    assert {each.kind for each in region_changes(plan, fleet)} == {"same"}


def test_names_from_outside_are_escaped_and_no_file_is_asked_for(fleet: Fleet) -> None:
    hostile = replace(
        fleet, name="x:y", regions=tuple(replace(each, metro="<script>&\u202e") for each in fleet.regions)
    )
    page = render_fleet_report(plan_of(hostile, 2), hostile, None)
    assert "<script>&" not in page
    assert "&lt;script&gt;" in page
    assert "\u202e" not in page
    assert not any(word in page for word in ("src=", 'href="http', "@import", "url("))


def test_the_map_holds_every_region_and_stands_within_its_frame(fleet: Fleet) -> None:
    root = fromstring(fleet_map(region_changes(plan_of(fleet, 3), fleet), fleet))  # noqa: S314 - our own picture
    _, _, width, height = (float(word) for word in root.attrib["viewBox"].split())
    dots = [each for each in root.iter() if each.tag == "circle"]
    assert len(list(root.iter("title"))) == len(region_changes(plan_of(fleet, 3), fleet))
    for dot in dots:
        assert 0.0 < float(dot.attrib["cx"]) < width
        assert 0.0 < float(dot.attrib["cy"]) < height


@pytest.mark.parametrize(
    ("nodes", "capacity", "kind"),
    [
        ((0, 3), (0.0, 3.0), "opened"),
        ((3, 0), (3.0, 0.0), "closed"),
        ((3, 4), (3.0, 4.0), "grown"),
        ((4, 3), (4.0, 3.0), "shrunk"),
        ((8, 1), (8.0, 8.0), "same"),
    ],
)
def test_what_becomes_of_a_region(nodes: tuple[int, int], capacity: tuple[float, float], kind: str) -> None:
    region = Region("a:b", "a", "DE", 0.0, 0.0)
    assert RegionChange(region, nodes, capacity).kind == kind


def test_the_projection_keeps_areas_equal() -> None:
    """A strip of the globe has the area that Archimedes says, wherever it is; coasts lie on the map."""
    for south in (-60.0, -30.0, 0.0, 45.0, 70.0):
        latitude = np.linspace(south, south + 10.0, 400)
        right = np.array([equal_earth(180.0, degrees)[0] for degrees in latitude])
        up = np.array([equal_earth(0.0, degrees)[1] for degrees in latitude])
        drawn = 2.0 * np.trapezoid(right, up)
        area = 2.0 * math.pi * (math.sin(math.radians(south + 10.0)) - math.sin(math.radians(south)))
        assert drawn == pytest.approx(area, rel=1e-3)
    assert all(-180.0 <= east <= 180.0 and -60.0 <= north <= 84.0 for line in coasts() for east, north in line)


def test_each_user_group_has_its_row_and_waves_are_empty_without_changes(fleet: Fleet) -> None:
    plan = plan_of(fleet)
    assert sorted(row[0] for row in latency_table(plan, fleet).rows) == sorted(zone.id for zone in fleet.zones)
    assert wave_table(plan).rows == ()


def test_a_figure_is_better_worse_or_the_same() -> None:
    def verdict(before: float, after: float, better: str) -> tuple[str, str]:
        row = figure_row(Metric("cost.usd_per_h", "USD/h", before, after, better))  # type: ignore[arg-type]
        return row.verdict, row.change

    assert verdict(10.0, 8.0, "lower") == ("better", "-20.0 %")
    assert verdict(10.0, 8.0, "higher") == ("worse", "-20.0 %")
    assert verdict(10.0, 10.0, "lower") == ("same", "")
    assert verdict(math.inf, 10.0, "lower") == ("changed", "")
    assert verdict(0.0, 10.0, "lower") == ("worse", "+10.0")


def test_nearer_is_never_cheaper_and_bounds_stay_below(fleet: Fleet) -> None:
    limits = limits_about(250.0, 4)
    assert list(limits) == sorted(limits)
    found = latency_frontier(fleet, limits, gap=0.05, seconds=20.0)
    assert [each.latency_ms for each in found] == list(limits)
    costs = [each.cost_usd_per_h for each in found if each.cost_usd_per_h is not None]
    assert costs == sorted(costs, reverse=True)
    assert costs
    for each in found:
        if each.cost_usd_per_h is None:
            assert each.why
        else:
            assert each.bound_usd_per_h is not None
            assert each.bound_usd_per_h <= each.cost_usd_per_h * (1.0 + 1e-9)


def test_the_chart_says_where_there_is_no_fleet() -> None:
    choices = (LatencyChoice(40.0, None, None, "too near"), LatencyChoice(80.0, 110.0, 100.0))
    drawn = latency_chart(choices, None, FleetPoint(80.0, 110.0))
    fromstring(drawn)  # noqa: S314 - our own picture
    assert "no fleet within 40 ms: too near" in drawn
    assert latency_lines(choices, 100.0) == (
        "within 40 ms: no fleet; too near",
        "within 80 ms: 110.00 USD/h (+10.0 % of the plan), at most 9.1 % above the least possible",
    )


def test_the_headline_counts_nodes(fleet: Fleet) -> None:
    assert headline(plan_of(fleet, 3)).startswith("The plan rents 3 nodes and gives back 0 nodes, in 0 waves.")
