"""Which strings does a model with one-hot groups allow, and how do their energies spread?

A model with groups is a product of factors: each group of k spins is one choice of k levels, each free spin one
of two. Everything here works on that product and never lists its strings.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from qiskit_solvers.ising import Floats, Indices, Ising
from qiskit_solvers.solver import Spins

Choices = npt.NDArray[np.int64]
"""The level of every factor, ``(strings, factors)``."""

ROUNDING = 8 * float(np.finfo(np.float64).eps)
"""What is left of a difference counts as zero up to this part of what was subtracted."""

DENSE = 2**16
"""Spins times groups up to which a dense product is faster than setting up a sparse one."""


@dataclass(frozen=True, slots=True)
class Factor:
    """One choice: level ``l`` of a group has its l-th spin at -1; a free spin is +1 at level 0, -1 at level 1.

    Args:
        spins: the members of the group as it names them, or the one free spin.
        levels: 2 for a free spin, else the number of members (a group of one has one level).
        free: whether this is a free spin.
    """

    spins: tuple[int, ...]
    levels: int
    free: bool


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """``E = constant + sum_g single(g)[c_g] + sum_{g<g'} pair(g, g')[c_g, c_g']`` over choices ``c``.

    Exact wherever sums of the coefficients are (integers keep their ties).

    Args:
        constant: what all strings share, the offset included.
        starts: factor ``g`` owns the levels ``starts[g] .. starts[g + 1] - 1``, ``(factors + 1,)``.
        singles: the cost of each level, ``(levels,)``, levels summed over all factors.
        pairs: the cost of two levels together, ``(levels, levels)``; zero on and below the diagonal blocks.
    """

    constant: float
    starts: Indices
    singles: Floats
    pairs: Floats

    def single(self, factor: int) -> Floats:
        """Return the costs of one factor's levels, ``(levels of factor,)``."""
        return self.singles[self.starts[factor] : self.starts[factor + 1]]

    def pair(self, first: int, second: int) -> Floats:
        """Return the costs ``(levels of first, levels of second)``, factors ``first < second``."""
        rows = slice(self.starts[first], self.starts[first + 1])
        return self.pairs[rows, self.starts[second] : self.starts[second + 1]]


def factors(ising: Ising) -> tuple[Factor, ...]:
    """Return the groups in their order, then the free spins in ascending order."""
    grouped = {spin for group in ising.groups for spin in group}
    free = (spin for spin in range(ising.spins) if spin not in grouped)
    groups = (Factor(tuple(group), len(group), False) for group in ising.groups)
    return (*groups, *(Factor((spin,), 2, True) for spin in free))


def strings_from_choices(ising: Ising, choices: npt.ArrayLike) -> Spins:
    """Return the strings ``(strings, spins)`` of choices ``(strings, factors)``, in the order of :func:`factors`.

    Raises:
        ValueError: the shape is wrong, or a choice is not a level of its factor.
    """
    levels = _levels(ising)
    chosen = np.atleast_2d(np.asarray(choices, dtype=np.int64))
    sizes = np.diff(levels.starts)
    if chosen.shape[1] != sizes.size:
        raise ValueError(f"choices: expected shape (strings, {sizes.size}), got {chosen.shape}")
    wrong = np.argwhere((chosen < 0) | (chosen >= sizes))
    if wrong.size:
        row, factor = wrong[0]
        raise ValueError(
            f"choices: expected levels 0 to {sizes[factor] - 1} of factor {factor}, got {chosen[row, factor]}"
        )
    at = levels.starts[:-1] + chosen
    strings = np.ones((len(chosen), ising.spins), dtype=np.int8)
    np.put_along_axis(strings, levels.spins[at], np.where(levels.chosen[at], -1, 1).astype(np.int8), axis=1)
    return strings


def choices_from_strings(ising: Ising, strings: npt.NDArray[np.int8]) -> Choices:
    """Return the choices ``(strings, factors)`` that feasible strings ``(strings, spins)`` make.

    Raises:
        ValueError: a string is not feasible.
    """
    spins = np.atleast_2d(strings)
    wrong = np.flatnonzero(~feasible(ising, spins))
    if wrong.size:
        raise ValueError(f"strings: expected one spin of -1 in every group, string {wrong[0]} has not")
    columns = [
        (spins[:, factor.spins[0]] < 0) if factor.free else np.argmin(spins[:, factor.spins], axis=1)
        for factor in factors(ising)
    ]
    return np.array(columns, dtype=np.int64).T.reshape(len(spins), len(columns))


def feasible(ising: Ising, strings: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    """Return whether each string has exactly one spin of -1 in every group, ``(strings,)``.

    Raises:
        ValueError: the strings do not have the model's number of spins.
    """
    spins = np.atleast_2d(strings)
    if spins.shape[1] != ising.spins:
        raise ValueError(f"strings: expected shape (strings, {ising.spins}), got {spins.shape}")
    counts = [np.count_nonzero(spins[:, group] < 0, axis=1) == 1 for group in ising.groups]
    return np.asarray(np.all(counts, axis=0) if counts else np.ones(len(spins), dtype=np.bool_))


def tables(ising: Ising) -> Tables:
    """Return the cost of every level and of every pair of levels, O(levels squared)."""
    levels = _levels(ising)
    # s = rest + step: a group rests with all its spins at +1 and a choice takes one to -1; a free spin rests at 0
    step = np.where(levels.grouped, -2.0, np.where(levels.chosen, -1.0, 1.0))
    rest = np.zeros(ising.spins)
    rest[levels.spins[levels.grouped]] = 1.0
    upper = ising.couplings
    coupled = upper + upper.T
    pairs = coupled[np.ix_(levels.spins, levels.spins)] * np.outer(step, step)
    pairs[levels.factors[:, None] >= levels.factors] = 0.0
    return Tables(
        constant=float(ising.offset + ising.h @ rest + rest @ upper @ rest),
        starts=levels.starts,
        singles=step * (ising.h + coupled @ rest)[levels.spins],
        pairs=pairs,
    )


def centred(ising: Ising) -> Ising:
    """Return the model with the same energy on every feasible string, whose fields and couplings do not overlap.

    Its offset is the mean over the feasible strings, the fields of each group sum to zero, and so do its
    couplings to any spin outside; inside a group there are none. This is the analysis of variance of the
    energy over independent uniform factors (Hoeffding 1948, doi 10.1214/aoms/1177730196). Differences that
    are lost in rounding become zero. Without groups the model is returned as it is.
    """
    if not ising.groups:
        return ising
    group_of = _group_of(ising)
    member, mean_of = _averaging(ising, group_of)

    def without_mean(values: Any) -> Any:
        return values - member @ (mean_of @ values)

    def with_mean(values: Any) -> Any:
        return values + member @ (mean_of @ values)

    def fields(values: Floats, magnitude: Floats) -> Floats:
        left: Floats = without_mean(values)
        return np.where(np.abs(left) > ROUNDING * with_mean(magnitude), left, 0.0)

    between, within = _between_and_within(ising, group_of)
    mean = np.zeros(ising.spins)
    for group in ising.groups:
        mean[list(group)] = 1.0 - 2.0 / len(group)
    field = ising.h + between @ mean
    # a choice in a group flips the sign of that spin's couplings inside it
    inside = np.asarray(within.sum(axis=1), dtype=np.float64)
    couplings = without_mean(without_mean(between).T)
    kept = abs(couplings) > ROUNDING * with_mean(with_mean(abs(between)).T)
    couplings = couplings.multiply(kept) if sparse.issparse(couplings) else np.where(kept, couplings, 0.0)
    return Ising(
        h=fields(field, np.abs(ising.h) + abs(between) @ np.abs(mean))
        + fields(inside, np.asarray(abs(within).sum(axis=1), dtype=np.float64)),
        J=sparse.csr_array(sparse.triu(couplings, 1)) if sparse.issparse(couplings) else np.triu(couplings, 1),
        offset=float(ising.offset + ising.h @ mean + mean @ (between @ mean) / 2.0 + inside @ (mean - 0.5)),
        groups=ising.groups,
        names=ising.names,
    )


def moments(ising: Ising) -> tuple[float, float]:
    """Return the mean and the standard deviation of the energy over all feasible strings, equally likely.

    Closed form, O(spins squared), from :func:`centred`: squares of what does not overlap add up. Huge and
    tiny coefficients do not overflow on the way.
    """
    model = centred(ising)
    pairs = model.pairs if sparse.issparse(model.J) else None
    couplings = model.J if pairs is None else pairs.values
    largest = max(np.abs(model.h).max(initial=0.0), np.abs(couplings).max(initial=0.0))
    if largest == 0.0:
        return float(model.offset), 0.0
    weight = np.ones(ising.spins)
    for group in ising.groups:
        weight[list(group)] = 4.0 / len(group)
    variance = weight @ (model.h / largest) ** 2
    if pairs is None:
        variance += weight @ ((model.J / largest) ** 2 @ weight)
    else:
        variance += (weight[pairs.rows] * weight[pairs.columns]) @ (pairs.values / largest) ** 2
    return float(model.offset), float(largest * np.sqrt(variance))


def repaired(ising: Ising, strings: npt.NDArray[np.int8]) -> Spins:
    """Return for each string ``(strings, spins)`` a feasible one that differs from it in the fewest spins.

    A group with several choices keeps one of them, a group with none gets one: all ways to do so are equally
    near. Group by group the way is taken whose expected energy is lowest while the groups still to come choose
    at random, so no string ends above the mean energy of its nearest feasible strings (the method of
    conditional expectations, Erdos and Selfridge 1973, doi 10.1016/0097-3165(73)90005-8). Of equal ways the
    earlier member is taken. No chance is involved, and feasible strings stay as they are.

    Raises:
        ValueError: the strings do not have the model's number of spins.
    """
    feasible(ising, strings)  # the shape
    given = np.atleast_2d(strings)
    expected = given.astype(np.float64)
    open_to: list[npt.NDArray[np.bool_]] = []
    for group in ising.groups:
        chosen = given[:, group] < 0
        open_to.append(np.where(chosen.any(axis=1, keepdims=True), chosen, True))
        expected[:, group] = 1.0 - 2.0 * open_to[-1] / open_to[-1].sum(axis=1, keepdims=True)
    between, within = _between_and_within(ising, _group_of(ising))
    inside = np.asarray(within.sum(axis=1), dtype=np.float64)
    for group, ways in zip(ising.groups, open_to, strict=True):
        members = list(group)
        gain = expected @ between[:, members] + (ising.h + inside)[members]  # what taking a member to -1 saves, halved
        best = np.where(ways, gain, -np.inf).argmax(axis=1)
        expected[:, members] = 1.0 - 2.0 * (np.arange(len(members)) == best[:, None])
    return expected.astype(np.int8)


def safe_weights(ising: Ising) -> Floats:
    """Return for each group a penalty weight under which every minimum is feasible, ``(groups,)``.

    From any string with a wrong group, one flip in that group brings its count nearer to one, and the weight is
    above the most that this flip can cost, whatever the other spins are (sums of |J| bound what they do). With
    none chosen the cheapest member is taken; with several, one that is not the dearest is dropped, and the
    penalty falls by at least one weight. The margin is a hundredth of what the largest flip can cost.
    """
    between, within = _between_and_within(ising, _group_of(ising))
    outside = np.asarray(abs(between).sum(axis=1), dtype=np.float64)
    inside = np.asarray(within.sum(axis=1), dtype=np.float64)
    around = np.asarray(abs(within).sum(axis=1), dtype=np.float64)
    take = 2.0 * (outside - ising.h - inside)  # at most, with all of the group at +1
    drop = 2.0 * (outside + ising.h + around)
    largest = float(2.0 * (np.abs(ising.h) + outside + around).max(initial=0.0))
    costs = [max(take[list(g)].min(), np.sort(drop[list(g)])[-2:][0] if len(g) > 1 else 0.0) for g in ising.groups]
    return np.maximum(np.array(costs, dtype=np.float64), 0.0) + (largest / 100.0 or abs(ising.offset) or 1.0)


def penalised(ising: Ising, weight: float | None = None) -> Ising:
    """Return a model without groups: ``weight (number chosen - 1)^2`` is added for each group.

    Feasible strings keep their energies.

    Args:
        ising: the model.
        weight: the same for all groups, in the energy's unit; none takes :func:`safe_weights`. Weights far
            below are risky, weights far above make the model harder for every solver.

    Raises:
        ValueError: the weight is not a positive finite number.
    """
    if weight is not None and not (weight > 0.0 and np.isfinite(weight)):
        raise ValueError(f"weight: expected a positive finite number, got {weight}")
    weights = safe_weights(ising) if weight is None else np.full(len(ising.groups), weight)
    h = ising.h.astype(np.float64)
    offset = ising.offset
    rows, columns, values = [ising.pairs.rows], [ising.pairs.columns], [ising.pairs.values]
    # with m members, the number chosen is (m - sum s) / 2
    for group, w in zip(ising.groups, weights.tolist(), strict=True):
        members, m = np.sort(np.array(group)), len(group)
        h[members] += w * (2 - m) / 2.0
        offset += w * ((2 - m) ** 2 + m) / 4.0
        first, second = np.triu_indices(m, 1)
        rows.append(members[first])
        columns.append(members[second])
        values.append(np.full(first.size, w / 2.0))
    ends = (np.concatenate(rows), np.concatenate(columns))
    J = sparse.csr_array((np.concatenate(values), ends), shape=ising.J.shape)
    return Ising(h, J if sparse.issparse(ising.J) else J.toarray(), float(offset), names=ising.names)


@dataclass(frozen=True, slots=True, eq=False)
class _Levels:
    """All levels of all factors in a row, ``(levels,)`` each; ``starts`` is ``(factors + 1,)``."""

    starts: Indices
    factors: Indices
    spins: Indices  # the one spin that the level is about
    chosen: npt.NDArray[np.bool_]  # whether that spin is -1
    grouped: npt.NDArray[np.bool_]


def _levels(ising: Ising) -> _Levels:
    parts = factors(ising)
    sizes = np.array([part.levels for part in parts], dtype=np.int64)
    return _Levels(
        starts=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)]),
        factors=np.repeat(np.arange(len(parts)), sizes),
        spins=np.array([spin for part in parts for spin in part.spins * (2 if part.free else 1)], dtype=np.int64),
        chosen=np.array([not part.free or level for part in parts for level in range(part.levels)], dtype=np.bool_),
        grouped=np.repeat(np.array([not part.free for part in parts], dtype=np.bool_), sizes),
    )


def _group_of(ising: Ising) -> Indices:
    """Return the number of each spin's group, ``(spins,)``; -1 for a free spin."""
    group_of = np.full(ising.spins, -1, dtype=np.int64)
    for number, group in enumerate(ising.groups):
        group_of[list(group)] = number
    return group_of


def _averaging(ising: Ising, group_of: Indices) -> tuple[Any, Any]:
    """Return who is in which group, ``(spins, groups)``, and what takes the mean of each, ``(groups, spins)``."""
    sizes = np.array([len(group) for group in ising.groups], dtype=np.float64)
    if not sparse.issparse(ising.J) and ising.spins * sizes.size <= DENSE:
        member = (group_of[:, None] == np.arange(sizes.size)).astype(np.float64)
        return member, (member / sizes).T
    spins = np.flatnonzero(group_of >= 0)
    groups = group_of[spins]
    return (
        sparse.csr_array((np.ones(spins.size), (spins, groups)), shape=(ising.spins, sizes.size)),
        sparse.csr_array((1.0 / sizes[groups], (groups, spins)), shape=(sizes.size, ising.spins)),
    )


def _between_and_within(ising: Ising, group_of: Indices) -> tuple[Any, Any]:
    """Return the symmetric couplings between factors and those inside groups, dense or sparse as J is."""
    if sparse.issparse(ising.J):
        pairs = ising.pairs
        inside = (group_of[pairs.rows] == group_of[pairs.columns]) & (group_of[pairs.rows] >= 0)
        return _symmetric(ising.spins, pairs, ~inside), _symmetric(ising.spins, pairs, inside)
    coupled = ising.J + ising.J.T
    same = (group_of[:, None] == group_of) & (group_of >= 0)
    return np.where(same, 0.0, coupled), np.where(same, coupled, 0.0)


def _symmetric(spins: int, pairs: Any, kept: npt.NDArray[np.bool_]) -> Any:
    rows, columns, values = pairs.rows[kept], pairs.columns[kept], pairs.values[kept]
    ends = (np.concatenate([rows, columns]), np.concatenate([columns, rows]))
    return sparse.csr_array((np.concatenate([values, values]), ends), shape=(spins, spins))
