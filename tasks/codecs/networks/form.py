"""How is a tensor written as a network of smaller ones, and how does it come back?

A form says which network: the tensor's modes are split into factors, the factors are put into another order, and runs
of them are merged into the network's modes. A network then has one core per mode: canonical polyadic (CP), Tucker, or
tensor train (TT); a quantised tensor train (QTT) is a tensor train over the small factors of long modes (Oseledets
2010, doi 10.1137/090757861; Khoromskij 2011, doi 10.1007/s00365-011-9131-1).

It pays for tensors that are sampled from functions or solutions of equations. The weights of trained networks behave
like white noise: there no form has fewer numbers than the dense tensor at a relative error below a tenth, and an error
of a tenth is what scalar quantisation to 3.6 bits makes (``tasks.codecs.networks.policy`` races the two).
"""

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tasks.codecs.networks import canonical, trains, tucker

Array = npt.NDArray[np.float64]
Kind = Literal["cp", "tucker", "tt", "qtt"]

LEAST_ERROR = 1e-12
"""Relative Frobenius error that sums in 64-bit numbers can still be held to."""

_TIGHTER = 0.999
_TRIES = 60


@dataclass(frozen=True, slots=True)
class NetworkForm:
    """Which network stands for a tensor.

    Args:
        kind: ``qtt`` is reckoned as ``tt``; the word says that its modes are small factors of the tensor's.
        splits: factors of each mode of the tensor, the slowest first; ``(n,)`` leaves a mode whole.
        permutation: ``permutation[j]`` is the split mode at place ``j``; split modes are counted through ``splits``.
        groups: how many permuted modes, one after the other, each mode of the network merges.
        budget: share of the squared error of each bond (tensor train), or of each mode (Tucker); empty for equal
            shares. What a bond does not use is passed on to the next one. CP has no use for it.
    """

    kind: Kind
    splits: tuple[tuple[int, ...], ...]
    permutation: tuple[int, ...]
    groups: tuple[int, ...]
    budget: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in ("cp", "tucker", "tt", "qtt"):
            raise ValueError(f"kind: expected cp, tucker, tt or qtt, found {self.kind!r}")
        if not self.splits or any(not factors or min(factors) < 1 for factors in self.splits):
            raise ValueError(f"splits: expected factors of at least 1 for each mode, found {self.splits}")
        count = sum(len(factors) for factors in self.splits)
        if sorted(self.permutation) != list(range(count)):
            raise ValueError(f"permutation: expected each of {count} split modes once, found {self.permutation}")
        if sum(self.groups) != count or min(self.groups) < 1:
            raise ValueError(f"groups: expected runs of at least 1 that sum to {count}, found {self.groups}")
        places = len(self.groups) if self.kind == "tucker" else len(self.groups) - 1
        if self.budget and (
            len(self.budget) != places or min(self.budget) < 0.0 or not 0.0 < sum(self.budget) <= 1.0 + 1e-9
        ):
            raise ValueError(
                f"budget: expected {places} shares, none negative, of at most 1 in sum, found {self.budget}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return tuple(math.prod(factors) for factors in self.splits)

    @property
    def split_shape(self) -> tuple[int, ...]:
        """Lengths of the split modes, in the tensor's order."""
        return tuple(itertools.chain.from_iterable(self.splits))

    @property
    def permuted_shape(self) -> tuple[int, ...]:
        """Lengths of the split modes, in the network's order."""
        lengths = self.split_shape
        return tuple(lengths[place] for place in self.permutation)

    @property
    def modes(self) -> tuple[int, ...]:
        """Lengths of the network's modes."""
        lengths = iter(self.permuted_shape)
        return tuple(math.prod(itertools.islice(lengths, run)) for run in self.groups)


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A tensor as a network.

    Args:
        cores: of a tensor train ``(rank, mode, next rank)`` each; of Tucker the factors ``(mode, rank)``, then the core
            ``(rank of the first mode, ...)``; of CP the factors ``(mode, rank)``, the first of which holds the weights.
        form: which network.
        shape: of the tensor.
    """

    cores: tuple[Array, ...]
    form: NetworkForm
    shape: tuple[int, ...]


def arrange(tensor: npt.NDArray[np.floating], form: NetworkForm) -> Array:
    """Return a tensor in the modes of the network, ``form.modes``.

    Raises:
        ValueError: the form is of another shape.
    """
    if tensor.shape != form.shape:
        raise ValueError(f"tensor: expected the shape {form.shape} of the form, found {tensor.shape}")
    split = tensor.astype(np.float64).reshape(form.split_shape)
    return np.ascontiguousarray(split.transpose(form.permutation)).reshape(form.modes)


def decompose(
    tensor: npt.NDArray[np.floating], form: NetworkForm, relative_error: float, rng: np.random.Generator
) -> Network:
    """Return a network of the form whose relative Frobenius error, measured, is at most ``relative_error``.

    Args:
        tensor: finite, of any dimensions.
        form: which network.
        relative_error: norm of the difference over the norm of the tensor.
        rng: first factors of CP; the other kinds leave nothing to chance.

    Raises:
        ValueError: the form is of another shape, the tensor is not finite, or the error is not within (1e-12, 1).
        RankTooHigh: CP only: the bound would need as many parameters as the tensor has elements.
    """
    if not LEAST_ERROR < relative_error < 1.0:
        raise ValueError(f"relative_error: expected more than {LEAST_ERROR} and less than 1, found {relative_error}")
    modes = arrange(tensor, form)
    squares = float(np.vdot(modes, modes))
    if not math.isfinite(squares):
        raise ValueError("tensor: expected finite elements with a finite sum of squares, found others")
    if squares == 0.0:
        return Network(_zeros(form), form, tensor.shape)
    if form.kind == "cp":
        return Network(canonical.decompose(modes, relative_error, rng), form, tensor.shape)
    allowed = relative_error**2 * squares
    for _ in range(_TRIES):
        if form.kind == "tucker":
            cores = tucker.decompose(modes, shares(form), allowed)
            found = tucker.reconstruct(cores)
        else:
            cores = trains.decompose(modes, shares(form), allowed)
            found = trains.reconstruct(cores)
        difference = found - modes  # not in place: the tensor of a single core is a view of it
        if float(np.vdot(difference, difference)) <= relative_error**2 * squares:
            break
        allowed *= _TIGHTER if allowed > 0.5 * relative_error**2 * squares else 0.5
    return Network(cores, form, tensor.shape)


def shares(form: NetworkForm) -> tuple[float, ...]:
    """Return the share of the squared error of each bond or mode."""
    places = len(form.groups) if form.kind == "tucker" else len(form.groups) - 1
    return form.budget if form.budget else (1.0 / places,) * places if places else ()


def reconstruct(network: Network) -> Array:
    """Return the tensor of a network, in 64-bit numbers."""
    form = network.form
    if form.kind == "cp":
        modes = canonical.reconstruct(network.cores)
    elif form.kind == "tucker":
        modes = tucker.reconstruct(network.cores)
    else:
        modes = trains.reconstruct(network.cores)
    back = tuple(int(place) for place in np.argsort(form.permutation))
    return np.ascontiguousarray(modes.reshape(form.permuted_shape).transpose(back)).reshape(network.shape)


def parameters(network: Network) -> int:
    """Count the numbers in the cores."""
    return sum(core.size for core in network.cores)


def _zeros(form: NetworkForm) -> tuple[Array, ...]:
    """Return the cores of the tensor that is zero."""
    if form.kind in ("tt", "qtt"):
        return tuple(np.zeros((1, mode, 1)) for mode in form.modes)
    factors = tuple(np.zeros((mode, 1)) for mode in form.modes)
    return factors if form.kind == "cp" else (*factors, np.zeros((1,) * len(form.modes)))
