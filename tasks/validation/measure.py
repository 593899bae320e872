"""What is a figure of a state? Its name, unit, value, and which direction is better."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of one state of the cluster, by the published definition of its name."""

    name: str
    unit: str
    value: float
    better: Literal["lower", "higher"]
