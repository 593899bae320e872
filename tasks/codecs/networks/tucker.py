"""How does a tensor become a small core with a factor for each mode?

Sequentially truncated higher-order singular value decomposition (Vannieuwenhoven et al. 2012, doi 10.1137/110836067):
each mode is projected on its leading singular vectors, and the next mode is looked at in what is left. Squared errors
add up exactly.
"""

import numpy as np

from tasks.codecs.networks.trains import Array, Cores, left_basis


def decompose(tensor: Array, shares: tuple[float, ...], squares_allowed: float) -> Cores:
    """Return the factors, ``(mode, rank)`` each, and the core, ``(rank of the first mode, ...)``.

    Args:
        tensor: of any shape.
        shares: of the squared error, one for each mode.
        squares_allowed: greatest sum of squared differences.
    """
    factors, core, spare = [], tensor, 0.0
    for mode, share in enumerate(shares):
        matrix = np.moveaxis(core, mode, 0).reshape(core.shape[mode], -1)
        spare += share * squares_allowed
        factor = left_basis(matrix, spare)
        projected = factor.T @ matrix
        lost = float(np.vdot(matrix, matrix)) - float(np.vdot(projected, projected))
        spare = max(0.0, spare - max(0.0, lost))
        others = tuple(length for place, length in enumerate(core.shape) if place != mode)
        core = np.moveaxis(projected.reshape(factor.shape[1], *others), 0, mode)
        factors.append(factor)
    return (*factors, np.ascontiguousarray(core))


def reconstruct(cores: Cores) -> Array:
    """Return the tensor of factors and core."""
    tensor = cores[-1]
    for mode, factor in enumerate(cores[:-1]):
        tensor = np.moveaxis(np.tensordot(factor, tensor, axes=(1, mode)), 0, mode)
    return np.ascontiguousarray(tensor)
