"""Which strings does a measurement find? Numbers drawn by their probabilities."""

import numpy as np

from qiskit_solvers.ising import Floats, Indices


def drawn(probabilities: Floats, shots: int, rng: np.random.Generator) -> Indices:
    """Return the number that each shot measured, ``(shots,)``.

    Args:
        probabilities: of each number, ``(size,)``; their sum may be off by rounding.
        shots: measurements.
        rng: all chance.

    Raises:
        ValueError: fewer than one shot.
    """
    if shots < 1:
        raise ValueError(f"shots: expected at least 1, got {shots}")
    cumulative = np.cumsum(probabilities)
    # the largest draw may round up to the sum itself
    at = np.searchsorted(cumulative, rng.random(shots) * cumulative[-1], side="right")
    return np.asarray(np.minimum(at, probabilities.size - 1), dtype=np.int64)
