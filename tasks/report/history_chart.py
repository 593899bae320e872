"""How did a figure of the runs change over time? Lines over dates, as a picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

from markupsafe import Markup

from tasks.report.power_chart import round_step
from tasks.report.quantities import number
from tasks.report.svg import at, element, label, markup, picture

WIDTH, HEIGHT = 520.0, 190.0
MOST_DOTS = 80
"""Points of a line that get a dot with its figures; of longer lines only those that are marked do."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 12.0, 12.0, 24.0
_TICKS = 4
_LARGEST = 1e15
_HOUR_S, _DAY_S = 3_600.0, 86_400.0
_FIRST_S, _LAST_S = (datetime(year, 1, 2, tzinfo=UTC).timestamp() for year in (1, 9999))


@dataclass(frozen=True, slots=True)
class Point:
    """A figure of one run.

    Args:
        moment: when the run began.
        value: the figure.
        told: what it says when it is pointed at.
        marked: whether something went wrong there.
    """

    moment: datetime
    value: float
    told: str
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through figures, oldest first, drawn in the class ``style``."""

    style: str
    points: tuple[Point, ...]


def curves_chart(curves: Sequence[Curve], description: str, unit: str = "", *, counts: bool = False) -> Markup | None:
    """Return ``curves`` over time, or None where there is nothing to draw.

    Args:
        curves: one or more lines.
        description: what a person who cannot see it should know.
        unit: written after the figures of the axis.
        counts: whether the figures are whole numbers of things, which begin at nought.
    """
    drawn = [
        replace(each, points=tuple(point for point in each.points if abs(point.value) < _LARGEST)) for each in curves
    ]
    points = [point for curve in drawn for point in curve.points]
    if not points:
        return None
    across, up = (
        _Times.of([point.moment for point in points]),
        _Level.of([point.value for point in points], counts=counts),
    )
    parts = [*_grid(up, unit), *_dates(across)]
    for curve in drawn:
        places = [(across.x(point.moment), up.y(point.value), point) for point in curve.points]
        if len(places) > 1:
            path = "M" + "L".join(f"{at(x)} {at(y)}" for x, y, _ in places)
            parts.append(element("path", {"class": f"curve {curve.style}", "d": path}))
        few = len(places) <= MOST_DOTS
        parts += [_dot(x, y, point, curve.style) for x, y, point in places if few or point.marked]
    return markup(picture(WIDTH, HEIGHT, description, *parts))


@dataclass(frozen=True, slots=True)
class _Times:
    """From moments to the width of the picture."""

    first_s: float
    last_s: float

    @classmethod
    def of(cls, moments: Sequence[datetime]) -> "_Times":
        seconds = [min(max(moment.timestamp(), _FIRST_S), _LAST_S) for moment in moments]
        first, last = min(seconds), max(seconds)
        if last == first:
            first, last = first - _HOUR_S, last + _HOUR_S
        return cls(first, last)

    def x(self, moment: datetime) -> float:
        moment_s = min(max(moment.timestamp(), _FIRST_S), _LAST_S)
        share = (moment_s - self.first_s) / (self.last_s - self.first_s)
        return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

    def ticks(self) -> list[tuple[float, str]]:
        """Return places along the width with their dates."""
        length = self.last_s - self.first_s
        form = "%H:%M" if length < _DAY_S else "%d %b %H:%M" if length < 4 * _DAY_S else "%d %b %Y"
        moments = [self.first_s + length * tick / (_TICKS - 1) for tick in range(_TICKS)]
        return [
            (_LEFT + tick / (_TICKS - 1) * (WIDTH - _LEFT - _RIGHT), datetime.fromtimestamp(moment, UTC).strftime(form))
            for tick, moment in enumerate(moments)
        ]


@dataclass(frozen=True, slots=True)
class _Level:
    """From figures to the height of the picture, between round ones."""

    low: float
    high: float
    step: float

    @classmethod
    def of(cls, values: Sequence[float], *, counts: bool) -> "_Level":
        low, high = min(values), max(values)
        if counts or 0 <= low < 0.5 * high:
            low = min(low, 0.0)  # a line that begins at nought tells what share of it changed
        room = max(high - low, 0.02 * max(abs(low), abs(high)), 1e-6)
        step = max(round_step(room / 4), 1.0 if counts else 0.0)
        bottom, top = math.floor(low / step) * step, math.ceil(high / step) * step
        return cls(bottom, top if top > bottom else bottom + step, step)

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - (value - self.low) / (self.high - self.low) * (HEIGHT - _TOP - _BOTTOM)

    def ticks(self) -> list[float]:
        return [self.low + tick * self.step for tick in range(round((self.high - self.low) / self.step) + 1)]


def _grid(up: _Level, unit: str) -> list[Element]:
    parts: list[Element] = []
    for value in up.ticks():
        y = up.y(value)
        ends = {"x1": at(_LEFT), "x2": at(WIDTH - _RIGHT), "y1": at(y), "y2": at(y)}
        parts.append(element("line", {"class": "grid", **ends}))
        parts.append(label(_LEFT - 6, y + 3.5, f"{number(value)}{unit}", "tick", end="end"))
    return parts


def _dates(across: _Times) -> list[Element]:
    ticks = across.ticks()
    ends = ["", *["middle"] * (len(ticks) - 2), "end"]
    return [label(x, HEIGHT - 6, text, "tick", end=end) for (x, text), end in zip(ticks, ends, strict=True)]


def _dot(x: float, y: float, point: Point, style: str) -> Element:
    name = "dot wrong" if point.marked else f"dot {style}"
    place = {"class": name, "cx": at(x), "cy": at(y), "r": "3.6" if point.marked else "2.4"}
    return element("circle", place, element("title", {}, text=point.told))
