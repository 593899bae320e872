"""How many bytes does a tensor take at each step, and how much of it is lost? Measured with the codec itself."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.schemas.tensor import Octets, Tensor, tensor_bytes
from tasks.codecs.index import CHUNK_BYTES
from tasks.codecs.lossless import Lossless
from tasks.codecs.protocol import Around
from tasks.codecs.quantise import Quantised
from tasks.codecs.quantise_chunk import values_of

SAMPLED = 6
"""Chunks of a tensor that are packed at every step: all of them up to 3 MB, evenly spread ones of larger tensors."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class StepTable:
    """A tensor at each step, finest first.

    Args:
        exact_bytes: without any loss.
        size_bytes: ``(steps,)``.
        relative_rms: error over the tensor's own root mean square, ``(steps,)``.
    """

    exact_bytes: float
    size_bytes: Floats
    relative_rms: Floats


def step_table(tensor: Tensor, relative_steps: Floats) -> StepTable | None:
    """Return what each step costs.

    Args:
        tensor: of floats.
        relative_steps: steps as multiples of the tensor's root mean square, ``(steps,)``.

    Returns:
        The table; None where no element differs from 0, or one of them or the sum of their squares is not finite.
    """
    sample, energy = _sampled(tensor)
    if not 0.0 < energy < np.inf:
        return None
    raw_bytes = tensor_bytes(tensor.dtype, tensor.shape)
    sampled_bytes = sum(len(chunk) for chunk in sample)
    root_mean_square = np.sqrt(energy / math.prod(tensor.shape))
    around = Around(tensor.dtype)
    values = [values_of(chunk, tensor.dtype) for chunk in sample]
    size, squares = np.zeros(relative_steps.size), np.zeros(relative_steps.size)
    for place, relative in enumerate(relative_steps):
        step = float(relative * root_mean_square)
        codec = Quantised(step, step)
        for chunk, given in zip(sample, values, strict=True):
            grid = codec.on_grid(given, tensor.dtype)
            size[place] += min(len(chunk), len(codec.pack(grid, chunk, around)))
            squares[place] += _squares(given - grid.back)
    exact = sum(len(Lossless().pack(chunk, around).octets) for chunk in sample)
    sampled_energy = sum(map(_squares, values))
    scale = raw_bytes / sampled_bytes
    return StepTable(exact * scale, size * scale, np.sqrt(squares / (sampled_energy or 1.0)))


def _sampled(tensor: Tensor) -> tuple[list[Octets], float]:
    """Return evenly spread chunks of the tensor, and the sum of the squares of all its elements."""
    count = -(-tensor_bytes(tensor.dtype, tensor.shape) // CHUNK_BYTES)
    some = min(count, SAMPLED)  # from the middle of equal parts: the ends of an embedding are often unlike the rest
    wanted = {int((2 * number + 1) * count / (2 * some)) for number in range(some)}
    sample: list[Octets] = []
    energy = 0.0
    for number, piece in enumerate(tensor.pieces(CHUNK_BYTES)):
        with np.errstate(over="ignore"):
            energy += _squares(values_of(piece, tensor.dtype))
        if number in wanted:
            sample.append(bytes(piece))
    return sample, energy


def _squares(values: npt.NDArray[np.floating]) -> float:
    wide = values.astype(np.float64)
    return float(wide @ wide)
