"""How does a tensor that is too large to be made become a tensor train, given a function of its entries?

Cross interpolation (Oseledets and Tyrtyshnikov 2010, doi 10.1016/j.laa.2009.07.024): a train is known from a few of the
tensor's fibres. Two neighbouring cores are looked at together, and an LU decomposition with full pivoting of that block
says which fibres to take and how many (Savostyanov and Oseledets 2011, doi 10.1109/nDS.2011.6076873; Nunez Fernandez et
al. 2022, doi 10.1103/PhysRevX.12.041018). Sweeps can miss what no fibre has met; so random entries are compared, and
the worst become pivots of the next sweeps.

The error is an estimate from random entries, not a bound: the tensor is never seen whole. Where a few entries hold
most of its norm, as in a corner of Hilbert's tensor, random entries say how near the many others are.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from tasks.codecs.networks import scaled, trains
from tasks.codecs.networks.entries import Counted, Entries, compared, random_indices
from tasks.codecs.networks.fibres import swept
from tasks.codecs.networks.form import Network, NetworkForm, shares
from tasks.codecs.networks.named_forms import natural
from tasks.codecs.networks.quantised import from_bytes, quantise, to_bytes

_PROBES = 20_000
_FINER = 0.25
_CROSSED = 0.5
_MARGIN_OF_SAMPLES = 0.98
_LEAST_SHARE = 0.02
_TIGHTER = 0.9
_TRIES = 12
_MARGIN = 0.5
"""Share of the error that interpolation may make; the rest is for cutting ranks afterwards."""


@dataclass(frozen=True, slots=True, eq=False)
class Crossed:
    """A tensor train of a tensor that was never made.

    Args:
        network: tt or qtt.
        relative_error: Frobenius norm of the difference over that of the tensor, estimated from random entries.
        evaluations: entries that were computed.
    """

    network: Network
    relative_error: float
    evaluations: int


def cross(
    entries: Entries,
    form: NetworkForm,
    relative_error: float,
    rng: np.random.Generator,
    *,
    ranks_max: int = 64,
    rounds: int = 8,
    evaluations_max: int = 100_000_000,
) -> Crossed:
    """Return a tensor train of a function of indices.

    Args:
        entries: finite everywhere.
        form: tt or qtt.
        relative_error: Frobenius norm of the difference over that of the tensor.
        rng: for the random entries.
        ranks_max: greatest rank of a bond.
        rounds: times that the tolerance is tightened, or pivots are added.
        evaluations_max: entries computed after which no further sweep or round begins.

    Returns:
        The train and its error, estimated from 20,000 random entries; it may be above ``relative_error`` where
        ``ranks_max``, ``rounds`` or ``evaluations_max`` were too few.

    Raises:
        ValueError: the form is no train, entries are not finite, or two neighbouring modes are too long.
    """
    if form.kind not in ("tt", "qtt"):
        raise ValueError(f"form: expected tt or qtt, found {form.kind}")
    function = Counted(entries, form, evaluations_max)
    modes = form.modes
    probes = random_indices(modes, _PROBES, rng)
    values = function(probes)
    size = math.sqrt(float(np.mean(values**2)))
    if not math.isfinite(size):
        raise ValueError("entries: expected finite numbers, found others")
    if len(modes) == 1 or size == 0.0:
        whole = function(np.indices(modes).reshape(1, -1).T) if len(modes) == 1 else np.zeros(1)
        cores = (whole.reshape(1, -1, 1),) if len(modes) == 1 else tuple(np.zeros((1, mode, 1)) for mode in modes)
        return Crossed(Network(cores, replace(form, budget=()), form.shape), 0.0, function.evaluations)
    start = probes[[int(np.argmax(np.abs(values)))]]
    rights = [start[:, bond:] for bond in range(len(modes) + 1)]
    lefts = [start[:, :bond] for bond in range(len(modes) + 1)]
    lefts[0], rights[-1] = start[:1, :0], start[:1, :0]
    tolerance = _MARGIN * relative_error * size
    best: Crossed | None = None
    for _ in range(rounds):
        cores = swept(function, modes, lefts, rights, tolerance, ranks_max)
        squares = float(trains.norm_squared(cores))
        cores = trains.shortened(cores, shares(form), (1.0 - _MARGIN) * relative_error**2 * squares)
        network = Network(cores, replace(form, budget=()), form.shape)
        error, worst = compared(network, function, random_indices(modes, _PROBES, rng))
        if best is None or error < best.relative_error:
            best = Crossed(network, error, function.evaluations)
        if error <= relative_error or function.evaluations > function.most:
            break
        tolerance *= _FINER
        for bond in range(1, len(modes)):
            lefts[bond] = np.unique(np.vstack([lefts[bond], worst[:, :bond]]), axis=0)
            rights[bond] = np.unique(np.vstack([rights[bond], worst[:, bond:]]), axis=0)
    if best is None:
        raise ValueError(f"rounds: expected at least 1, found {rounds}")
    return replace(best, evaluations=function.evaluations)


@dataclass(frozen=True, slots=True, eq=False)
class FittedImplicit:
    """Coded cores of a tensor that was never made.

    Args:
        octets: as of :func:`tasks.codecs.networks.quantised.to_bytes`.
        network: what they decode to.
        relative_error: estimated from random entries.
        evaluations: entries that were computed to make them.
    """

    octets: bytes
    network: Network
    relative_error: float
    evaluations: int


def fit_implicit(
    entries: Entries,
    form: NetworkForm,
    relative_error: float,
    rng: np.random.Generator,
    *,
    points: int = 2_000_000,
    evaluations_max: int = 100_000_000,
) -> FittedImplicit | None:
    """Return the coded train of a function of indices; None where random entries still differ by more than the error.

    Args:
        entries: finite everywhere.
        form: tt or qtt.
        relative_error: Frobenius norm of the difference over that of the tensor, after decoding.
        rng: for the random entries.
        points: random entries that the decoded train is compared at.
        evaluations_max: as of :func:`cross`.
    """
    crossed = cross(entries, form, _CROSSED * relative_error, rng, evaluations_max=evaluations_max)
    left = _MARGIN_OF_SAMPLES * math.sqrt(max(0.0, relative_error**2 - crossed.relative_error**2))
    for _ in range(_TRIES):
        if left <= _LEAST_SHARE * relative_error:
            return None
        octets = to_bytes(quantise(crossed.network, left))
        network = from_bytes(octets)
        error = sampled_error(network, entries, points, rng)
        if error <= relative_error:
            return FittedImplicit(octets, network, error, crossed.evaluations)
        left *= min(_TIGHTER, relative_error / error)
    return None


def sampled_error(network: Network, entries: Entries, points: int, rng: np.random.Generator) -> float:
    """Return the relative Frobenius error of a train, estimated from random entries.

    Args:
        network: tt or qtt.
        entries: of the tensor.
        points: how many.
        rng: which.
    """
    return compared(network, Counted(entries, network.form, 0), random_indices(network.form.modes, points, rng))[0]


def as_tucker(network: Network, relative_error: float) -> Network:
    """Return a train over whole modes as a Tucker network within ``relative_error`` of it; the tensor is not made."""
    if network.form != natural(network.form.kind, network.shape):
        raise ValueError("network: expected a train over the tensor's own modes in their order, found another")
    cores, values = scaled.canonical_train(network.cores)
    allowed = relative_error**2 * float(np.vdot(cores[-1], cores[-1])) / len(cores)
    factors = []
    for core, weights in zip(cores, (*values, np.ones(1)), strict=True):
        centre = np.moveaxis(core * weights, 1, 0).reshape(core.shape[1], -1)
        factors.append(trains.left_basis(centre, allowed))
    inner = tuple(
        np.einsum("nk,rns->rks", factor, core) for factor, core in zip(factors, cores, strict=True)
    )  # fmt: skip
    return Network((*factors, trains.reconstruct(inner)), natural("tucker", network.shape), network.shape)
