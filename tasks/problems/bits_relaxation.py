"""How small could a choice of steps be if a tensor could be split between two of them?

The linear relaxation of the multiple-choice knapsack problem, solved by HiGHS. A basic solution splits at most as many
tensors as there are measures (Sinha and Zoltners 1979, doi 10.1287/opre.27.3.503); those take the finer of their steps.
The prices that it puts on a share of what may be lost give the Lagrangian bound, which holds at any prices.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.optimize import linprog

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

SAFE = 1e-9
"""By which part the bound is lowered: more than rounding can have raised it."""


NEAR = 8
"""Steps of a tensor that are tried."""


@dataclass(frozen=True, slots=True, eq=False)
class Relaxed:
    """What the relaxation says.

    Args:
        bound: bytes that no choice is below; 0 where the relaxation was not solved.
        price: bytes that a whole share of each measure is worth, ``(measures,)``.
        priced: bytes of each step, with what it loses at these prices, ``(tensors, steps)``.
        near: the :data:`NEAR` steps of each tensor that cost the least so, ``(tensors, near)``: an optimum is hardly
            ever elsewhere (its core: Pisinger 1995, doi 10.1016/0377-2217(95)00015-I).
        step_of: a choice near the relaxation's, ``(tensors,)``.
    """

    bound: float
    price: Floats
    priced: Floats
    near: Integers
    step_of: Integers


def relaxed(size_bytes: Floats, share: Floats) -> Relaxed:
    """Solve the relaxation.

    Args:
        size_bytes: ``(tensors, steps)``; infinite where a tensor has fewer.
        share: of what each measure may lose, ``(measures, tensors, steps)``.
    """
    tensors, steps = size_bytes.shape
    there = np.flatnonzero(np.isfinite(size_bytes).ravel())
    sizes = size_bytes.ravel()[there]
    unit = float(sizes.max()) or 1.0
    group = there // steps
    one_each = sparse.csr_array((np.ones(there.size), (group, np.arange(there.size))), shape=(tensors, there.size))
    shares = share.reshape(len(share), -1)[:, there]
    found = linprog(
        sizes / unit, shares, np.ones(len(share)), one_each, np.ones(tensors), bounds=(0.0, None), method="highs"
    )
    if found.status != 0:
        finest = np.where(np.isfinite(size_bytes), share.sum(axis=0), np.inf).argmin(axis=1)
        return Relaxed(0.0, np.zeros(len(share)), size_bytes, _near(size_bytes), finest)
    price = np.maximum(0.0, -np.asarray(found.ineqlin.marginals)) * unit
    priced = size_bytes + np.tensordot(price, share, axes=1)
    bound = float(priced.min(axis=1).sum() - price.sum())
    part = np.zeros(tensors * steps)
    part[there] = found.x
    taken = part.reshape(tensors, steps) > SAFE
    return Relaxed(
        max(0.0, bound - SAFE * abs(bound)),
        price,
        priced,
        _near(priced),
        np.where(taken, share.sum(axis=0), np.inf).argmin(axis=1).astype(np.int64),
    )


def _near(priced: Floats) -> Integers:
    return np.argsort(priced, axis=1, kind="stable")[:, :NEAR].astype(np.int64)
