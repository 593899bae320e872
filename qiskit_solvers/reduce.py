"""How does a model become smaller or better scaled, and how do its strings come back?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph

from qiskit_solvers.ising import Floats, Indices, Ising, energies
from qiskit_solvers.one_hot import moments
from qiskit_solvers.solver import Solver, Spins, best_first


@dataclass(frozen=True, slots=True, eq=False)
class Standardised:
    """A model on the scale on which schedules are given.

    Args:
        ising: the model over ``deviation``.
        deviation: what it was divided by: the standard deviation of the energy over all strings, or all
            feasible strings where there are groups; 1 where all of them have the same energy.
    """

    ising: Ising
    deviation: float


@dataclass(frozen=True, slots=True, eq=False)
class Reduced:
    """A model of some of the spins, the others being fixed.

    Args:
        ising: the model of the spins that are left, their energies those of the whole model.
        kept: which spins of the whole model these are, ascending, ``(spins left,)``.
        fixed: +1 or -1 where a spin is fixed, 0 where it is left, ``(spins,)``.
    """

    ising: Ising
    kept: Indices
    fixed: npt.NDArray[np.int8]

    def restore(self, strings: npt.NDArray[np.int8]) -> Spins:
        """Return strings of the whole model, ``(strings, spins left) -> (strings, spins)``.

        Raises:
            ValueError: the strings do not have the number of spins that are left.
        """
        left = np.atleast_2d(strings)
        if left.shape[1] != self.kept.size:
            raise ValueError(f"strings: expected shape (strings, {self.kept.size}), got {left.shape}")
        whole = np.tile(self.fixed, (len(left), 1))
        whole[:, self.kept] = left
        return whole


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """A model in parts that do not feel each other.

    Args:
        whole: the model.
        parts: a model for each part, without offset, largest first.
        spins: which spins of the whole these are, ascending, one array ``(spins of part,)`` for each.
    """

    whole: Ising
    parts: tuple[Ising, ...]
    spins: tuple[Indices, ...]


def scaled(ising: Ising, factor: float) -> Ising:
    """Return the model with all energies, the offset too, times ``factor``.

    Raises:
        ValueError: the factor is not a positive finite number, or an energy leaves the range of floats.
    """
    if not (factor > 0.0 and np.isfinite(factor)):
        raise ValueError(f"factor: expected a positive finite number, got {factor}")
    with np.errstate(over="ignore"):  # the model refuses what is infinite
        return replace(ising, h=ising.h * factor, J=ising.J * factor, offset=float(np.float64(ising.offset) * factor))


def standardised(ising: Ising) -> Standardised:
    """Return the model over the standard deviation of its energy, in closed form (see ``one_hot.moments``).

    Raises:
        ValueError: the offset is so far beyond the deviation that their ratio is no float.
    """
    deviation = moments(ising)[1] or 1.0
    with np.errstate(over="ignore"):  # the model refuses what is infinite
        # divided, not multiplied by an inverse: that of the smallest floats is infinite
        model = replace(
            ising, h=ising.h / deviation, J=ising.J / deviation, offset=float(np.float64(ising.offset) / deviation)
        )
    return Standardised(model, deviation)


def symmetric(ising: Ising) -> bool:
    """Return whether flipping all spins of any allowed string gives an allowed string of equal energy.

    That is so without fields, if all groups have two members (a flip swaps their choices).
    """
    return not ising.h.any() and all(len(group) == 2 for group in ising.groups)


def fixed(ising: Ising, spins: Mapping[int, int]) -> Reduced:
    """Return the model that is left when some spins are fixed.

    Groups follow: a fixed choice fixes the other members at +1, members fixed at +1 leave the group, and the
    last that is left is chosen.

    Args:
        ising: the model.
        spins: +1 or -1 for each spin to fix.

    Raises:
        ValueError: a spin is not there, a value is neither +1 nor -1, or a group has two choices or none.
    """
    wrong = {spin: value for spin, value in spins.items() if not 0 <= spin < ising.spins or value not in (-1, 1)}
    if wrong:
        raise ValueError(f"spins: expected +1 or -1 for spins 0 to {ising.spins - 1}, got {wrong}")
    known = np.zeros(ising.spins, dtype=np.int8)
    for spin, value in spins.items():
        known[spin] = value
    for group in ising.groups:
        members = np.array(group)
        chosen, left = members[known[members] < 0], members[known[members] == 0]
        if chosen.size > 1 or (chosen.size == 0 and left.size == 0):
            raise ValueError(f"group {group}: expected exactly one spin of -1, got {chosen.size} fixed so")
        if chosen.size == 1:
            known[left] = 1
        elif left.size == 1:
            known[left] = -1
    kept = np.flatnonzero(known == 0)
    values = known.astype(np.float64)
    offset = ising.offset + float(ising.h @ values) + float(values @ (ising.J @ values))
    fields = ising.h + ising.J @ values + ising.J.T @ values
    return Reduced(_part(ising, kept, np.asarray(fields, dtype=np.float64), offset), kept, known)


def components(ising: Ising) -> Components:
    """Return the parts that no coupling and no group connects."""
    pairs = ising.pairs
    links = [(a, b) for group in ising.groups for a, b in pairwise(group)]
    rows = np.concatenate([pairs.rows, np.array([a for a, _ in links], dtype=np.int64)])
    columns = np.concatenate([pairs.columns, np.array([b for _, b in links], dtype=np.int64)])
    graph = sparse.coo_array((np.ones(rows.size), (rows, columns)), shape=(ising.spins, ising.spins))
    _, labels = csgraph.connected_components(graph, directed=False) if ising.spins else (0, np.zeros(0, dtype=np.int32))
    order = np.argsort(labels, kind="stable")
    spins = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if ising.spins else []
    spins.sort(key=lambda part: (-part.size, part[0]))
    return Components(ising, tuple(_part(ising, part, ising.h, 0.0) for part in spins), tuple(spins))


def sewn(components: Components, solutions: Sequence[Spins], keep: int) -> Spins:
    """Return the ``keep`` lowest strings of the whole that can be put together from strings of the parts.

    Args:
        components: the parts.
        solutions: for each part some strings, ``(strings, spins of part)``, at least one.
        keep: how many strings to return at most.

    Raises:
        ValueError: there is not one solution for each part, one has no string or a wrong number of spins, or
            ``keep`` is below 1.
    """
    if keep < 1:
        raise ValueError(f"keep: expected at least 1, got {keep}")
    shapes = [np.shape(strings) for strings in solutions]
    if len(shapes) != len(components.parts) or any(
        len(shape) != 2 or shape[0] < 1 or shape[1] != part.spins
        for shape, part in zip(shapes, components.parts, strict=True)
    ):
        raise ValueError(
            f"solutions: expected strings of {[part.spins for part in components.parts]} spins, got shapes {shapes}"
        )
    whole = np.ones((1, components.whole.spins), dtype=np.int8)
    gaps = np.zeros(1)  # above the best so far: sums of gaps do not drown a small part beside a large one
    for part, spins, strings in zip(components.parts, components.spins, solutions, strict=True):
        best = best_first(part, strings, keep)
        energy = energies(part, best)
        sums = (gaps[:, None] + (energy - energy[0])).ravel()
        lowest = np.argsort(sums, kind="stable")[:keep]
        gaps, whole = sums[lowest], whole[lowest // len(best)]
        whole[:, spins] = best[lowest % len(best)]
    return whole[np.argsort(energies(components.whole, whole), kind="stable")]


def solved_apart(ising: Ising, solver: Solver, rng: np.random.Generator, keep: int) -> Spins:
    """Return the ``keep`` lowest strings sewn from what ``solver`` finds for each part by itself."""
    split = components(ising)
    return sewn(split, [solver(part, rng) for part in split.parts], keep)


def _part(ising: Ising, kept: Indices, h: Floats, offset: float) -> Ising:
    """Return the model of the spins ``kept`` under fields ``h`` of the whole; only whole or fixed groups are cut."""
    place = {int(spin): number for number, spin in enumerate(kept)}
    groups = (tuple(place[spin] for spin in group if spin in place) for group in ising.groups)
    J: Any = sparse.csr_array(ising.J)[kept][:, kept] if sparse.issparse(ising.J) else ising.J[np.ix_(kept, kept)]
    return Ising(
        h=h[kept],
        J=J,
        offset=offset,
        groups=tuple(group for group in groups if group),
        names=tuple(ising.names[spin] for spin in kept) if ising.names else (),
    )
