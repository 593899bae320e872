"""How much nearer to the weights do a table of levels and a residual network put what was quantised?

Learnt on layers 0 to 4 of MiniLM, the last of them to stop by, judged on layer 5. Gains are mean squared errors, of the
middles of the cells over those of the method: 1.01 is one per cent less.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from tasks.codecs.denoise import DenoiserTraining, Grid, level_table, mean_squared_error

Floats = npt.NDArray[np.float64]
KINDS = ("attention.self.query", "attention.output.dense", "intermediate.dense", "output.dense")
FORMATS = (
    ("int8 per row", 8, None),
    ("int4 groups of 64", 4, 64),
    ("int3 groups of 64", 3, 64),
    ("int2 groups of 64", 2, 64),
)
STEPS = 400


@dataclass(frozen=True, slots=True)
class Row:
    """One format.

    Args:
        name: of it.
        relative_rms: error of the middles over the weights, on layer 5.
        table: gain of the table.
        table_bytes: of its offsets as fp16.
        network: gain of the residual network.
        network_bytes: of its parameters as fp32.
        bounded: gain of the network where no error may be over 0.6 steps.
    """

    name: str
    relative_rms: float
    table: float
    table_bytes: int
    network: float
    network_bytes: int
    bounded: float


def rows(weights: Mapping[str, torch.Tensor], seed: int) -> Iterator[Row]:
    """Yield every format."""
    learnt = [matrix for layer in range(5) for matrix in _matrices(weights, layer)]
    judged = list(_matrices(weights, 5))
    for name, bits, group in FORMATS:
        grids, tests = ([quantised(matrix, bits, group) for matrix in some] for some in (learnt, judged))
        table = level_table(grids, learnt)
        denoiser = DenoiserTraining(steps=STEPS)(grids, learnt, np.random.default_rng(seed))
        before = sum(mean_squared_error(grid.values, one) * one.size for grid, one in zip(tests, judged, strict=True))
        energy = sum(float((one**2).sum()) for one in judged)

        def gain(restored: Iterator[Floats], before: float = before) -> float:
            after = sum(mean_squared_error(back, one) * one.size for back, one in zip(restored, judged, strict=True))
            return before / after

        yield Row(
            name,
            float(np.sqrt(before / energy)),
            gain(table(grid) for grid in tests),
            2 * len(table.offsets),
            gain(denoiser(grid) for grid in tests),
            4 * denoiser.parameters,
            gain(denoiser(grid, 0.6 * grid.steps) for grid in tests),
        )


def quantised(matrix: Floats, bits: int, group: int | None) -> Grid:
    """Return a matrix on a symmetric grid, a step for each row, or for each ``group`` elements of one."""
    blocks = matrix.reshape(matrix.shape[0], -1, group or matrix.shape[1])
    top = 2 ** (bits - 1) - 1
    steps = np.maximum(np.abs(blocks).max(axis=2, keepdims=True) / top, 1e-12)
    levels = np.rint(blocks / steps).astype(np.int32).reshape(matrix.shape)
    return Grid(levels, np.broadcast_to(steps, blocks.shape).reshape(matrix.shape))


def _matrices(weights: Mapping[str, torch.Tensor], layer: int) -> Iterator[Floats]:
    for kind in KINDS:
        yield weights[f"encoder.layer.{layer}.{kind}.weight"].double().numpy()
