"""Can a recurrent network guess what quantisation took from a tensor?

A small bidirectional LSTM (Hochreiter and Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735) reads a restored tensor
element by element and predicts the residual of each, as a share of the greatest one that the archive measured. It is
trained on tensors whose originals are at hand and used on others. Its output is within the measured greatest error, so
an element moves no further than it may have been moved: the RMS may fall, the greatest error at most doubles.

What can be learned is how the mean of a cell differs from its middle, which a table knows too (Lloyd 1982,
doi 10.1109/TIT.1982.1056489): :func:`residual_table` is the yardstick. Between neighbouring weights there is nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_CELLS = 64  # of the yardstick's table, within three times the RMS
_BATCH = 32


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A tensor before and after.

    Args:
        original: any shape.
        restored: the same shape.
        max_abs: greatest absolute difference, as the archive's index has it.
    """

    original: npt.NDArray[np.floating]
    restored: npt.NDArray[np.floating]
    max_abs: float

    def __post_init__(self) -> None:
        if self.original.shape != self.restored.shape or self.original.size == 0:
            raise ValueError(f"restored: expected shape {self.original.shape}, not empty, got {self.restored.shape}")
        if not 0.0 < self.max_abs < np.inf:
            raise ValueError(f"max_abs: expected a number above 0, got {self.max_abs}")
        if not (np.isfinite(self.original).all() and np.isfinite(self.restored).all()):
            raise ValueError("original, restored: expected finite numbers, got NaN or infinity")


@dataclass(frozen=True, slots=True, eq=False)
class ResidualLstm:
    """A trained network.

    Args:
        weights: by the names that torch gives them.
        hidden: width of its state.
        sequence: elements that it reads at a time.
        losses: mean squared error of the residual, in units of the greatest, after each epoch.
    """

    weights: dict[str, npt.NDArray[np.float32]]
    hidden: int
    sequence: int
    losses: tuple[float, ...]

    @property
    def stored_bytes(self) -> int:
        """Bytes of the network, which whoever restores must have."""
        return sum(array.nbytes for array in self.weights.values())

    def __call__(self, restored: npt.NDArray[np.floating], max_abs: float) -> Floats:
        """Return the tensor with predicted residuals added, of the same shape, each within ``max_abs`` of before.

        Raises:
            ValueError: a number is not finite, or ``max_abs`` is negative.
        """
        import torch

        values = np.asarray(restored, dtype=np.float64)
        if not (np.isfinite(values).all() and 0.0 <= max_abs < np.inf):
            raise ValueError(f"restored: expected finite numbers and max_abs of at least 0, got {max_abs}")
        if values.size == 0 or max_abs == 0.0:
            return values
        network = _network(self.hidden)
        network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in self.weights.items()})
        with torch.inference_mode():
            found = _predicted(network, _sequences(_scaled(values), self.sequence))
        residual = found.numpy().astype(np.float64).reshape(-1)[: values.size].reshape(values.shape)
        return np.asarray(values + np.clip(max_abs * residual, -max_abs, max_abs))


@dataclass(frozen=True, slots=True)
class ResidualTraining:
    """Adam on the squared error of the residual (Kingma and Ba 2015, arXiv:1412.6980).

    Args:
        hidden: width of the network's state.
        sequence: elements that it reads at a time.
        epochs: passes over all pairs.
        learning_rate: of Adam.

    Raises:
        ValueError: an option is not positive.
    """

    hidden: int = 8
    sequence: int = 64
    epochs: int = 4
    learning_rate: float = 5e-3

    def __post_init__(self) -> None:
        if not (min(self.hidden, self.sequence, self.epochs) >= 1 and self.learning_rate > 0.0):
            raise ValueError(f"expected options above 0, got {self}")

    def __call__(self, pairs: Sequence[Pair], rng: np.random.Generator) -> ResidualLstm:
        """Train a network on tensors whose originals are known.

        Args:
            pairs: at least one.
            rng: where the weights start, and the order of the sequences.

        Raises:
            ValueError: no pairs.
        """
        import torch

        if not pairs:
            raise ValueError("pairs: expected at least one, got none")
        inputs = torch.cat([_sequences(_scaled(pair.restored), self.sequence) for pair in pairs])
        targets = torch.cat(
            [
                _sequences((pair.original.astype(np.float64) - pair.restored) / pair.max_abs, self.sequence)
                for pair in pairs
            ]
        )
        losses = []
        with torch.random.fork_rng(devices=[]):  # the caller's own chance stays as it was
            torch.manual_seed(int(rng.integers(2**63)))
            network = _network(self.hidden)
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        for _epoch in range(self.epochs):
            total = 0.0
            for rows in np.array_split(rng.permutation(len(inputs)), -(-len(inputs) // _BATCH)):
                lost = ((_predicted(network, inputs[rows]) - targets[rows]) ** 2).mean()
                optimizer.zero_grad()
                lost.backward()
                optimizer.step()
                total += float(lost.detach()) * len(rows)
            losses.append(total / len(inputs))
        weights = {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}
        return ResidualLstm(weights, self.hidden, self.sequence, tuple(losses))


def residual_table(pairs: Sequence[Pair]) -> Floats:
    """Return the mean residual, in units of the greatest, by the value over the tensor's RMS, ``(cells,)``."""
    sums, counts = np.zeros(_CELLS), np.zeros(_CELLS)
    for pair in pairs:
        cells = _cells(pair.restored)
        residual = (pair.original.astype(np.float64) - pair.restored).reshape(-1) / pair.max_abs
        sums += np.bincount(cells, residual, _CELLS)
        counts += np.bincount(cells, minlength=_CELLS)
    return np.asarray(sums / np.maximum(counts, 1.0))


def with_table(table: Floats, restored: npt.NDArray[np.floating], max_abs: float) -> Floats:
    """Return the tensor with the table's residuals added; the yardstick of :class:`ResidualLstm`."""
    return np.asarray(restored + max_abs * table[_cells(restored)].reshape(restored.shape))


def _cells(restored: npt.NDArray[np.floating]) -> npt.NDArray[np.intp]:
    places = (_scaled(restored).reshape(-1) / 3.0 + 1.0) * (_CELLS / 2)
    return np.clip(places, 0, _CELLS - 1).astype(np.intp)


def _scaled(values: npt.NDArray[np.floating]) -> Floats:
    """Return the values over their root mean square."""
    wide = np.asarray(values, dtype=np.float64)
    rms = float(np.sqrt((wide**2).mean()))
    return wide / rms if rms > 0.0 else wide


def _sequences(values: Floats, length: int) -> Any:
    """Return the elements as rows of a float32 torch tensor, ``(sequences, length)``, the last one filled with 0."""
    import torch

    rows = np.zeros((-(-values.size // length), length), dtype=np.float32)
    rows.reshape(-1)[: values.size] = values.reshape(-1)
    return torch.from_numpy(rows)


def _network(hidden: int) -> Any:
    import torch

    recurrent = torch.nn.LSTM(1, hidden, batch_first=True, bidirectional=True)
    return torch.nn.ModuleDict({"recurrent": recurrent, "out": torch.nn.Linear(2 * hidden, 1)})


def _predicted(network: Any, inputs: Any) -> Any:
    """Return the residual of each element, -1 to 1, ``(sequences, length)``."""
    import torch

    states, _last = network["recurrent"](inputs[..., None])
    return torch.tanh(network["out"](states))[..., 0]
