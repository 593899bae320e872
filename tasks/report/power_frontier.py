"""How much later do jobs end for how much less energy? The plans that an operator can choose from, as a picture."""

import math
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from markupsafe import Markup

from tasks.report.axis import Axis
from tasks.report.quantities import number, quantity
from tasks.report.svg import at, element, label, markup, picture

WIDTH, HEIGHT = 1040.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 16.0, 18.0, 34.0


@dataclass(frozen=True, slots=True)
class Choice:
    """A plan that could be chosen.

    Args:
        energy_kwh: what all jobs draw above idle GPUs until they have ended.
        completion_h: mean hours until a job has ended, by GPUs and priority.
    """

    energy_kwh: float
    completion_h: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.energy_kwh) and math.isfinite(self.completion_h)):
            raise ValueError(f"expected finite kWh and hours, got {self.energy_kwh} and {self.completion_h}")


@dataclass(frozen=True, slots=True)
class EnergyChoices:
    """What can be chosen between energy and time.

    Args:
        choices: plans by rising energy.
        in_force: what is in force.
        plan: the plan that was made.
    """

    choices: tuple[Choice, ...]
    in_force: Choice
    plan: Choice


def frontier_chart(choices: tuple[Choice, ...], in_force: Choice, plan: Choice | None = None) -> Markup:
    """Return completion over energy: a line through the choices, and marks for what is in force and the plan.

    Args:
        choices: by rising energy; at least one.
        in_force: what is in force.
        plan: the one that was made, if it should be shown.

    Raises:
        ValueError: no choices.
    """
    if not choices:
        raise ValueError("choices: expected at least one plan, got none")
    shown = [*choices, in_force, *([] if plan is None else [plan])]
    across = Axis.of([each.energy_kwh for each in shown], _LEFT, WIDTH - _RIGHT)
    up = Axis.of([each.completion_h for each in shown], HEIGHT - _BOTTOM, _TOP)
    parts = _grid(across, up)
    places = [f"{at(across.at(each.energy_kwh))} {at(up.at(each.completion_h))}" for each in choices]
    parts.append(element("path", {"class": "line-after", "d": "M" + "L".join(places)}))
    parts += [_mark(across, up, each, "start-after", 3.5, "a plan") for each in choices]
    parts.append(_mark(across, up, in_force, "start-before", 6.0, "in force"))
    if plan is not None:
        parts.append(_mark(across, up, plan, "start-after", 7.0, "this plan"))
    said = "hours until jobs have ended against the energy that they take, for plans under different budgets"
    return markup(picture(WIDTH, HEIGHT, said, *parts))


def frontier_lines(choices: tuple[Choice, ...], in_force: Choice) -> tuple[str, ...]:
    """Return one line for each choice: its energy and hours, and by how much they are less or more than in force."""
    return tuple(
        f"{quantity(each.energy_kwh, 'kWh')} ({_change(each.energy_kwh, in_force.energy_kwh)}): "
        f"jobs have ended after {quantity(each.completion_h, 'h')} "
        f"({_change(each.completion_h, in_force.completion_h)})"
        for each in choices
    )


def _change(value: float, before: float) -> str:
    if not before:
        return "none in force"
    return f"{100 * (value / before - 1):+.1f} %"


def _grid(across: Axis, up: Axis) -> list[Element]:
    """Return level lines with hours, and kilowatt hours below."""
    parts: list[Element] = []
    for hours in up.ticks():
        y = up.at(hours)
        ends = {"x1": at(_LEFT), "x2": at(WIDTH - _RIGHT), "y1": at(y), "y2": at(y)}
        parts.append(element("line", {"class": "grid", **ends}))
        parts.append(label(_LEFT - 6, y + 3.5, f"{number(hours)} h", "small", end="end"))
    for kwh in across.ticks():
        x = across.at(kwh)
        end = "end" if x > WIDTH - 60 else "middle"
        parts.append(label(x, HEIGHT - 20, quantity(kwh, "kWh"), "small", end=end))
    parts.append(label(_LEFT, 10, "mean time until a job has ended, by GPUs and priority", "small"))
    parts.append(label(WIDTH - _RIGHT, HEIGHT - 6, "energy of jobs to their end, above idle", "small", end="end"))
    return parts


def _mark(across: Axis, up: Axis, choice: Choice, style: str, radius: float, name: str) -> Element:
    told = f"{name}: {quantity(choice.energy_kwh, 'kWh')}, {quantity(choice.completion_h, 'h')}"
    place = {"cx": at(across.at(choice.energy_kwh)), "cy": at(up.at(choice.completion_h)), "r": at(radius)}
    return element("circle", {"class": style, **place}, element("title", {}, text=told))
