"""What does a dimension of a fleet take of a budget? A price that is a power of the scale, and what may be chosen."""

from dataclasses import dataclass

MOST_GROWTH = 4.0
"""A price that grows faster is a slip of the pen."""


@dataclass(frozen=True, slots=True)
class DimensionPrice:
    """The price of one dimension: ``usd_per_unit * scale ** growth``.

    Args:
        dimension: name of the series that is priced; where the table names no series, that of the dimension.
        usd_per_unit: what the first unit takes, above 0.
        growth: 1 where each unit takes as much as the last; below it bulk is cheaper, above it scarcer.
        least: smallest scale that may be chosen; None is the smallest measured.
        most: largest; None is the largest measured.
        levels: how many scales at equal ratios from ``least`` to ``most`` may be chosen; 0 where every scale may,
            or where ``steps`` names them.
        steps: the scales that may be chosen, rising; empty where they are not named.
        place: where it stands, for messages.

    Raises:
        ValueError: a number is out of range.
    """

    dimension: str
    usd_per_unit: float
    growth: float = 1.0
    least: float | None = None
    most: float | None = None
    levels: int = 0
    steps: tuple[float, ...] = ()
    place: str = ""

    def __post_init__(self) -> None:
        if not 0.0 < self.usd_per_unit < float("inf"):
            raise ValueError(f"{self.dimension}: expected a price above 0 USD, found {self.usd_per_unit}")
        if not 0.0 < self.growth <= MOST_GROWTH:
            raise ValueError(f"{self.dimension}: expected growth above 0, at most {MOST_GROWTH:g}, found {self.growth}")
        if self.levels < 0 or self.levels == 1 or (self.levels and self.steps):
            raise ValueError(f"{self.dimension}: expected no levels, two or more, or their scales, found {self.levels}")
