"""How fast could a state be read and written at all? The memory traffic of QAOA, without its arithmetic."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _pass(values: Any, factor: float) -> None:
    for i in range(values.size):
        values[i] *= factor


def passes(spins: int, layers: int, dtype: type[np.complexfloating[Any, Any]]) -> Callable[[], None]:
    """Return a call that reads and writes a state of ``spins`` spins in place ``2 * layers`` times.

    Two passes a layer is what any simulator needs that cannot keep the state in registers: one for the
    qubits of a block, one across the blocks.
    """
    values = np.ones(1 << spins, dtype).view(np.float64 if dtype is np.complex128 else np.float32)
    one = values.dtype.type(1.0)

    def run() -> None:
        for _ in range(2 * layers):
            _pass(values, one)

    return run
