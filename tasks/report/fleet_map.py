"""Where in the world does a fleet stand, and where does its plan change it? A map as SVG, without tiles."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree.ElementTree import Element

from markupsafe import Markup

from data.schemas.fleet import Fleet, Region
from data.schemas.fleet_plan import FleetPlan
from tasks.report.quantities import counted, number
from tasks.report.svg import at, element, fitted, label, markup, picture
from tasks.report.world_outline import NORTHMOST_DEG, SOUTHMOST_DEG, coasts, equal_earth

WIDTH = 1040.0
LARGEST = 22.0
"""Radius of the region with the most nodes; areas are in proportion."""

SMALLEST = 2.2
"""Radius below which a dot could not be seen."""

MOST_NAMES = 14

Kind = Literal["opened", "closed", "grown", "shrunk", "same"]
KINDS: tuple[tuple[Kind, str], ...] = (
    ("opened", "opened"),
    ("grown", "more capacity"),
    ("same", "as much capacity as before"),
    ("shrunk", "less capacity"),
    ("closed", "given back"),
)


@dataclass(frozen=True, slots=True)
class RegionChange:
    """A region before and after.

    Args:
        nodes: before and after.
        capacity: before and after, in the fleet's unit.
    """

    region: Region
    nodes: tuple[int, int]
    capacity: tuple[float, float]

    @property
    def kind(self) -> Kind:
        """What becomes of it; machines of another kind may serve as much."""
        before, after = self.capacity
        if not self.nodes[0]:
            return "opened" if self.nodes[1] else "same"
        if not self.nodes[1]:
            return "closed"
        if abs(after - before) <= 1e-9 * max(after, before):
            return "same"
        return "grown" if after > before else "shrunk"


def region_changes(plan: FleetPlan, fleet: Fleet) -> tuple[RegionChange, ...]:
    """Return the regions that have nodes before or after, in the order of the fleet."""
    size = {(each.region, each.sku, each.purchase): 1.0 - each.interruption for each in fleet.offers}
    skus = {sku.id: sku.capacity for sku in fleet.skus}
    nodes: dict[str, list[int]] = {}
    capacity: dict[str, list[float]] = {}
    for each in plan.resource_changes:
        unit = skus[each.sku] * size[each.region, each.sku, each.purchase]
        for when, count in enumerate((each.change.before, each.change.after)):
            nodes.setdefault(each.region, [0, 0])[when] += count
            capacity.setdefault(each.region, [0.0, 0.0])[when] += count * unit
    return tuple(
        RegionChange(
            region, (nodes[region.id][0], nodes[region.id][1]), (capacity[region.id][0], capacity[region.id][1])
        )
        for region in fleet.regions
        if region.id in nodes
    )


@dataclass(frozen=True, slots=True)
class _Map:
    """From degrees to the drawing."""

    scale: float
    left: float
    top: float

    @classmethod
    def of_width(cls, width: float) -> "_Map":
        half, _ = equal_earth(180.0, 0.0)
        scale = (width - 4.0) / (2.0 * half)
        return cls(scale, half * scale + 2.0, equal_earth(0.0, NORTHMOST_DEG)[1] * scale + 2.0)

    def at(self, longitude: float, latitude: float) -> tuple[float, float]:
        right, up = equal_earth(longitude, max(SOUTHMOST_DEG, min(NORTHMOST_DEG, latitude)))
        return self.left + right * self.scale, self.top - up * self.scale


def fleet_map(changes: Sequence[RegionChange], fleet: Fleet) -> Markup:
    """Return the map: users as crosses, regions as dots with an area by nodes, coloured by what becomes of them."""
    world = _Map.of_width(WIDTH)
    height = world.at(0.0, SOUTHMOST_DEG)[1] + 2.0
    parts = [_graticule(world), _land(world)]
    parts += _zones(world, fleet)
    most = max((max(each.nodes) for each in changes), default=0)
    ordered = sorted(changes, key=lambda each: -max(each.nodes))
    for each in ordered:
        parts += _dot(world, each, most)
    parts += _names(world, ordered[:MOST_NAMES], most)
    said = f"world map of {counted(len(changes), 'region')} with their nodes before and after the plan"
    return markup(picture(WIDTH, height, said, *parts, style="world"))


def _graticule(world: _Map) -> Element:
    lines = []
    latitudes = [SOUTHMOST_DEG + step * (NORTHMOST_DEG - SOUTHMOST_DEG) / 24 for step in range(25)]
    lines += [[(float(east), north) for north in latitudes] for east in range(-180, 181, 30)]
    lines += [[(-180.0, float(north)), (180.0, float(north))] for north in range(-30, 61, 30)]
    return element("path", {"class": "graticule", "d": "".join(_line(world, line) for line in lines)})


def _land(world: _Map) -> Element:
    path = "".join(_line(world, line) + "z" for line in coasts())
    return element("path", {"class": "land", "fill-rule": "evenodd", "d": path})


def _line(world: _Map, degrees: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{at(x)} {at(y)}" for x, y in (world.at(*place) for place in degrees))


def _zones(world: _Map, fleet: Fleet) -> list[Element]:
    """Return a cross for each group of users; its arms grow with their demand."""
    most = max((zone.demand for zone in fleet.zones), default=0.0) or 1.0
    path = ""
    for zone in fleet.zones:
        x, y = world.at(zone.longitude_deg, zone.latitude_deg)
        arm = 2.0 + 4.0 * math.sqrt(zone.demand / most)
        path += f"M{at(x - arm)} {at(y)}h{at(2 * arm)}M{at(x)} {at(y - arm)}v{at(2 * arm)}"
    return [element("path", {"class": "users", "d": path})]


def _radius(nodes: int, most: int) -> float:
    return max(SMALLEST, LARGEST * math.sqrt(nodes / most)) if nodes and most else 0.0


def _dot(world: _Map, each: RegionChange, most: int) -> list[Element]:
    x, y = world.at(each.region.longitude_deg, each.region.latitude_deg)
    place = {"cx": at(x), "cy": at(y)}
    said = (
        f"{each.region.id}: {number(each.nodes[0])} -> {counted(each.nodes[1], 'node')}, "
        f"capacity {number(each.capacity[0])} -> {number(each.capacity[1])}"
    )
    parts = []
    if each.nodes[0]:
        parts.append(element("circle", {**place, "r": at(_radius(each.nodes[0], most)), "class": f"was {each.kind}"}))
    if each.nodes[1]:
        parts.append(element("circle", {**place, "r": at(_radius(each.nodes[1], most)), "class": f"now {each.kind}"}))
    return [element("g", {}, element("title", {}, text=said), *parts)]


def _names(world: _Map, changes: Sequence[RegionChange], most: int) -> list[Element]:
    """Return the names of the largest regions, those left out that would lie over one another."""
    taken: list[tuple[float, float, float]] = []
    parts = []
    for each in changes:
        x, y = world.at(each.region.longitude_deg, each.region.latitude_deg)
        text = fitted(each.region.metro or each.region.id, 110.0, 10.0)
        width = 5.6 * len(text)
        x = min(x + _radius(max(each.nodes), most) + 3.0, WIDTH - width)
        if any(abs(y - other_y) < 11.0 and x < end and start < x + width for other_y, start, end in taken):
            continue
        taken.append((y, x, x + width))
        parts.append(label(x, y + 3.5, text, "place"))
    return parts


def counts(changes: Sequence[RegionChange]) -> Mapping[Kind, int]:
    """Return how many regions each kind of change meets."""
    return {kind: sum(each.kind == kind for each in changes) for kind, _ in KINDS}
