"""How does a priced configuration become a network, and how many bytes is that network really?"""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tasks.codecs.network_search.chain import Train
from tasks.codecs.network_search.partition import Tucker
from tasks.codecs.networks.form import NetworkForm, decompose, reconstruct
from tasks.codecs.networks.quantised import from_bytes, quantise, to_bytes

Splits = tuple[tuple[int, ...], ...]

_SLACK = 1.0 + 1e-7
_TRIES = 8


@dataclass(frozen=True, slots=True)
class Built:
    """A network that was written and read back.

    Args:
        form: which network.
        octets: its bytes.
        error: relative Frobenius error of what they decode to, measured.
    """

    form: NetworkForm
    octets: bytes
    error: float


def train_form(train: Train, splits: Splits) -> NetworkForm:
    """Return a priced train as a form whose bonds lose what was priced."""
    runs, budget = [1], []
    for rank, tail in zip(train.ranks, train.tails, strict=True):
        if rank:
            runs.append(1)
            budget.append(tail)
        else:
            runs[-1] += 1
    kind = "qtt" if any(len(factors) > 1 for factors in splits) else "tt"
    return NetworkForm("qtt" if kind == "qtt" else "tt", splits, train.order, tuple(runs), shares(tuple(budget)))


def tucker_form(tucker: Tucker, splits: Splits) -> NetworkForm:
    """Return a priced Tucker network as a form whose modes lose what was priced."""
    order = tuple(mode for part in tucker.parts for mode in part)
    return NetworkForm("tucker", splits, order, tuple(len(part) for part in tucker.parts), shares(tucker.tails))


def shares(tails: tuple[float, ...]) -> tuple[float, ...]:
    """Return the tails as shares of their sum; empty where nothing is cut."""
    whole = sum(tails)
    return tuple(tail / whole for tail in tails) if whole > 0.0 else ()


def built(
    tensor: npt.NDArray[np.floating],
    form: NetworkForm,
    truncated: float,
    relative_error: float,
    rng: np.random.Generator,
) -> Built:
    """Return a form's network of a tensor, quantised, with a measured error of at most ``relative_error``.

    Args:
        tensor: not zero.
        form: which network, with its budget.
        truncated: relative error that may be left to truncation; quantisation gets the rest.
        relative_error: of what the bytes decode to.
        rng: for CP only.

    Raises:
        ValueError: the bound was not met.
    """
    norm = float(np.linalg.norm(tensor))
    network = decompose(tensor, form, min(truncated, relative_error * 0.98) * _SLACK, rng)
    cut = float(np.linalg.norm(reconstruct(network) - tensor)) / norm
    left = math.sqrt(relative_error**2 - cut**2) * 0.9999
    for _ in range(_TRIES):
        octets = to_bytes(quantise(network, left))
        error = float(np.linalg.norm(reconstruct(from_bytes(octets, tensor.size)) - tensor)) / norm
        if error <= relative_error:
            return Built(form, octets, error)
        left *= 0.99
    raise ValueError(f"relative_error: expected a network within {relative_error}, found {error}")


def plain(
    tensor: npt.NDArray[np.floating], form: NetworkForm, relative_error: float, rng: np.random.Generator
) -> Built:
    """Return a form's network of a tensor, its cores as 32-bit numbers one after the other, shapes left out.

    Raises:
        ValueError: the bound was not met.
    """
    network = decompose(tensor, form, relative_error * 0.999999, rng)
    rounded = tuple(core.astype(np.float32) for core in network.cores)
    back = reconstruct(replace(network, cores=tuple(core.astype(np.float64) for core in rounded)))
    error = float(np.linalg.norm(back - tensor) / np.linalg.norm(tensor))
    if error > relative_error:
        raise ValueError(f"relative_error: expected a network within {relative_error}, found {error}")
    return Built(form, b"".join(core.tobytes() for core in rounded), error)
