"""How much dearer is a fleet that is nearer to its users? Cost over latency limits, as a picture and in lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from markupsafe import Markup

from tasks.fleet.latency_frontier import LatencyChoice
from tasks.report.axis import Axis
from tasks.report.quantities import number
from tasks.report.svg import at, element, label, markup, picture

WIDTH, HEIGHT = 1040.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 72.0, 16.0, 20.0, 34.0


@dataclass(frozen=True, slots=True)
class FleetPoint:
    """A fleet on the picture: within how many milliseconds users are served, and at what cost."""

    latency_ms: float
    cost_usd_per_h: float


def latency_chart(choices: Sequence[LatencyChoice], in_force: FleetPoint | None, plan: FleetPoint) -> Markup:
    """Return cost over latency: the cheapest fleets found as a line, proven bounds below it, and two marks.

    Args:
        choices: the lowest limit first; those without a fleet are drawn as crosses at the top.
        in_force: the fleet in force; None where nothing is held, or not everyone is served.
        plan: the one that was made.
    """
    costs = [each.cost_usd_per_h for each in choices if each.cost_usd_per_h is not None]
    bounds = [each.bound_usd_per_h for each in choices if each.bound_usd_per_h is not None]
    marks = [plan, *([] if in_force is None else [in_force])]
    across = Axis.of(
        [*(each.latency_ms for each in choices), *(mark.latency_ms for mark in marks)], _LEFT, WIDTH - _RIGHT
    )
    up = Axis.of([*costs, *bounds, *(mark.cost_usd_per_h for mark in marks)], HEIGHT - _BOTTOM, _TOP)
    parts = _grid(across, up)
    for style, points in (
        ("line-before", [(each.latency_ms, each.bound_usd_per_h) for each in choices]),
        ("line-after", [(each.latency_ms, each.cost_usd_per_h) for each in choices]),
    ):
        places = [f"{at(across.at(ms))} {at(up.at(usd))}" for ms, usd in points if usd is not None]
        if places:
            parts.append(element("path", {"class": style, "d": "M" + "L".join(places)}))
    for each in choices:
        x = across.at(each.latency_ms)
        if each.cost_usd_per_h is None:
            cross = f"M{at(x - 4)} {at(_TOP)}l8 8m0 -8l-8 8"
            said = f"no fleet within {number(each.latency_ms)} ms: {each.why}"
            parts.append(element("path", {"class": "cap", "d": cross}, element("title", {}, text=said)))
        else:
            point = FleetPoint(each.latency_ms, each.cost_usd_per_h)
            parts.append(_mark(across, up, point, "start-after", 3.5, "cheapest found"))
    if in_force is not None:
        parts.append(_mark(across, up, in_force, "start-before", 6.0, "in force"))
    parts.append(_mark(across, up, plan, "start-after", 7.0, "this plan"))
    return markup(picture(WIDTH, HEIGHT, "cost of the cheapest fleet under each of several latency limits", *parts))


def latency_lines(choices: Sequence[LatencyChoice], plan_usd_per_h: float) -> tuple[str, ...]:
    """Return a line for each choice: its cost, how that compares with the plan, how far it may be from best."""
    lines = []
    for each in choices:
        limit = f"within {number(each.latency_ms)} ms"
        if each.cost_usd_per_h is None:
            lines.append(f"{limit}: no fleet; {each.why}")
            continue
        share = 100.0 * (each.cost_usd_per_h / plan_usd_per_h - 1.0) if plan_usd_per_h else 0.0
        proven = "no bound"
        if each.bound_usd_per_h is not None:
            gap = 100.0 * max(0.0, each.cost_usd_per_h - each.bound_usd_per_h) / max(1e-9, each.cost_usd_per_h)
            proven = f"at most {gap:.2g} % above the least possible"
        lines.append(f"{limit}: {each.cost_usd_per_h:,.2f} USD/h ({share:+.1f} % of the plan), {proven}")
    return tuple(lines)


def _grid(across: Axis, up: Axis) -> list[Element]:
    parts: list[Element] = []
    for usd in up.ticks():
        y = at(up.at(usd))
        ends = {"x1": at(_LEFT), "x2": at(WIDTH - _RIGHT), "y1": y, "y2": y}
        parts.append(element("line", {"class": "grid", **ends}))
        parts.append(label(_LEFT - 6, up.at(usd) + 3.5, number(usd), "small", end="end"))
    for ms in across.ticks():
        x = across.at(ms)
        parts.append(label(x, HEIGHT - 20, f"{number(ms)} ms", "small", end="end" if x > WIDTH - 60 else "middle"))
    parts.append(label(_LEFT, 10, "US dollars an hour", "small"))
    parts.append(label(WIDTH - _RIGHT, HEIGHT - 6, "limit of the latency, there and back", "small", end="end"))
    return parts


def _mark(across: Axis, up: Axis, point: FleetPoint, style: str, radius: float, name: str) -> Element:
    said = f"{name}: {number(point.latency_ms)} ms, {point.cost_usd_per_h:,.2f} USD/h"
    place = {"cx": at(across.at(point.latency_ms)), "cy": at(up.at(point.cost_usd_per_h)), "r": at(radius)}
    return element("circle", {"class": style, **place}, element("title", {}, text=said))
