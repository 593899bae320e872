"""Facts about the picture of completion against energy."""

import re
from xml.etree import ElementTree

import pytest

from tasks.report.power_frontier import HEIGHT, WIDTH, Choice, frontier_chart, frontier_lines

CHOICES = (Choice(18.6, 4.0), Choice(20.0, 3.0), Choice(24.9, 2.1))


def test_every_plan_is_marked_within_the_picture_and_less_energy_lies_left_and_up() -> None:
    root = ElementTree.fromstring(frontier_chart(CHOICES, Choice(27.0, 2.3), plan=CHOICES[2]))  # noqa: S314 -- our own
    marks = root.findall("circle")
    places = [(float(mark.get("cx", "nan")), float(mark.get("cy", "nan"))) for mark in marks]
    assert len(marks) == len(CHOICES) + 2
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in places)
    assert places[0][0] < places[1][0] < places[2][0]
    assert places[0][1] < places[1][1] < places[2][1]
    titles = [mark.findtext("title") for mark in marks]
    assert titles[0] == "a plan: 18.6 kWh, 4 h"
    assert titles[-2:] == ["in force: 27 kWh, 2.3 h", "this plan: 24.9 kWh, 2.1 h"]


@pytest.mark.parametrize("value", [0.0, 1e-9, 3.0, 1e7])
def test_a_single_plan_and_odd_sizes_are_drawn(value: float) -> None:
    text = frontier_chart((Choice(value, value),), Choice(value, value))
    assert not re.search(r"nan|inf\b", text)
    assert all(0 <= float(y) <= HEIGHT for y in re.findall(r'cy="([^"]+)"', text))


def test_each_choice_is_told_beside_what_is_in_force() -> None:
    lines = frontier_lines(CHOICES[1:], Choice(25.0, 2.4))
    assert lines[0] == ("20 kWh (-20.0 %): jobs have ended after 3 h (+25.0 %)")
    assert "none in force" in frontier_lines(CHOICES, Choice(0.0, 0.0))[0]


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        frontier_chart((), CHOICES[0])
    with pytest.raises(ValueError, match="finite"):
        Choice(float("nan"), 1.0)
