"""What can be refined? Anything that has a decision in force, an exact cost, and moves."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from data.schemas.plan import Action
from qiskit_solvers.ising import Ising

Decision = TypeVar("Decision")


@dataclass(frozen=True, slots=True, eq=False)
class Window(Generic[Decision]):
    """A few moves as an Ising model: spin ``i`` is +1 to leave things as they are and -1 to make move ``i``.

    Args:
        ising: its energies are exact for strings with at most two moves made; all +1 is the current decision.
        sew: turns a string ``(spins,)`` into a whole feasible decision; moves that others made impossible are left out.
    """

    ising: Ising
    sew: Callable[[npt.NDArray[np.int8]], Decision]


@dataclass(frozen=True, slots=True, eq=False)
class Found(Generic[Decision]):
    """What a classical search found.

    Args:
        decision: the best decision seen, never worse than the one it started from.
        evaluations: moves that it evaluated.
        accepted: times that the best decision improved.
        bound: a lower bound on the cost of every feasible decision that the search proved on its way.
        proof: how; empty where nothing was proved.
    """

    decision: Decision
    evaluations: int
    accepted: int
    bound: float = -math.inf
    proof: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a decision that an operator reads, e.g. ``placement.racks_per_gang``."""

    name: str
    unit: str
    value: float
    better: Literal["lower", "higher"]


class Problem(Protocol[Decision]):
    """The contract of every noun. Decisions are immutable values; every one that is returned is feasible."""

    @property
    def name(self) -> str:
        """How reports call it, e.g. ``placement`` or ``routing:chat-moe``."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be assumed to pose the problem, in plain words."""
        ...

    def incumbent(self) -> Decision:
        """Return what is in force."""
        ...

    def cost(self, decision: Decision) -> float:
        """Return the exact cost, lower is better; it may be non-quadratic."""
        ...

    def bound(self) -> float:
        """Return a proven lower bound on the cost of every feasible decision."""
        ...

    def search(self, decision: Decision, evaluations: int, rng: np.random.Generator) -> Found[Decision]:
        """Anneal over the noun's moves with exact cost differences, and return the best decision seen."""
        ...

    def window(self, decision: Decision, size: int, rng: np.random.Generator) -> Window[Decision]:
        """Return an Ising model over at most ``size`` promising moves from ``decision``; no moves give no spins."""
        ...

    def actions(self, decision: Decision) -> tuple[Action, ...]:
        """Return what turns the incumbent into ``decision``, each with its reason and its own share of the gain."""
        ...

    def figures(self, decision: Decision) -> tuple[Figure, ...]:
        """Return what an operator reads before and after."""
        ...


class Steady(Problem[Decision], Protocol[Decision]):
    """A problem that is posed again and again, and can keep to what an earlier plan decided."""

    def carried(self, actions: tuple[Action, ...]) -> Decision:
        """Return the decision that ``actions`` of an earlier plan mean today: what still fits, the rest as in force."""
        ...

    def nearer(self, decision: Decision, last: Decision, allowance: float) -> Decision:
        """Return a decision nearer to ``last`` that costs at most ``allowance`` more than ``decision``."""
        ...
