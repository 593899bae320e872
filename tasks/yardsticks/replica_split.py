"""How well can a fixed map be balanced by splitting tokens unevenly over the replicas? A linear programme by layer.

The idea of DeepSeek's LPLB (2025), solved by HiGHS (Huangfu and Hall 2018, doi 10.1007/s12532-017-0130-5): minimise
the load of the fullest rank over all ways to share an expert's tokens among its slots. Solved for the loads of the
window itself it is what a dispatcher could reach at best; solved for past loads it is a plan that has to last.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog
from scipy.sparse import coo_array

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def lp_split(loads: Floats, placement: Integers, ranks: int) -> Floats:
    """Return the share of its expert's tokens that each slot takes, ``(layers, slots)``.

    Args:
        loads: tokens per expert, ``(layers, experts)``, or of several windows, ``(windows, layers, experts)``, of
            which the sum of the fullest ranks' shares is minimised.
        placement: expert in each slot, ``(layers, slots)``; each expert has one.
        ranks: rank ``r`` holds slots ``r * slots / ranks ...``.

    Raises:
        ValueError: HiGHS found no answer.
    """
    windows = loads if loads.ndim == 3 else loads[None]
    return np.stack([_layer(windows[:, layer], row, ranks) for layer, row in enumerate(placement)])


def split_loads(loads: Floats, placement: Integers, shares: Floats, ranks: int) -> Floats:
    """Return the tokens of each rank, ``(layers, ranks)``, where slots take ``shares`` of ``loads``."""
    tokens = np.take_along_axis(loads, placement, axis=1) * shares
    return np.asarray(tokens.reshape(len(loads), ranks, -1).sum(axis=2))


def even_shares(placement: Integers, experts: int) -> Floats:
    """Return the shares of replicas that all take the same, ``(layers, slots)``."""
    counts = np.stack([np.bincount(row, minlength=experts) for row in placement])
    return np.asarray(1.0 / np.take_along_axis(counts, placement, axis=1))


def balance(rank_loads: Floats) -> float:
    """Return the sum over layers of the mean load of a rank / the sum of the largest; 1 without load."""
    largest = float(rank_loads.max(axis=1).sum())
    return float(rank_loads.mean(axis=1).sum()) / largest if largest > 0.0 else 1.0


def _layer(windows: Floats, row: Integers, ranks: int) -> Floats:
    """Return the shares of one layer, ``(slots,)``; ``windows`` is ``(windows, experts)``."""
    experts, slots = windows.shape[1], row.size
    windows = windows[windows.sum(axis=1) > 0.0]
    if not len(windows):
        return np.asarray(1.0 / np.bincount(row, minlength=experts)[row])
    count = len(windows)
    weight = windows * (ranks / windows.sum(axis=1, keepdims=True))  # a balanced rank holds 1
    slot = np.tile(np.arange(slots), count)
    window = np.repeat(np.arange(count), slots)
    above = coo_array(
        (
            np.concatenate([weight[:, row].ravel(), np.full(count * ranks, -1.0)]),
            (
                np.concatenate([window * ranks + slot // (slots // ranks), np.arange(count * ranks)]),
                np.concatenate([slot, slots + np.repeat(np.arange(count), ranks)]),
            ),
        ),
        shape=(count * ranks, slots + count),
    )
    whole = coo_array((np.ones(slots), (row, np.arange(slots))), shape=(experts, slots + count))
    cost = np.concatenate([np.zeros(slots), np.ones(count)])
    found = linprog(
        cost,
        A_ub=above.tocsr(),
        b_ub=np.zeros(count * ranks),
        A_eq=whole.tocsr(),
        b_eq=np.ones(experts),
        method="highs",
    )
    if found.x is None:
        raise ValueError(f"expected a split of {slots} slots over {ranks} ranks, HiGHS says: {found.message}")
    shares = np.clip(found.x[:slots], 0.0, None)
    return np.asarray(shares / np.bincount(row, weights=shares, minlength=experts)[row])
