"""How low can the energy be, and which strings come near? The semidefinite relaxation, its rounding and its bound.

Each spin becomes a unit vector, and products of spins become inner products (Goemans and Williamson 1995, doi
10.1145/227683.227684); one more vector stands for +1 and carries the fields. The vectors have only about
sqrt(2 spins) components, which is enough (Burer and Monteiro 2003, doi 10.1007/s10107-002-0352-8), and are turned
one at a time, each against the pull of all others (the mixing method of Wang, Chang and Kolter 2017,
arXiv:1706.00476).

A random plane splits the vectors into spins of +1 and -1. The expected cut is at least 0.878 of the maximum for
MaxCut with weights of at least 0, that is couplings of at least 0 and no fields, where the guarantee speaks of the
cut and not of the energy; for other models rounding works as well, and the bound holds, but no ratio is promised.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qiskit_solvers import one_hot
from qiskit_solvers.errors import TooLarge
from qiskit_solvers.ising import Floats, Ising
from qiskit_solvers.solver import Spins, best_first


@dataclass(frozen=True, slots=True, eq=False)
class Relaxation:
    """Unit vectors in place of spins, and what they show.

    Args:
        vectors: one for each spin, and the last for +1, ``(spins + 1, components)``.
        energy: of the vectors, offset included; near the bound once they have settled.
        bound: no string has a lower energy.
    """

    vectors: Floats
    energy: float
    bound: float


@dataclass(frozen=True, slots=True)
class GoemansWilliamson:
    """Random planes through the vectors of the semidefinite relaxation.

    One-hot groups are written as penalties (:func:`~qiskit_solvers.one_hot.penalised`), and what breaks them is
    repaired.

    Args:
        kind: name in reports.
        rounds: random planes.
        sweeps: passes over all vectors at most.
        tolerance: the vectors have settled when a pass lowers the energy by less than this fraction.
        max_spins: largest model; time grows with spins^2.5 for each pass.
        strings: how many strings to return at most.

    Raises:
        ValueError: a count is below 1, or the tolerance is not positive.
    """

    kind: Literal["goemans-williamson"] = "goemans-williamson"
    rounds: int = 512
    sweeps: int = 300
    tolerance: float = 1e-5
    max_spins: int = 1000
    strings: int = 32

    def __post_init__(self) -> None:
        if min(self.rounds, self.sweeps, self.max_spins, self.strings) < 1:
            raise ValueError(f"expected counts of at least 1, got {self}")
        if not self.tolerance > 0.0:
            raise ValueError(f"expected a positive tolerance, got {self}")

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
        """Return the distinct strings of all planes, best first.

        Raises:
            TooLarge: the model has more than ``max_spins`` spins.
        """
        if ising.spins > self.max_spins:
            raise TooLarge(f"goemans-williamson: expected at most {self.max_spins} spins, got {ising.spins}")
        free = one_hot.penalised(ising) if ising.groups else ising
        vectors = _settled(_unit_matrix(free)[0], rng, self.sweeps, self.tolerance)
        found = rounded(vectors, self.rounds, rng)
        return best_first(ising, one_hot.repaired(ising, found) if ising.groups else found, self.strings)


def relaxed(ising: Ising, rng: np.random.Generator, *, sweeps: int = 3000, tolerance: float = 1e-9) -> Relaxation:
    """Return the vectors of lowest energy and a lower bound that holds whether or not they have settled.

    For any numbers y the energy of spins s is ``s' (A + diag y) s / 2 - sum(y) / 2``, which is at least
    ``(spins + 1) min_eigenvalue / 2 - sum(y) / 2``. The best y are the lengths of the pulls on settled vectors.
    The eigenvalue is lowered by more than its rounding error.

    Args:
        ising: the model; groups do not bind, see :func:`bound`.
        rng: start of the vectors.
        sweeps: passes over all vectors at most.
        tolerance: the vectors have settled when a pass lowers the energy by less than this fraction.
    """
    A, unit = _unit_matrix(ising)
    vectors = _settled(A, rng, sweeps, tolerance)
    pulls = A @ vectors
    energy = 0.5 * float((pulls * vectors).sum())
    lengths = np.linalg.norm(pulls, axis=1)
    dual = A + np.diag(lengths)
    size = len(A)
    rounding = 8.0 * size * np.finfo(np.float64).eps * (float(np.linalg.norm(dual)) + float(lengths.sum()))
    lowest = float(np.linalg.eigvalsh(dual)[0])
    certified = 0.5 * (size * (lowest - rounding) - float(lengths.sum()))
    trivial = -0.5 * float(np.abs(A).sum()) * (1.0 + size * np.finfo(np.float64).eps)
    below = np.nextafter(ising.offset + unit * max(certified, trivial), -np.inf)
    return Relaxation(vectors, float(ising.offset + unit * energy), float(below))


def bound(ising: Ising, rng: np.random.Generator) -> float:
    """Return an energy below which no string lies; with one-hot groups, no string that obeys them.

    Args:
        ising: the model.
        rng: start of the search for a good bound; any start gives a valid one.
    """
    below = relaxed(ising, rng).bound
    # penalties do not change what obeys the groups, so a bound with them is a bound too, and may be higher
    return max(below, relaxed(one_hot.penalised(ising), rng).bound) if ising.groups else below


def rounded(vectors: Floats, rounds: int, rng: np.random.Generator) -> Spins:
    """Return the strings into which random planes split the vectors, ``(rounds, spins)``; the last is +1."""
    sides = np.where(rng.normal(size=(rounds, vectors.shape[1])) @ vectors.T >= 0.0, 1, -1)
    return (sides[:, :-1] * sides[:, -1:]).astype(np.int8)


def _unit_matrix(ising: Ising) -> tuple[Floats, float]:
    """Return the symmetric matrix A with energy ``unit s' A s / 2`` for spins s followed by +1, and its unit."""
    pairs = ising.pairs
    unit = float(max(np.abs(ising.h).max(initial=0.0), np.abs(pairs.values).max(initial=0.0))) or 1.0
    A = np.zeros((ising.spins + 1, ising.spins + 1))
    A[pairs.rows, pairs.columns] = pairs.values / unit
    A[:-1, -1] = ising.h / unit
    return A + A.T, unit


def _settled(A: Floats, rng: np.random.Generator, sweeps: int, tolerance: float) -> Floats:
    """Return unit vectors, ``(spins + 1, components)``, turned against their pulls until they settle."""
    vectors = rng.normal(size=(len(A), int(np.ceil(np.sqrt(2.0 * len(A)))) + 1))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pulled = np.flatnonzero(A.any(axis=1))
    total = 0.0
    for _ in range(sweeps):
        saved = total = 0.0
        for i in pulled:
            pull = A[i] @ vectors
            length = float(np.sqrt(pull @ pull))
            saved += length + float(pull @ vectors[i])
            total += length
            if length > 0.0:
                vectors[i] = pull / -length
        if saved <= tolerance * total:
            break
    return vectors
