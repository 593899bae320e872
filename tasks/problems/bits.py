"""How finely shall each tensor of a checkpoint be quantised, so that it is small and its model still works?

Each tensor gets one of a few steps. What that costs is known for each tensor and step: bytes, and a share of what a
measure of the model's function may lose. To first order what tensors lose adds up, since rounding errors are
independent and of mean nought (Choi et al. 2017, arXiv:1612.01543, weight them by the Hessian; here the weights are
measured). So this is the multiple-choice knapsack problem (Sinha and Zoltners 1979, doi 10.1287/opre.27.3.503), with as
many capacities as there are measures; its linear relaxation is close where tensors are many and alike, and less so
where they are few.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from data.schemas.plan import Action
from tasks.problems.bits_anneal import anneal
from tasks.problems.bits_relaxation import Floats, Integers, Relaxed, relaxed
from tasks.problems.moves import fusion_window
from tasks.problems.protocol import Figure, Found, Window

ROUNDING = 1e-9
"""By how much the shares that are used may add up to more than 1."""

HOT, COLD = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03), 0.001
"""First temperature of each of a few runs, from the best of the last, and the last temperature: in bytes by which a
tensor's second step is worse than its first at the relaxation's prices."""

DRAWN_PER_SPIN = 64
"""Moves that are looked at for each spin of a window."""


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The step of each tensor, by its place on the tensor's list, ``(tensors,)``; read-only.

    Raises:
        ValueError: the shape is another.
    """

    step_of: Integers

    def __post_init__(self) -> None:
        if self.step_of.ndim != 1:
            raise ValueError(f"step_of: expected shape (tensors,), got {self.step_of.shape}")
        self.step_of.setflags(write=False)


class Move(NamedTuple):
    """Give each of a few tensors another step; possible while each has the one before."""

    tensors: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Bits:
    """The noun of steps: the unit of its cost is one byte.

    ``cost = sum over tensors of size_bytes[tensor, step]``, while for each measure ``sum of share[measure, tensor,
    step] <= 1``. A decision is no action on the cluster: it is a policy of the archive that is written next.

    Args:
        size_bytes: of each tensor at each of its steps, ``(tensors, steps)``; infinite where a tensor has fewer.
        share: of what each measure may lose, ``(measures, tensors, steps)``, at least 0.
        in_force: what would be done without a choice.
        elements: of all tensors together, for figures.
        notes: what was assumed.

    Raises:
        ValueError: shapes do not agree, a number is out of range, or what is in force loses more than it may.
    """

    size_bytes: Floats
    share: Floats
    in_force: Chosen
    elements: int
    name: str = "bits"
    notes: tuple[str, ...] = ()
    _relaxed: Relaxed = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.size_bytes.ndim != 2 or min(self.size_bytes.shape) < 1:
            raise ValueError(f"size_bytes: expected shape (tensors, steps), none 0, got {self.size_bytes.shape}")
        if self.share.shape[1:] != self.size_bytes.shape or self.share.ndim != 3 or not len(self.share):
            raise ValueError(f"share: expected shape (measures, *{self.size_bytes.shape}), got {self.share.shape}")
        if np.isnan(self.size_bytes).any() or self.size_bytes.min() < 0 or self.elements < 1:
            raise ValueError("size_bytes and elements: expected sizes of at least 0 and at least one element")
        if not np.isfinite(self.share).all() or self.share.min() < 0:
            raise ValueError("share: expected finite numbers of at least 0")
        if self.in_force.step_of.shape != self.size_bytes.shape[:1]:
            raise ValueError(f"in_force: expected {len(self.size_bytes)} steps, got {self.in_force.step_of.shape}")
        if not 0 <= self.in_force.step_of.min() <= self.in_force.step_of.max() < self.size_bytes.shape[1]:
            raise ValueError(f"in_force: expected steps below {self.size_bytes.shape[1]}")
        if not self.feasible(self.in_force):
            raise ValueError(f"in_force: expected shares of at most 1, got {self.used(self.in_force)}")
        object.__setattr__(self, "_relaxed", relaxed(self.size_bytes, self.share))

    def incumbent(self) -> Chosen:
        """Return the steps in force."""
        return self.in_force

    def cost(self, decision: Chosen) -> float:
        """Return the bytes of all tensors."""
        return float(self.size_bytes[np.arange(len(self.size_bytes)), decision.step_of].sum())

    def used(self, decision: Chosen) -> Floats:
        """Return the share that is used of what each measure may lose, ``(measures,)``."""
        return np.asarray(self.share[:, np.arange(len(self.size_bytes)), decision.step_of].sum(axis=1))

    def feasible(self, decision: Chosen) -> bool:
        """Say whether every tensor has such a step and no measure loses more than it may."""
        return bool(np.isfinite(self.cost(decision)) and (self.used(decision) <= 1.0 + ROUNDING).all())

    def bound(self) -> float:
        """Return the bytes of the Lagrangian relaxation, which no choice is below."""
        return self._relaxed.bound

    def search(self, decision: Chosen, evaluations: int, rng: np.random.Generator) -> Found[Chosen]:
        """Anneal from ``decision`` or the rounded relaxation, whichever is smaller."""
        best, lowest, accepted = decision, self.cost(decision), 0
        rounded = Chosen(self._relaxed.step_of)
        if self.feasible(rounded) and self.cost(rounded) < lowest:
            best, lowest, accepted = rounded, self.cost(rounded), 1
        if evaluations < 1 or self.size_bytes.shape[1] == 1:
            return Found(best, 0, accepted)
        unit, near = self._regret(), self._relaxed.near
        for hot in HOT:
            step_of, improved = anneal(
                best.step_of, self.size_bytes, self.share, near, evaluations // len(HOT), hot * unit, COLD * unit, rng
            )
            found = Chosen(step_of)
            if self.feasible(found) and self.cost(found) < lowest:
                best, lowest, accepted = found, self.cost(found), accepted + int(improved)
        return Found(best, evaluations, accepted)

    def window(self, decision: Chosen, size: int, rng: np.random.Generator) -> Window[Chosen]:
        """Return a window of finer steps, exchanges between two tensors, and coarser steps, in this order.

        What makes room comes first, for a coarser step that does not fit alone may fit after it.
        """
        return fusion_window(decision, self._promising(decision, size, rng), self._apply, self.cost)

    def actions(self, decision: Chosen) -> tuple[Action, ...]:  # noqa: ARG002 -- an archive's policy, not a plan
        """Return nothing: steps are a policy of the archive, the cluster's plan does not hold them."""
        return ()

    def figures(self, decision: Chosen) -> tuple[Figure, ...]:
        """Return the size, and how much of what may be lost is."""
        size = self.cost(decision)
        return (
            Figure("bits.size", "bytes", size, "lower"),
            Figure("bits.per_weight", "bit", 8.0 * size / self.elements, "lower"),
            Figure("bits.loss_used", "of what is allowed", float(self.used(decision).max()), "lower"),
        )

    def _regret(self) -> float:
        """Return by how many bytes the second of a tensor's steps is worse at the relaxation's prices, the median."""
        two = np.partition(self._relaxed.priced, 1, axis=1)[:, :2]
        regret = two[:, 1] - two[:, 0]
        finite = regret[np.isfinite(regret) & (regret > 0.0)]
        return float(np.median(finite)) if finite.size else 1.0

    def _apply(self, decision: Chosen, move: Move) -> Chosen | None:
        """Make a move, or return None where it is not possible any more or loses too much."""
        tensors = list(move.tensors)
        if decision.step_of[tensors].tolist() != list(move.before):
            return None
        step_of = decision.step_of.copy()
        step_of[tensors] = move.after
        moved = Chosen(step_of)
        return moved if self.feasible(moved) else None

    def _promising(self, decision: Chosen, size: int, rng: np.random.Generator) -> list[Move]:
        """Return at most ``size`` changes of one or two tensors: those that the relaxation thinks cost the least.

        At its prices the best choices cost next to nothing to leave, and what is left over is how they fit together.
        """
        tensors = len(self.size_bytes)
        pool = DRAWN_PER_SPIN * size
        which = rng.integers(tensors, size=(pool, 2))
        before = decision.step_of[which]
        after = self._relaxed.near[which, rng.integers(self._relaxed.near.shape[1], size=(pool, 2))]
        alone = (rng.random(pool) < 1 / 3) | (which[:, 0] == which[:, 1]) | (after[:, 1] == before[:, 1])
        possible = after[:, 0] != before[:, 0]
        which, before, after, alone = which[possible], before[possible], after[possible], alone[possible]
        bytes_more = self.size_bytes[which, after] - self.size_bytes[which, before]
        bytes_more[alone, 1] = 0.0
        loss_more = self.share[:, which, after] - self.share[:, which, before]
        loss_more[:, alone, 1] = 0.0
        change, loss = bytes_more.sum(axis=1), loss_more.sum(axis=2)
        worth = change + self._relaxed.price @ loss
        noise = 0.05 * self._regret() * rng.gumbel(size=worth.size)
        picked: dict[Move, float] = {}
        for k in np.argsort(worth - noise, kind="stable").tolist():
            if not np.isfinite(change[k]):
                break
            places = 1 if alone[k] else 2
            order = np.argsort(which[k, :places]).tolist()
            move = Move(*(tuple(int(row[k, place]) for place in order) for row in (which, before, after)))
            picked[move] = float((self._relaxed.price + 1e-12) @ loss[:, k])
            if len(picked) == size:
                break
        return sorted(picked, key=lambda move: (picked[move], move))
