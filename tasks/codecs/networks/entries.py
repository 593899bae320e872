"""Which entries does a tensor have at indices of a network's modes, and how near is a train to them?"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tasks.codecs.networks.form import Network, NetworkForm
from tasks.codecs.networks.trains import Array

Indices = npt.NDArray[np.int64]
Entries = Callable[[Indices], npt.NDArray[np.floating]]
"""Returns the entries, ``(n,)``, at the indices ``(n, dimensions)`` of the tensor."""

_AT_ONCE = 1 << 18


@dataclass(slots=True, eq=False)
class Counted:
    """A function of network indices that counts its calls."""

    entries: Entries
    form: NetworkForm
    most: int
    evaluations: int = 0

    def __call__(self, indices: Indices) -> Array:
        """Return the entries at indices of the network's modes, ``(n,)``, some at a time."""
        self.evaluations += len(indices)
        values = np.empty(len(indices))
        for start in range(0, len(indices), _AT_ONCE):
            some = coordinates(self.form, indices[start : start + _AT_ONCE])
            values[start : start + _AT_ONCE] = self.entries(some)
        return values


def entries_of(network: Network, indices: Indices) -> Array:
    """Return entries of a train, ``(n,)``, at indices of its modes, ``(n, modes)``."""
    found = np.empty(len(indices))
    widest = max(core.shape[0] * core.shape[2] for core in network.cores)
    at_once = max(1, (1 << 22) // widest)
    for start in range(0, len(indices), at_once):
        some = indices[start : start + at_once]
        row = np.ones((len(some), 1))
        for mode, core in enumerate(network.cores):
            row = np.einsum("nr,rns->ns", row, core[:, some[:, mode], :])
        found[start : start + at_once] = row[:, 0]
    return found


def coordinates(form: NetworkForm, indices: Indices) -> Indices:
    """Return indices of the tensor, ``(n, dimensions)``, for indices of the network's modes, ``(n, modes)``."""
    found = np.zeros((len(indices), len(form.splits)), dtype=np.int64)
    for mode, table in enumerate(_shifts(form)):
        found += table[indices[:, mode]]
    return found


@lru_cache(maxsize=8)
def _shifts(form: NetworkForm) -> tuple[Indices, ...]:
    """Return what each value of each of the network's modes adds to the tensor's index, ``(values, dimensions)``."""
    weights = [
        (dimension, math.prod(factors[level + 1 :]))
        for dimension, factors in enumerate(form.splits)
        for level in range(len(factors))
    ]
    tables, first = [], 0
    for mode, run in zip(form.modes, form.groups, strict=True):
        table = np.zeros((mode, len(form.splits)), dtype=np.int64)
        parts = np.unravel_index(np.arange(mode), form.permuted_shape[first : first + run])
        for place, part in enumerate(parts):
            dimension, weight = weights[form.permutation[first + place]]
            table[:, dimension] += part * weight
        tables.append(table)
        first += run
    return tuple(tables)


def random_indices(modes: tuple[int, ...], points: int, rng: np.random.Generator) -> Indices:
    """Return random indices, ``(points, modes)``."""
    return np.stack([rng.integers(0, mode, points) for mode in modes], axis=1)


def compared(network: Network, function: Counted, indices: Indices) -> tuple[float, Indices]:
    """Return the relative error over some entries, and the indices of the four that are worst."""
    values = function(indices)
    differences = entries_of(network, indices) - values
    energy = float(np.vdot(values, values))
    worst = np.argsort(np.abs(differences))[-4:]
    return math.sqrt(float(np.vdot(differences, differences)) / energy) if energy else 0.0, indices[worst]
