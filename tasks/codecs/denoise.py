"""Can a quantised matrix be put nearer to what it was, from its neighbourhood or from a table?

A quantiser puts each number in the middle of a cell; where the numbers of a cell crowd to one side, another place is
nearer to them on average. A table holds one place for each level (the centroids of Lloyd 1982, doi
10.1109/TIT.1982.1056489); a small residual network of convolutions (Zhang et al. 2017, arXiv:1608.03981) may use the
neighbours too. Whatever they propose is clipped to the cell, and to what the bound on the error leaves, so no promise
is broken. Neighbours of a trained weight say nothing of it, so on weights the table does as well, at a few bytes.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A matrix as multiples of steps.

    Args:
        levels: which multiple, ``(rows, columns)``.
        steps: of each element, above 0; broadcast to ``(rows, columns)``.

    Raises:
        ValueError: a shape is wrong, or a step is not above 0.
    """

    levels: Integers
    steps: Floats

    def __post_init__(self) -> None:
        if self.levels.ndim != 2 or np.broadcast_shapes(self.levels.shape, self.steps.shape) != self.levels.shape:
            raise ValueError(f"steps: expected a shape that fits levels {self.levels.shape}, got {self.steps.shape}")
        if not (np.isfinite(self.steps) & (self.steps > 0.0)).all():
            raise ValueError("steps: expected finite numbers above 0")

    @property
    def values(self) -> Floats:
        """The middle of each cell, ``(rows, columns)``."""
        return np.asarray(self.levels * self.steps)


def within(proposed: npt.ArrayLike, grid: Grid, limit: npt.ArrayLike | None = None) -> Floats:
    """Return the proposal, clipped to the cells, and to what the limit leaves.

    An original in its cell is at most half a step from the middle, so an output ``r`` from the middle is at most
    ``r + step / 2`` from it: where no error may be over a limit, ``r`` is at most the limit less half a step. A
    quantiser whose step is twice its limit leaves nothing to improve.

    Args:
        proposed: ``(rows, columns)``; what is not finite falls back to the middle.
        grid: of the matrix.
        limit: greatest absolute error, broadcast to ``(rows, columns)``; None where only the mean counts.
    """
    middle = grid.values
    half = grid.steps / 2.0
    reach = half if limit is None else np.clip(np.asarray(limit, dtype=np.float64) - half, 0.0, half)
    wanted = np.asarray(proposed, dtype=np.float64)
    moved = np.where(np.isfinite(wanted), np.clip(wanted, middle - reach, middle + reach), middle)
    over = np.abs(moved - middle) > reach  # by rounding, of the last digit
    return np.where(over, np.nextafter(moved, middle), moved)


@dataclass(frozen=True, slots=True, eq=False)
class LevelTable:
    """Where in its cell each level is put.

    Args:
        lowest: level of the first entry.
        offsets: from the middle of the cell, in steps, ``(levels,)``, -0.5 to 0.5.
    """

    lowest: int
    offsets: Floats

    def __call__(self, grid: Grid, limit: npt.ArrayLike | None = None) -> Floats:
        """Return the matrix, ``(rows, columns)``; levels that are not in the table stay in the middle."""
        place = grid.levels.astype(np.int64) - self.lowest
        known = (place >= 0) & (place < len(self.offsets))
        offsets = np.where(known, self.offsets[np.where(known, place, 0)], 0.0)
        return within(grid.values + offsets * grid.steps, grid, limit)


def level_table(grids: Sequence[Grid], originals: Sequence[npt.ArrayLike]) -> LevelTable:
    """Return the mean place of the originals of each level.

    Args:
        grids: matrices to learn from; at least one.
        originals: what they were, of the same shapes.

    Raises:
        ValueError: no matrices, unequal numbers, or a range of more than 65,536 levels.
    """
    residuals = _residuals(grids, originals)
    lowest = min(int(grid.levels.min()) for grid in grids)
    count = max(int(grid.levels.max()) for grid in grids) - lowest + 1
    if count > 1 << 16:
        raise ValueError(f"grids: expected at most 65536 levels, got {count}")
    sums, counts = np.zeros(count), np.zeros(count)
    for grid, residual in zip(grids, residuals, strict=True):
        place = (grid.levels - lowest).reshape(-1)
        sums += np.bincount(place, weights=residual.reshape(-1), minlength=count)
        counts += np.bincount(place, minlength=count)
    return LevelTable(lowest, np.clip(sums / np.maximum(counts, 1.0), -0.5, 0.5))


@dataclass(frozen=True, slots=True, eq=False)
class Denoiser:
    """A trained residual network.

    Args:
        network: one matrix of levels to one of offsets in steps, both ``(batch, 1, rows, columns)``, float32.
        scale: levels are divided by it.
        parameters: of the network; what it would add to an archive.
        gain: mean squared error before over after, on the matrices that were held out of training.
    """

    network: "torch.nn.Module"
    scale: float
    parameters: int
    gain: float

    def __call__(self, grid: Grid, limit: npt.ArrayLike | None = None) -> Floats:
        """Return the matrix, ``(rows, columns)``."""
        import torch

        with torch.inference_mode():
            offsets = self.network(_levels(grid.levels, self.scale))[0, 0].double().numpy()
        return within(grid.values + offsets * grid.steps, grid, limit)


@dataclass(frozen=True, slots=True)
class DenoiserTraining:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980) on random patches; the network begins as one that changes nothing.

    Args:
        channels: of the hidden layers.
        layers: convolutions of 3 x 3.
        steps: of training.
        patch: rows and columns of a patch.
        batch: patches of a step.
        learning_rate: falls to 0 as a cosine.

    Raises:
        ValueError: a number is out of range.
    """

    channels: int = 16
    layers: int = 3
    steps: int = 300
    patch: int = 48
    batch: int = 8
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        if min(self.channels, self.steps, self.patch, self.batch) < 1 or self.layers < 2 or not self.learning_rate > 0:
            raise ValueError(f"expected at least 2 layers, and numbers above 0, got {self}")

    def __call__(self, grids: Sequence[Grid], originals: Sequence[npt.ArrayLike], rng: np.random.Generator) -> Denoiser:
        """Train a network; where it is no gain on the last matrix, which it never saw, it is put back to no change.

        Args:
            grids: matrices to learn from, at least two; the last one is held out.
            originals: what they were, of the same shapes.
            rng: weights at the start, and patches.

        Raises:
            ValueError: fewer than two matrices, or unequal numbers or shapes.
        """
        import torch

        residuals = _residuals(grids, originals)
        if len(grids) < 2:
            raise ValueError("grids: expected at least two matrices, the last to judge by")
        scale = float(max(1, *(int(np.abs(grid.levels).max()) for grid in grids)))
        network = _network(self.channels, self.layers, rng)
        inputs = [_levels(grid.levels, scale) for grid in grids]
        targets = [torch.from_numpy(residual.astype(np.float32))[None, None] for residual in residuals]
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        for _step in range(self.steps):
            which = int(rng.integers(len(grids) - 1))
            rows, columns = (min(self.patch, length) for length in grids[which].levels.shape)
            corners = [
                (int(rng.integers(r - rows + 1)), int(rng.integers(c - columns + 1)))
                for r, c in [grids[which].levels.shape] * self.batch
            ]
            seen, wanted = (
                torch.cat([whole[..., top : top + rows, left : left + columns] for top, left in corners])
                for whole in (inputs[which], targets[which])
            )
            loss = ((network(seen) - wanted) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            falling.step()
        trained = Denoiser(network.eval(), scale, sum(one.numel() for one in network.parameters()), 1.0)
        before = mean_squared_error(grids[-1].values, originals[-1])
        gain = before / mean_squared_error(trained(grids[-1]), originals[-1])
        if gain > 1.0:
            return replace(trained, gain=gain)
        return replace(trained, network=_network(self.channels, self.layers, rng).eval())


def mean_squared_error(matrix: npt.ArrayLike, original: npt.ArrayLike) -> float:
    """Return the mean squared difference; a least positive number where there is none, so that it can be divided by."""
    difference = np.asarray(matrix, dtype=np.float64) - np.asarray(original, dtype=np.float64)
    return max(float((difference**2).mean()), float(np.finfo(np.float64).tiny))


def _residuals(grids: Sequence[Grid], originals: Sequence[npt.ArrayLike]) -> list[Floats]:
    """Return what lies between the middles and the originals, in steps."""
    if not grids or len(grids) != len(originals):
        raise ValueError(f"originals: expected one for each of {len(grids) or 'some'} matrices, got {len(originals)}")
    residuals = []
    for grid, original in zip(grids, originals, strict=True):
        array = np.asarray(original, dtype=np.float64)
        if array.shape != grid.levels.shape:
            raise ValueError(f"originals: expected shape {grid.levels.shape}, got {array.shape}")
        residuals.append((array - grid.values) / grid.steps)
    return residuals


def _levels(levels: Integers, scale: float) -> "torch.Tensor":
    import torch

    return torch.from_numpy((levels / scale).astype(np.float32))[None, None]


def _network(channels: int, layers: int, rng: np.random.Generator) -> "torch.nn.Module":
    """Return convolutions with weights from ``rng`` (He et al. 2015, arXiv:1502.01852), the last one of zeros."""
    import torch

    widths = [1, *[channels] * (layers - 1), 1]
    parts: list[torch.nn.Module] = []
    for number, (before, after) in enumerate(itertools.pairwise(widths)):
        layer = torch.nn.Conv2d(before, after, 3, padding=1)
        weights = rng.normal(0.0, np.sqrt(2.0 / (9 * before)), (after, before, 3, 3)).astype(np.float32)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weights if number < layers - 1 else np.zeros_like(weights)))
            layer.bias.zero_()  # type: ignore[union-attr]  # there is one by default
        parts += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])
