"""How are thermal strings of a system too large for its state drawn? By Monte Carlo over its world lines.

Suzuki 1976, doi 10.1143/PTP.56.1454: ``exp(-b H)`` is a product of thin slices of imaginary time, and the quantum
system a classical one with one more dimension, in which each factor follows a closed line of levels. Two slices of a
line are alike with weight ``k - 1 + exp(2 a)`` and differ with ``exp(2 a) - 1``, where ``a = b field / slices`` and
``k`` is the number of levels. Segments of a line are grown by exactly these odds and then moved as one if the energy
allows (clusters along one direction only: Rieger and Kawashima 1999, doi 10.1007/s100510050761), so that strong
coupling between slices, which comes with many of them or a weak field, does not freeze the lines.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy import sparse

from qiskit_solvers.errors import TooLarge
from qiskit_solvers.ising import Floats, Ising
from qiskit_solvers.one_hot import centred, factors

_COMPILED = {"cache": True, "error_model": "numpy", "nogil": True}
_INNER = {**_COMPILED, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # only compiled code calls it
_FIRST = 0.02  # part of the inverse temperature at which a line begins


def sampled(
    ising: Ising,
    inverse_temperature: float,
    field: float,
    *,
    samples: int,
    slices: int,
    reads: int,
    sweeps: int,
    max_bytes: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.int8]:
    """Return strings ``(samples, spins)`` of the thermal state, up to the error of ``slices``.

    Each read is a set of lines that starts at random, is cooled linearly over ``sweeps`` and then gives one string,
    from a random slice, after every further sweep.

    Args:
        ising: the model.
        inverse_temperature: in 1 / energy.
        field: in units of energy.
        samples: strings to draw.
        slices: of imaginary time.
        reads: independent sets of lines, at most ``samples``.
        sweeps: of cooling; one offers each slice of each line about one move.
        max_bytes: of memory.
        rng: of the starts and the moves.

    Raises:
        TooLarge: lines and model need more than ``max_bytes``; nothing has been allocated.
    """
    dense_bytes = 0 if sparse.issparse(ising.J) else ising.J.nbytes
    needed = slices * ising.spins * 17 + 2 * dense_bytes + samples * ising.spins
    if needed > max_bytes:
        raise TooLarge(f"boltzmann: expected at most {max_bytes} bytes, {ising.spins} spins need {needed}")
    model = centred(ising)  # no couplings inside a group, so a move costs what its two spins cost
    upper = sparse.csr_array(model.J)
    coupled = sparse.csr_array(upper + upper.T)
    parts = factors(ising)
    starts = np.cumsum([0, *(len(part.spins) for part in parts)], dtype=np.int64)
    members = np.array([spin for part in parts for spin in part.spins], dtype=np.int64)
    free = np.array([part.free for part in parts], dtype=np.bool_)
    counts = np.full(min(reads, samples), samples // min(reads, samples), dtype=np.int64)
    counts[: samples % counts.size] += 1
    return np.concatenate(
        [
            _read(
                model.h,
                coupled.indptr.astype(np.int64),
                coupled.indices.astype(np.int64),
                coupled.data.astype(np.float64),
                starts,
                members,
                free,
                float(inverse_temperature),
                float(field),
                slices,
                sweeps,
                int(count),
                np.array([rng.integers(1, 2**63)], dtype=np.uint64),
            )
            for count in counts
        ]
    )


@njit(**_INNER)
def _uniform(state: npt.NDArray[np.uint64]) -> Any:
    """Return a number from 0 to 1, 1 excluded: xorshift64* (Vigna 2016, doi 10.1145/2845077)."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return np.float64((x * np.uint64(2685821657736338717)) >> np.uint64(11)) * 2.0**-53


@njit(**_COMPILED)
def _read(
    h: Floats,
    indptr: npt.NDArray[np.int64],
    neighbours: npt.NDArray[np.int64],
    couplings: Floats,
    starts: npt.NDArray[np.int64],
    members: npt.NDArray[np.int64],
    free: npt.NDArray[np.bool_],
    inverse_temperature: float,
    field: float,
    slices: int,
    sweeps: int,
    samples: int,
    state: npt.NDArray[np.uint64],
) -> Any:
    spins = np.ones((slices, h.size), dtype=np.int8)
    levels = np.zeros((slices, free.size), dtype=np.int64)
    for factor in range(free.size):
        first, size = starts[factor], starts[factor + 1] - starts[factor]
        level = int(_uniform(state) * (2 if free[factor] else size))
        levels[:, factor] = level
        if not free[factor]:
            spins[:, members[first + level]] = -1
        elif level == 1:
            spins[:, members[first]] = -1
    fields = np.empty((slices, h.size))
    for spin in range(h.size):
        total = h[spin]
        for at in range(indptr[spin], indptr[spin + 1]):
            total += couplings[at] * spins[0, neighbours[at]]
        fields[:, spin] = total
    drawn = np.empty((samples, h.size), dtype=np.int8)
    for sweep in range(sweeps + samples):
        cooled = _FIRST + (1.0 - _FIRST) * min(1.0, (sweep + 1.0) / sweeps)
        beta = inverse_temperature * cooled / slices
        grown = np.exp(2.0 * beta * field)
        for factor in range(free.size):
            first = starts[factor]
            size = 2 if free[factor] else starts[factor + 1] - first
            if size == 1:
                continue
            alike = size / (size - 1.0 + grown)  # 1 - odds of differing
            for _ in range(1 + int(slices * (1.0 - alike))):
                middle = int(_uniform(state) * slices)
                old = levels[middle, factor]
                new = int(_uniform(state) * (size - 1))
                new += new >= old
                low = high = middle  # the segment, on the closed line, low and high within one turn
                while high - low < slices - 1 and levels[(high + 1) % slices, factor] == old:
                    if _uniform(state) >= alike:
                        break
                    high += 1
                while high - low < slices - 1 and levels[(low - 1) % slices, factor] == old:
                    if _uniform(state) >= alike:
                        break
                    low -= 1
                rise = 0.0
                for at in range(low, high + 1):
                    row = at % slices
                    if free[factor]:
                        rise -= 2.0 * spins[row, members[first]] * fields[row, members[first]]
                    else:
                        rise += 2.0 * (fields[row, members[first + old]] - fields[row, members[first + new]])
                if rise > 0.0 and _uniform(state) >= np.exp(-beta * rise):
                    continue
                for at in range(low, high + 1):
                    row = at % slices
                    levels[row, factor] = new
                    if free[factor]:
                        _flip(row, members[first], spins, fields, indptr, neighbours, couplings)
                    else:
                        _flip(row, members[first + old], spins, fields, indptr, neighbours, couplings)
                        _flip(row, members[first + new], spins, fields, indptr, neighbours, couplings)
        if sweep >= sweeps:
            drawn[sweep - sweeps] = spins[int(_uniform(state) * slices)]
    return drawn


@njit(**_INNER)
def _flip(
    row: int,
    spin: int,
    spins: npt.NDArray[np.int8],
    fields: Floats,
    indptr: npt.NDArray[np.int64],
    neighbours: npt.NDArray[np.int64],
    couplings: Floats,
) -> None:
    spins[row, spin] = -spins[row, spin]
    change = 2.0 * spins[row, spin]
    for at in range(indptr[spin], indptr[spin + 1]):
        fields[row, neighbours[at]] += change * couplings[at]
