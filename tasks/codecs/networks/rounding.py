"""How are the cores of a network rounded, one after the other, so that each makes up for the ones before it?"""

import math

import numpy as np

from tasks.codecs.networks import scaled
from tasks.codecs.networks.coder import Integers
from tasks.codecs.networks.trains import Array, Cores, solved

Rounded = tuple[tuple[Integers, ...], tuple[Integers, ...]]
"""Cores as integers, and the sizes of the columns that were kept."""


def round_cores(kind: str, cores: Cores, sizes: tuple[Integers, ...], fineness: int) -> Rounded:
    """Return the cores in steps, without the columns that round to nothing.

    Args:
        kind: tt, tucker or cp.
        cores: in canonical form, of norm 1.
        sizes: of each bond, mode or the terms, in half octaves below 1.
        fineness: of the common step (:func:`tasks.codecs.networks.scaled.steps`).
    """
    steps = [scaled.steps(kind, place, len(cores), sizes, fineness) for place in range(len(cores))]
    return {"tt": _round_train, "tucker": _round_tucker, "cp": _round_sum}[kind](cores, sizes, steps)


def _round_train(cores: Cores, sizes: tuple[Integers, ...], steps: list[Array]) -> Rounded:
    integers: list[Integers] = []
    kept: list[Integers] = []
    core = cores[0]
    for place in range(len(cores) - 1):
        whole = np.rint(core / steps[place]).astype(np.int64)
        alive = _alive(np.abs(whole).max(axis=(0, 1)))
        integers.append(whole[:, :, alive])
        kept.append(sizes[place][alive])
        rows = core.shape[0] * core.shape[1]
        near = (integers[-1] * steps[place][alive]).reshape(rows, -1)
        core = np.tensordot(solved(near, core.reshape(rows, -1), 1e-12), cores[place + 1], axes=(1, 0))
    integers.append(np.rint(core / steps[-1]).astype(np.int64))
    for place in range(len(cores) - 1, 0, -1):  # a row of zeros frees the column that leads to it
        alive = _alive(np.abs(integers[place]).max(axis=(1, 2)))
        integers[place], integers[place - 1] = integers[place][alive], integers[place - 1][:, :, alive]
        kept[place - 1] = kept[place - 1][alive]
    return tuple(integers), tuple(kept)


def _round_tucker(cores: Cores, sizes: tuple[Integers, ...], steps: list[Array]) -> Rounded:
    integers: list[Integers] = []
    kept: list[Integers] = []
    core = cores[-1]
    for mode, factor in enumerate(cores[:-1]):
        whole = np.rint(factor / steps[mode]).astype(np.int64)
        alive = _alive(np.abs(whole).max(axis=0))
        integers.append(whole[:, alive])
        kept.append(sizes[mode][alive])
        left = solved(integers[-1] * steps[mode][alive], factor, 1e-12)
        core = np.moveaxis(np.tensordot(left, core, axes=(1, mode)), 0, mode)
    whole = np.rint(core / steps[-1]).astype(np.int64)
    for mode in range(len(kept)):
        alive = _alive(np.abs(whole).max(axis=tuple(other for other in range(whole.ndim) if other != mode)))
        whole = np.compress(alive, whole, axis=mode)
        integers[mode], kept[mode] = integers[mode][:, alive], kept[mode][alive]
    return (*integers, np.ascontiguousarray(whole)), tuple(kept)


def _round_sum(cores: Cores, sizes: tuple[Integers, ...], steps: list[Array]) -> Rounded:
    others = [np.rint(factor / step).astype(np.int64) for factor, step in zip(cores[1:], steps[1:], strict=True)]
    alive = np.ones(cores[0].shape[1], dtype=np.int64)
    for whole in others:
        alive *= np.abs(whole).max(axis=0) > 0
    among = _alive(alive)
    near = [whole[:, among] * step[among] for whole, step in zip(others, steps[1:], strict=True)]
    count = int(np.count_nonzero(among))
    gram = math.prod([factor.T @ factor for factor in near], start=np.ones((count, count)))
    pairs = zip(near, cores[1:], strict=True)
    cross = math.prod([factor.T @ one for factor, one in pairs], start=np.ones((count, len(alive))))
    first = np.rint(solved(gram, cross @ cores[0].T, 1e-12).T / steps[0][among]).astype(np.int64)
    used = _alive(np.abs(first).max(axis=0))
    return (first[:, used], *(whole[:, among][:, used] for whole in others)), (sizes[0][among][used],)


def _alive(greatest: Integers) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which columns hold anything, ``(columns,)``; the first one always stays."""
    alive = greatest > 0
    if not alive.any():
        alive[0] = True
    return alive
