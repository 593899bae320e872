"""What does a tensor cost as a tensor train over this order of its modes, at this error?"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from tasks.codecs.network_search import rate
from tasks.codecs.network_search.chain_kernel import PARAMETER_BITS, Array, Counts, cheapest
from tasks.codecs.network_search.spectra import NEGLIGIBLE, Spectra

Budget = Literal["uniform", "split", "quantised"]
"""``uniform``: every bond may lose the same, numbers of 32 bits; ``split``: bonds lose what saves most; ``quantised``:
likewise, together with the quantisation of the cores."""

CANDIDATES = 24
"""Ranks to choose from at each bond."""

WIDEST = 64
"""Product of the modes that a core may merge."""

_HALVINGS = 17
_PRICES = (1e-2, 1e12)


@dataclass(frozen=True, slots=True, eq=False)
class Bond:
    """What may be chosen at a bond.

    Args:
        ranks: ascending, ``(candidates,)``; none where no rank keeps the error.
        tails: relative squared error of each.
        squares: relative squared singular values, ``(largest rank,)``.
    """

    ranks: Counts
    tails: Array
    squares: Array


@dataclass(frozen=True, slots=True)
class Train:
    """A tensor train that was priced.

    Args:
        order: of the split modes.
        bits: that it takes.
        error: relative squared error, at most what was asked for.
        ranks: at each bond between neighbours in ``order``; 0 where they share a core.
        tails: relative squared error of the cut at each of these bonds.
    """

    order: tuple[int, ...]
    bits: float
    error: float
    ranks: tuple[int, ...]
    tails: tuple[float, ...]


class Trains:
    """Prices orders of a tensor's modes.

    Args:
        spectra: of the tensor.
        relative_error: Frobenius norm of the difference over that of the tensor.
        budget: how the error is shared, and whether cores are quantised.
    """

    def __init__(self, spectra: Spectra, relative_error: float, budget: Budget = "quantised") -> None:
        """Nothing is computed yet."""
        if not 0.0 < relative_error < 1.0:
            raise ValueError(f"relative_error: expected between 0 and 1, got {relative_error}")
        self.spectra = spectra
        self.allowed = relative_error**2
        self.budget = budget
        self.modes = np.array(spectra.modes, dtype=np.int64)
        self._bonds: dict[int, Bond] = {}

    def bond(self, subset: int) -> Bond:
        """Return what may be chosen between a set of modes and the rest."""
        if subset not in self._bonds:
            self._bonds[subset] = self._candidates(self.spectra.squares(subset))
        return self._bonds[subset]

    def price(self, order: tuple[int, ...]) -> Train:
        """Return the cheapest train over an order; infinitely dear where none keeps the error."""
        subset, bonds = 0, []
        for mode in order[:-1]:
            subset |= 1 << mode
            bonds.append(self.bond(subset))
        if self.budget == "uniform":
            return self._uniform(order, bonds)
        return self._cheapest(order, bonds)

    def _candidates(self, squares: Array) -> Bond:
        tails = np.maximum(0.0, 1.0 - np.concatenate([np.zeros(1), np.cumsum(squares)]))
        bonds = max(1, len(self.modes) - 1)
        least = int(np.searchsorted(-tails, -self.allowed))
        most = min(int(np.searchsorted(-tails, -1e-3 * self.allowed / bonds)), squares.size)
        if squares.size == 0 or tails[-1] > 0.1 * self.allowed / bonds:
            return Bond(np.zeros(0, np.int64), np.zeros(0), squares)
        if self.budget == "uniform":
            ranks = np.array([max(1, int(np.searchsorted(-tails, -self.allowed / bonds)))])
        else:
            wanted = np.geomspace(max(1, least), max(1, most), CANDIDATES)
            step = np.arange(max(1, least), max(1, most) + 1)
            ranks = step if step.size <= CANDIDATES else np.unique(np.rint(wanted).astype(np.int64))
        return Bond(ranks.astype(np.int64), tails[ranks], np.ascontiguousarray(squares[: int(ranks[-1])]))

    def _uniform(self, order: tuple[int, ...], bonds: list[Bond]) -> Train:
        if any(bond.ranks.size == 0 for bond in bonds):
            return Train(order, math.inf, math.inf, (), ())
        ranks = tuple(int(bond.ranks[0]) for bond in bonds)
        ends = (1, *ranks, 1)
        numbers = sum(a * int(self.modes[mode]) * b for a, mode, b in zip(ends, order, ends[1:], strict=False))
        tails = tuple(float(bond.tails[0]) for bond in bonds)
        return Train(order, PARAMETER_BITS * numbers, sum(tails), ranks, tails)

    def _cheapest(self, order: tuple[int, ...], bonds: list[Bond]) -> Train:
        end = Bond(np.ones(1, np.int64), np.zeros(1), np.ones(1))
        line = [end, *bonds, end]
        counts = np.array([bond.ranks.size for bond in line], dtype=np.int64)
        ranks = np.ones((len(line), int(counts.max())), dtype=np.int64)
        tails = np.zeros(ranks.shape)
        logarithms = np.zeros((len(line), max(bond.squares.size for bond in line)))
        for place, bond in enumerate(line):
            ranks[place, : bond.ranks.size] = bond.ranks
            tails[place, : bond.tails.size] = bond.tails
            logarithms[place, : bond.squares.size] = np.log(np.maximum(bond.squares, NEGLIGIBLE))
        modes = self.modes[list(order)]
        low, high = (math.log(price / self.allowed) for price in _PRICES)
        found = Train(order, math.inf, math.inf, (), ())
        chosen = np.zeros(len(line), dtype=np.int64)
        for halving in range(_HALVINGS):
            middle = high if halving == 0 else 0.5 * (low + high)
            bits, error = cheapest(
                modes, counts, ranks, tails, logarithms, WIDEST, math.exp(middle),
                self.budget == "quantised", rates(), chosen,
            )  # fmt: skip
            if error > self.allowed:
                if halving == 0:
                    return found
                low = middle
                continue
            high = middle
            if bits < found.bits:
                cut = self._tails(bonds, chosen[1:-1])
                found = Train(order, float(bits), float(error), tuple(chosen[1:-1].tolist()), cut)
        return found

    def _tails(self, bonds: list[Bond], ranks: npt.NDArray[np.int64]) -> tuple[float, ...]:
        return tuple(
            float(bond.tails[int(np.searchsorted(bond.ranks, rank))]) if rank else 0.0
            for bond, rank in zip(bonds, ranks.tolist(), strict=True)
        )


@cache
def rates() -> Array:
    """Return the table of bits and errors, computed once in a process."""
    return rate.table()
