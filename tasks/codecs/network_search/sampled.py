"""How is a tensor compressed that is known by its elements only, and far too large to hold?

Fibres at random places give a basis for each mode; the core then follows from the elements at as many interpolation
points as the bases have columns (Q-DEIM: Drmac and Gugercin 2016, doi 10.1137/15M1019271). Half of the fibres stand
near the first places, where many functions are steepest. Nothing guarantees the error: it is measured on random
elements afterwards.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.linalg import qr

from tasks.codecs.network_search.spectra import Array, Compressed

Places = npt.NDArray[np.int64]
Elements = Callable[[Places], Array]
"""Returns the elements at places, ``(places, modes) -> (places,)``."""


def sampled(
    elements: Elements, shape: tuple[int, ...], relative_error: float, rng: np.random.Generator, fibres: int = 400
) -> Compressed:
    """Return a tensor as factors and core, from a few of its elements.

    Args:
        elements: of the tensor.
        shape: of the tensor.
        relative_error: of each basis on the sampled fibres.
        rng: places of the fibres.
        fibres: of each mode.
    """
    factors, points = [], []
    for mode, length in enumerate(shape):
        share = rng.random((fibres, len(shape)))
        share[::2] = (np.array(shape) ** share[::2] - 1.0) / np.array(shape)  # evenly over scales
        at = (share * np.array(shape)).astype(np.int64)
        places = np.repeat(at, length, axis=0)
        places[:, mode] = np.tile(np.arange(length), fibres)
        basis, values, _ = np.linalg.svd(elements(places).reshape(fibres, length).T, full_matrices=False)
        tails = np.cumsum(values[::-1] ** 2)[::-1]
        rank = max(1, int(np.count_nonzero(tails > relative_error**2 * tails[0])))
        factors.append(np.ascontiguousarray(basis[:, :rank]))
        points.append(np.sort(qr(basis[:, :rank].T, pivoting=True, mode="economic")[2][:rank]))
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*points, indexing="ij")], axis=1)
    core = elements(grid).reshape([len(point) for point in points])
    for mode, (factor, point) in enumerate(zip(factors, points, strict=True)):
        core = np.moveaxis(np.tensordot(np.linalg.inv(factor[point]), core, axes=(1, mode)), 0, mode)
    return Compressed(np.ascontiguousarray(core), tuple(factors), float(np.vdot(core, core)))
