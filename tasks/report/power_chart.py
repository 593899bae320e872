"""What does the cluster draw, slot by slot, before and after, and where is the cap?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from xml.etree.ElementTree import Element

from markupsafe import Markup

from tasks.report.quantities import duration, number, quantity
from tasks.report.svg import at, element, label, markup, picture

WIDTH, HEIGHT = 1040.0, 260.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 8.0, 12.0, 26.0


@dataclass(frozen=True, slots=True)
class PowerSeries:
    """Draw of the whole cluster in each slot.

    Args:
        slot_s: length of a slot.
        before_w: watts with what is in force, ``(slots,)``.
        after_w: watts with the plan, ``(slots,)``.
        cap_w: the cluster's cap, or None.

    Raises:
        ValueError: no slots, series of different length, or a figure that is not finite.
    """

    slot_s: float
    before_w: tuple[float, ...]
    after_w: tuple[float, ...]
    cap_w: float | None

    def __post_init__(self) -> None:
        if not self.before_w or len(self.before_w) != len(self.after_w):
            raise ValueError(f"expected two series of one length, got {len(self.before_w)} and {len(self.after_w)}")
        if not all(math.isfinite(watts) for watts in (*self.before_w, *self.after_w, self.cap_w or 0.0, self.slot_s)):
            raise ValueError("expected finite watts and seconds")

    def overload_kwh(self, watts: Sequence[float]) -> float:
        """Return the energy of ``watts`` above the cap."""
        if self.cap_w is None:
            return 0.0
        cap_w = self.cap_w
        return sum(max(0.0, value - cap_w) for value in watts) * self.slot_s / 3.6e6


def power_chart(series: PowerSeries) -> Markup:
    """Return both lines against the cap; what lies above it is shaded."""
    scale = _Scale.of(series)
    parts = scale.axes()
    for watts, style in ((series.before_w, "over-before"), (series.after_w, "over-after")):
        shaded = scale.above_cap(watts, series.cap_w)
        if shaded:
            parts.append(element("path", {"class": style, "d": shaded}))
    for watts, style, name in ((series.before_w, "line-before", "before"), (series.after_w, "line-after", "after")):
        title = element("title", {}, text=f"{name}: peak {quantity(max(watts), 'W')}")
        parts.append(element("path", {"class": style, "d": scale.steps(watts)}, title))
    if series.cap_w is not None:
        y = scale.y(series.cap_w)
        ends = {"x1": at(_LEFT), "x2": at(WIDTH - _RIGHT), "y1": at(y), "y2": at(y)}
        parts.append(element("line", {"class": "cap", **ends}))
        parts.append(label(WIDTH - _RIGHT, y - 4, f"cap {quantity(series.cap_w, 'W')}", "cap-name", end="end"))
    return markup(picture(WIDTH, HEIGHT, "power over time before and after, against the cap", *parts))


@dataclass(frozen=True, slots=True)
class _Scale:
    """From slots and watts to the picture."""

    slots: int
    slot_s: float
    low_w: float
    high_w: float
    step_w: float

    @classmethod
    def of(cls, series: PowerSeries) -> "_Scale":
        values = [*series.before_w, *series.after_w, *([] if series.cap_w is None else [series.cap_w])]
        low, high = min(values), max(values)
        if high - low < 0.05 * max(high, 1.0):
            low, high = low - 0.05 * max(high, 1.0), high + 0.05 * max(high, 1.0)
        step = round_step((high - low) / 4)
        bottom = 0.0 if low < 0.4 * high else max(0.0, math.floor(low / step) * step)
        if not bottom:
            step = round_step(high / 4)
        return cls(len(series.before_w), series.slot_s, bottom, math.ceil(high / step) * step, step)

    def x(self, slot: float) -> float:
        return _LEFT + slot / self.slots * (WIDTH - _LEFT - _RIGHT)

    def y(self, watts: float) -> float:
        share = (watts - self.low_w) / (self.high_w - self.low_w)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)

    def steps(self, watts: Sequence[float]) -> str:
        """Return a line that is level over each run of equal slots."""
        path, slot = "", 0
        for value, run in groupby(watts):
            length = sum(1 for _ in run)
            path += f"{'V' if slot else f'M{at(self.x(0))} '}{at(self.y(value))}H{at(self.x(slot + length))}"
            slot += length
        return path

    def above_cap(self, watts: Sequence[float], cap_w: float | None) -> str:
        """Return the area between the cap and what is above it."""
        if cap_w is None:
            return ""
        path, slot = "", 0
        base = at(self.y(cap_w))
        for value, run in groupby(watts):
            length = sum(1 for _ in run)
            if value > cap_w:
                left, right = at(self.x(slot)), at(self.x(slot + length))
                path += f"M{left} {base}V{at(self.y(value))}H{right}V{base}z"
            slot += length
        return path

    def axes(self) -> list[Element]:
        """Return level lines with watts, and hours below."""
        parts: list[Element] = []
        unit = quantity(self.high_w, "W").rpartition(" ")[2]
        factor = {"W": 1.0, "kW": 1e3, "MW": 1e6, "GW": 1e9}[unit]
        for tick in range(round((self.high_w - self.low_w) / self.step_w) + 1):
            watts = self.low_w + tick * self.step_w
            y = self.y(watts)
            ends = {"x1": at(_LEFT), "x2": at(WIDTH - _RIGHT), "y1": at(y), "y2": at(y)}
            parts.append(element("line", {"class": "grid", **ends}))
            parts.append(label(_LEFT - 6, y + 3.5, f"{number(watts / factor)} {unit}", "small", end="end"))
        hours = self.slots * self.slot_s / 3600
        step = round_step(hours / 8)
        for tick in range(int(hours / step + 1e-9) + 1):
            x = self.x(tick * step * 3600 / self.slot_s)
            text = "now" if not tick else f"+{duration(tick * step * 3600)}"
            end = "" if not tick else "end" if x > WIDTH - 40 else "middle"
            parts.append(label(x, HEIGHT - 8, text, "small", end=end))
        return parts


def round_step(value: float) -> float:
    """Return 1, 2, 2.5 or 5 times a power of ten, not below ``value``."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-9)))
    return next(step * power for step in (1.0, 2.0, 2.5, 5.0, 10.0) if step * power >= value * 0.999)
