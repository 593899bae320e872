"""Which channels can a compressor leave out, and how sure is that?

Random sets of channels are switched off, again and again, and the error of the rest is measured (Monte Carlo). A linear
regression of the error on which channels were off gives each channel its share, with an interval that holds for all
channels at once: confidence levels are corrected for their number (Bonferroni), and errors of unequal spread are
allowed for (HC3; MacKinnon and White 1985, doi 10.1016/0304-4076(85)90158-7). Channels are the qubits of an
autoencoder's circuit, whose width follows, or the inputs of a matrix, which are then pruned.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Sensitivity:
    """What the error gains if a channel is left out, others being left out at random.

    Args:
        effect: of each channel, in the unit of the error, ``(channels,)``.
        low: lower end of its interval.
        high: upper end of its interval.
        baseline: error with every channel there, by the regression.
        explained: share of the error's variance that adds up channel by channel (R squared); far below 1 the channels
            depend on one another, and effects say less about several at once.
        evaluations: sets of channels that were measured.
    """

    effect: Floats
    low: Floats
    high: Floats
    baseline: float
    explained: float
    evaluations: int


@dataclass(frozen=True, slots=True)
class Dropout:
    """The simulator.

    Args:
        rate: chance of each channel to be off, between 0 and 1.
        samples: sets of channels to measure.
        confidence: that all intervals hold at once.

    Raises:
        ValueError: an option is out of range.
    """

    rate: float = 0.25
    samples: int = 400
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not (0.0 < self.rate < 1.0 and 0.0 < self.confidence < 1.0 and self.samples >= 1):
            raise ValueError(f"expected a rate and a confidence between 0 and 1, and samples, got {self}")

    def __call__(self, error: Callable[[Flags], float], channels: int, rng: np.random.Generator) -> Sensitivity:
        """Measure the sensitivity of every channel.

        Args:
            error: of the result if the channels of a mask ``(channels,)`` are off.
            channels: how many there are.
            rng: which are off.

        Raises:
            ValueError: no channel, fewer than three samples to a channel, or an error that is not finite.
        """
        if channels < 1 or self.samples < 3 * (channels + 1):
            least = 3 * (channels + 1)
            raise ValueError(f"samples: expected at least {least} for {channels} channels, got {self.samples}")
        off = rng.random((self.samples, channels)) < self.rate
        errors = np.array([error(mask) for mask in off], dtype=np.float64)
        if not np.isfinite(errors).all():
            raise ValueError("error: expected finite numbers, got NaN or infinity")
        return _regressed(off, errors, self.confidence)


def pruned(sensitivity: Sensitivity, allowed: float) -> tuple[int, ...]:
    """Return the channels to leave out, ascending: the least sensitive ones, while the sum of their upper ends allows.

    Args:
        sensitivity: of every channel.
        allowed: most that the error may gain, in its unit.
    """
    gains = np.maximum(sensitivity.high, 0.0)
    order = np.argsort(gains, kind="stable")
    count = int(np.searchsorted(np.cumsum(gains[order]), allowed, side="right"))
    return tuple(sorted(order[:count].tolist()))


def matrix_error(matrix: npt.ArrayLike, inputs: npt.ArrayLike) -> Callable[[Flags], float]:
    """Return the error of a matrix's outputs if some of its inputs are off: squares over squares, 0 to about 1.

    Args:
        matrix: ``(outputs, channels)``.
        inputs: what the channels see on calibration data, ``(samples, channels)``.

    Raises:
        ValueError: the shapes do not go together, or the outputs are all 0.
    """
    weights, seen = np.asarray(matrix, dtype=np.float64), np.asarray(inputs, dtype=np.float64)
    if weights.ndim != 2 or seen.ndim != 2 or weights.shape[1] != seen.shape[1]:
        raise ValueError(f"inputs: expected shape (samples, channels) for a matrix {weights.shape}, got {seen.shape}")
    shares = (seen.T @ seen) * (weights.T @ weights)  # of the squared outputs, by pairs of channels
    total = float(shares.sum())
    if not total > 0.0:
        raise ValueError("matrix: expected outputs that are not all 0")

    def error(off: Flags) -> float:
        return float(shares[np.ix_(off, off)].sum()) / total

    return error


def qubit_error(
    angles: npt.ArrayLike, vectors: npt.ArrayLike, *, every_layer: bool = False
) -> Callable[[Flags], float]:
    """Return the loss of a trained autoencoder if some of its qubits are lost.

    A lost qubit is set to 0, its amplitude gone: after the last layer of the encoder, as in pruning, or after every
    layer, as by decoherence. The decoder undoes the whole circuit.

    Args:
        angles: ``(layers, qubits, 3)``.
        vectors: ``(vectors, 2**qubits)``.
        every_layer: whether qubits are lost after every layer.

    Returns:
        Of a mask of qubits: squared error over the energy of the vectors, 0 to about 1.

    Raises:
        ValueError: a shape is wrong, or all vectors are 0.
    """
    from qiskit_solvers.variational.autoencoder import second_moments
    from qiskit_solvers.variational.entangling_layers import applied, checked_angles

    turned = checked_angles(angles)
    states = second_moments(vectors)[0].astype(np.complex128)
    rows = np.arange(states.shape[0])

    def error(off: Flags) -> float:
        mask = sum(1 << int(qubit) for qubit in np.flatnonzero(off))
        lost = rows & mask != 0
        through = states
        for layer in range(len(turned)):
            through = applied(turned, through, layer=layer)
            if every_layer or layer == len(turned) - 1:
                through[lost] = 0.0
        return float((np.abs(states - applied(turned, through, inverse=True)) ** 2).sum())

    return error


def _regressed(off: Flags, errors: Floats, confidence: float) -> Sensitivity:
    """Regress the errors on the masks, with intervals that allow for unequal spread."""
    from scipy.stats import t

    samples, channels = off.shape
    design: Floats = np.column_stack((np.ones(samples), off.astype(np.float64)))
    inverse: Floats = np.linalg.pinv(design.T @ design).astype(np.float64)
    solution = inverse @ design.T @ errors
    residuals = errors - design @ solution
    leverage = np.minimum(((design @ inverse) * design).sum(axis=1), 1.0 - 1e-9)
    weighted = design * (residuals / (1.0 - leverage))[:, None]
    deviations = np.sqrt(np.diag(inverse @ (weighted.T @ weighted) @ inverse).clip(0.0))[1:]
    quantile = float(t.ppf(1.0 - (1.0 - confidence) / (2.0 * channels), samples - channels - 1))
    spread = float(((errors - errors.mean()) ** 2).sum())
    effect = solution[1:]
    return Sensitivity(
        effect,
        effect - quantile * deviations,
        effect + quantile * deviations,
        float(solution[0]),
        1.0 - float((residuals**2).sum()) / spread if spread > 0.0 else 1.0,
        samples,
    )
