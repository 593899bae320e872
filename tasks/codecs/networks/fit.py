"""Of the error that is allowed, how much goes to leaving out, and how much to rounding?

Both are errors of the same tensor, and all but orthogonal: their squares add up. Leaving less out makes more numbers,
but most of them small ones that cost little, so a small share is the best as a rule; a few shares are tried, and what
truncation did not use rounding gets. What counts is measured on the tensor after decoding, in its element type.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.codecs.networks import trains
from tasks.codecs.networks.canonical import RankTooHigh
from tasks.codecs.networks.form import Network, NetworkForm, decompose, parameters, reconstruct, shares
from tasks.codecs.networks.layout import parameters_max
from tasks.codecs.networks.quantised import estimated_bytes, from_bytes, quantise, to_bytes
from tasks.codecs.networks.rebuild import tensor_octets
from tasks.codecs.quantise_chunk import values_of

TRUNCATED = (0.1, 0.3)
"""Shares of the squared error that are left to truncation; above a third networks only grow (tests/benchmarks)."""

FEW = 20_000
TOO_MANY = 1 << 22
"""Numbers in a network that is given up. MiniLM's word embeddings, 12 M numbers as a train of full rank, would be 2 %
smaller at 0.01 than quantised, which is not worth the two minutes."""

_TRIES = 12
_NEAR = 0.9999
_FINEST = 1e-4
_FULL = 0.985
"""Of the error that is allowed: where less is used, one coarser rounding is tried."""


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A network that was written and read back.

    Args:
        form: which network.
        octets: its bytes (:func:`tasks.codecs.networks.quantised.to_bytes`).
        relative_error: Frobenius norm of the difference over that of the tensor, after decoding.
        parameters: numbers in its cores.
    """

    form: NetworkForm
    octets: bytes
    relative_error: float
    parameters: int


def fit(
    tensor: npt.NDArray[np.floating],
    form: NetworkForm,
    relative_error: float,
    rng: np.random.Generator,
    *,
    dtype: str = "F64",
    truncated: tuple[float, ...] = TRUNCATED,
    worth_bytes: tuple[float, float] = (math.inf, math.inf),
) -> Fitted:
    """Return the smallest network of a form that was found within the error.

    Args:
        tensor: finite, not zero.
        form: which network.
        relative_error: Frobenius norm of the difference over that of the tensor.
        rng: for CP.
        dtype: element type that the tensor is decoded to: F16, BF16, F32 or F64.
        truncated: shares of the squared error that are tried for truncation, ascending, each above 0 and below 1.
        worth_bytes: a network of up to 20,000 numbers, and a larger one, that is estimated at more is given up before
            it is rounded.

    Raises:
        ValueError: the form is of another shape, the tensor is not finite, or the error cannot be reached.
        RankTooHigh: there would be more parameters than are tried or accepted, or more bytes than it is worth.
    """
    squares = float(np.vdot(tensor, tensor))
    finest = decompose(tensor, form, relative_error * math.sqrt(truncated[0]), rng)
    if parameters(finest) > min(TOO_MANY, parameters_max(tensor.size)):
        raise RankTooHigh(f"{form.kind}: expected fewer parameters than {parameters(finest)}")
    worth = worth_bytes[parameters(finest) > FEW]
    if worth < math.inf and (estimate := estimated_bytes(finest, relative_error)) > worth:
        raise RankTooHigh(f"{form.kind}: expected at most {worth:.0f} bytes, estimated {estimate:.0f}")
    lost = _squared_difference(reconstruct(finest), tensor) / squares
    found: tuple[bytes, float, Network] | None = None
    for share in truncated:
        network, cut = _cut(finest, share * relative_error**2 - lost, squares)
        left = relative_error**2 - lost - cut
        if left <= 0.0:
            continue
        octets = to_bytes(quantise(network, math.sqrt(left) * _NEAR))
        if found is None or len(octets) < len(found[0]):
            found = octets, left, network
        if form.kind in ("cp", "tucker"):
            break  # what CP leaves out is not shared; Tucker's smallest share was the best on every tensor measured
    if found is None:
        raise ValueError(f"relative_error: expected more than truncation alone makes, found {relative_error}")
    return _measured(tensor, found, relative_error, dtype)


def _cut(finest: Network, allowed: float, squares: float) -> tuple[Network, float]:
    """Return a train that is shorter by ``allowed``, relative and squared, and what that took; others as they are."""
    if allowed <= 0.0 or finest.form.kind not in ("tt", "qtt") or len(finest.cores) < 2:
        return finest, 0.0
    cores = trains.shortened(finest.cores, shares(finest.form), allowed * squares)
    kept = float(np.vdot(cores[-1], cores[-1]))  # cores before it are orthonormal, and so is what was cut off
    whole = float(np.vdot(finest.cores[-1], finest.cores[-1]))
    return Network(cores, finest.form, finest.shape), max(0.0, whole - kept) / squares


def _measured(
    tensor: npt.NDArray[np.floating], found: tuple[bytes, float, Network], relative_error: float, dtype: str
) -> Fitted:
    """Return a network as it decodes, rounded more finely for as long as the measured error is over the bound."""
    octets, left, network = found
    best = None
    for _ in range(_TRIES):
        fitted = _decoded(tensor, network.form, octets, dtype)
        holds = fitted.relative_error <= relative_error
        if best is not None:  # that was the one try at more
            return fitted if holds and len(octets) < len(best.octets) else best
        if holds and fitted.relative_error > _FULL * relative_error:
            return fitted
        best = fitted if holds else None
        left *= (0.999 if holds else 0.98) * (relative_error / fitted.relative_error) ** 2
        if left < _FINEST * relative_error**2:
            break  # what is over the bound is not ours: the element type is too coarse
        octets = to_bytes(quantise(network, math.sqrt(min(left, _NEAR))))
    if best is None:
        raise ValueError(f"relative_error: expected {relative_error} as {dtype}, found {fitted.relative_error}")
    return best


def _decoded(tensor: npt.NDArray[np.floating], form: NetworkForm, octets: bytes, dtype: str) -> Fitted:
    decoded = from_bytes(octets, tensor.size)
    back = values_of(tensor_octets(decoded, dtype).data, dtype).astype(np.float64)
    squares = _squared_difference(back.reshape(tensor.shape), tensor) / float(np.vdot(tensor, tensor))
    return Fitted(form, octets, math.sqrt(squares), parameters(decoded))


def _squared_difference(ours: npt.NDArray[np.floating], theirs: npt.NDArray[np.floating]) -> float:
    difference = ours - theirs
    return float(np.vdot(difference, difference))
