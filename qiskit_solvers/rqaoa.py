"""What do the correlations of one QAOA layer say about the optimum? Spins are fixed by them, one after another.

Recursive QAOA: Bravyi, Kliesch, Koenig and Tang 2020, doi 10.1103/PhysRevLett.125.260505. With one layer every
correlation is known in closed form, so no state is held and hundreds of spins are no obstacle.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from qiskit_solvers import one_hot
from qiskit_solvers.errors import TooLarge
from qiskit_solvers.exact import Exact
from qiskit_solvers.ising import Floats, Ising
from qiskit_solvers.solver import Spins, best_first

_EQUAL = 1e-9  # correlations that differ by less are as strong as each other
_SEARCHED_EVERY = 8  # steps: in between, the best angles are followed


@dataclass(frozen=True, slots=True)
class Rqaoa:
    """Recursive QAOA of one layer.

    At each step the best two angles are found, the strongest expectation |<Z_i>| or |<Z_i Z_j>| is taken for
    certain, and one spin fewer remains; the last few are enumerated. The first run takes the strongest and lets
    chance decide between equals, the further runs draw among those nearly as strong.

    Sparse models end at or within half a per cent of the best known energy. Dense ones without strong fields do not:
    with normal couplings and fields one run reaches 0.94 of it at 60 spins, 0.91 at 100 and 0.8 at 200 (four runs
    0.97 and 0.94), since merged spins become far heavier than the rest, and one layer tells little of the light
    ones. Even a complete ferromagnet of 100 equal spins ends with a few against the others.

    One-hot groups are written as penalties (:func:`~qiskit_solvers.one_hot.penalised`), and what breaks them is
    repaired.

    Args:
        kind: name in reports.
        runs: eliminations; time grows with each.
        spread: the further runs draw spins with probability ``exp(strength / spread)``; 0 draws among equals.
        enumerated: spins left when enumeration takes over.
        descend: also flip single spins while that lowers the energy, which is no part of the algorithm.
        max_spins: largest model; a run takes 1 s for 100 spins and 6 s for 200 of a dense one, less of a sparse one.
        strings: how many strings to return at most.

    Raises:
        ValueError: a count is below 1, or the spread is not a finite number of at least 0.
    """

    kind: Literal["rqaoa"] = "rqaoa"
    runs: int = 4
    spread: float = 0.01
    enumerated: int = 10
    descend: bool = False
    max_spins: int = 256
    strings: int = 32

    def __post_init__(self) -> None:
        if min(self.runs, self.enumerated, self.max_spins, self.strings) < 1:
            raise ValueError(f"expected counts of at least 1, got {self}")
        if not (self.spread >= 0.0 and np.isfinite(self.spread)):
            raise ValueError(f"expected a finite spread of at least 0, got {self}")

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
        """Return the distinct strings of all runs, best first.

        Raises:
            TooLarge: the model has more than ``max_spins`` spins.
        """
        if ising.spins > self.max_spins:
            raise TooLarge(f"rqaoa: expected at most {self.max_spins} spins, got {ising.spins}")
        free = one_hot.penalised(ising) if ising.groups else ising
        found = np.concatenate([self._run(free, self.spread if run else 0.0, rng) for run in range(self.runs)])
        if self.descend:
            found = descended(free, found)
        return best_first(ising, one_hot.repaired(ising, found) if ising.groups else found, self.strings)

    def _run(self, ising: Ising, spread: float, rng: np.random.Generator) -> Spins:
        """Return the strings of one elimination, ``(strings, spins)``."""
        # an import of half a second, which only those who eliminate should wait for
        from qiskit_solvers.angles.closed_form import Angles, ClosedForm, angles_near, best_angles, largest_coefficient

        largest = largest_coefficient(ising) or 1.0
        h, J = ising.h / largest, ising.couplings / largest
        J = J + J.T
        left = np.arange(ising.spins)
        fixed: list[tuple[int, int, int]] = []  # spin, the one that it equals up to sign (or -1: none), sign
        step, angles = 0, Angles(0.0, 0.0, 0.0)
        while left.size > self.enumerated:
            lone = np.flatnonzero(~J.any(axis=1))
            if lone.size:
                # nothing depends on these spins: their fields decide, or chance where there are none
                signs = np.where(h[lone] == 0.0, rng.choice((-1, 1), lone.size), -np.sign(h[lone])).astype(int)
                fixed += [(spin, -1, sign) for spin, sign in zip(left[lone].tolist(), signs.tolist(), strict=True)]
                kept = J.any(axis=1)
                left, h, J = left[kept], h[kept], J[np.ix_(kept, kept)]
                continue
            remaining = Ising(h, np.triu(J))
            fresh = step % _SEARCHED_EVERY == 0
            angles = best_angles(remaining, points=24) if fresh else angles_near(remaining, angles.gamma)
            step += 1
            closed = ClosedForm(remaining)
            seen = closed.correlations(angles.gamma, angles.beta)
            strengths = np.concatenate([seen.spins, seen.pairs])
            chosen = _drawn(np.abs(strengths), spread, rng)
            sign = 1 if strengths[chosen] > 0.0 else -1
            gone, leader = chosen, -1
            if chosen >= left.size:
                leader, gone = int(closed.rows[chosen - left.size]), int(closed.columns[chosen - left.size])
            fixed.append((int(left[gone]), int(left[leader]) if leader >= 0 else -1, sign))
            h, J = _substituted(h, J, gone, leader, sign)
            left = np.delete(left, gone)
        rest = Exact(max_spins=self.enumerated, strings=self.strings)(Ising(h, np.triu(J)), rng)
        found = np.empty((len(rest), ising.spins), dtype=np.int8)
        found[:, left] = rest
        for gone, leader, sign in reversed(fixed):
            found[:, gone] = sign if leader < 0 else sign * found[:, leader]
        return found


def _substituted(h: Floats, J: Floats, gone: int, leader: int, sign: int) -> tuple[Floats, Floats]:
    """Return fields and symmetric couplings with a spin replaced by ``sign`` times its leader (-1: by ``sign``)."""
    h, J = h.copy(), J.copy()
    if leader < 0:
        h += sign * J[gone]
    else:
        h[leader] += sign * h[gone]
        J[leader] += sign * J[gone]
        J[leader, leader] = 0.0  # the product of a spin with itself is a constant
        J[:, leader] = J[leader]
    kept = np.arange(h.size) != gone
    return h[kept], J[np.ix_(kept, kept)]


def _drawn(strengths: Floats, spread: float, rng: np.random.Generator) -> int:
    """Return the number of one of the strongest."""
    below = strengths.max() - strengths
    if spread == 0.0:
        return int(rng.choice(np.flatnonzero(below < _EQUAL)))
    chances = np.exp(-below / spread)
    return int(rng.choice(strengths.size, p=chances / chances.sum()))


def descended(ising: Ising, strings: npt.NDArray[np.int8]) -> Spins:
    """Return the strings after flips of single spins, the one that saves the most first, until none saves."""
    J = ising.couplings
    J = J + J.T
    ends = strings.astype(np.float64)
    for string in ends:
        while True:
            saved = 2.0 * string * (ising.h + J @ string)
            best = int(saved.argmax()) if saved.size else 0
            if not saved.size or saved[best] <= 1e-12 * np.abs(saved).max():
                break
            string[best] = -string[best]
    return ends.astype(np.int8)
