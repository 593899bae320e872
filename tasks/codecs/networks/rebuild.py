"""How does a network become the bytes of its tensor without holding the tensor twice?

A network is cut in two at one of its bonds: rows of the left half times the right half are a block of the tensor, which
is rounded to the element type and put where it belongs, whatever the order of the modes. Beside the tensor's bytes
there are the two halves, as a rule far smaller, and one block.

Sums are taken in 64-bit numbers by whatever linear algebra the machine has, so that another machine may round one in
many elements to its neighbour; the measured error does not move by it.
"""

import math

import numpy as np
import numpy.typing as npt

from data.schemas.tensor import ELEMENT_TYPES
from tasks.codecs.networks.canonical import khatri_rao
from tasks.codecs.networks.form import Network
from tasks.codecs.networks.trains import Array
from tasks.codecs.quantise_chunk import octets_of

BLOCK_ELEMENTS = 1 << 21
"""Of a block: 16 MiB in 64-bit numbers."""

_GREATEST = {
    "F16": 65504.0,
    "BF16": float(np.finfo(np.float32).max) * (1.0 - 2.0**-9),
    "F32": float(np.finfo(np.float32).max),
    "F64": float(np.finfo(np.float64).max),
}


def tensor_octets(network: Network, dtype: str) -> npt.NDArray[np.uint8]:
    """Return the bytes of a network's tensor, row-major.

    Args:
        network: any.
        dtype: F16, BF16, F32 or F64.

    Raises:
        ValueError: an element is too large for its type.
    """
    form = network.form
    elements = math.prod(network.shape)
    words = np.empty(elements, dtype=f"<u{ELEMENT_TYPES[dtype].word_bytes}")
    placed = words.reshape(form.split_shape).transpose(form.permutation)
    left, right, cut = halves(network)
    split = sum(form.groups[:cut])
    rows, columns = form.permuted_shape[:split], form.permuted_shape[split:]
    at_once = max(1, BLOCK_ELEMENTS // max(1, right.shape[1]))
    for start in range(0, len(left), at_once):
        block = rounded(left[start : start + at_once] @ right, dtype)
        where = np.unravel_index(np.arange(start, min(start + at_once, len(left))), rows)
        placed[where] = block.view(words.dtype).reshape((-1, *columns))
    return words.view(np.uint8)


def rounded(values: Array, dtype: str) -> npt.NDArray[np.uint8]:
    """Return the bytes of values in their element type.

    Raises:
        ValueError: one is too large for it, or not finite.
    """
    greatest = _GREATEST[dtype]
    if not np.abs(values).max(initial=0.0) <= greatest:
        raise ValueError(f"network: expected elements of at most {greatest}, found larger ones")
    flat: npt.NDArray[np.float32] | Array = np.ravel(values)
    return octets_of(flat if dtype == "F64" else flat.astype(np.float32), dtype)


def halves(network: Network) -> tuple[Array, Array, int]:
    """Return a matrix of rows and one of columns whose product is the tensor, and how many modes the rows run over."""
    cores, modes = network.cores, network.form.modes
    if network.form.kind == "tucker":
        right = cores[-1]
        for mode in range(1, len(modes)):
            right = np.moveaxis(np.tensordot(cores[mode], right, axes=(1, mode)), 0, mode)
        return cores[0], right.reshape(cores[0].shape[1], -1), 1
    sides = [(math.prod(modes[:cut]) + math.prod(modes[cut:]), cut) for cut in range(1, len(modes) + 1)]
    if network.form.kind == "cp":
        cut = min(sides)[1]
        return khatri_rao(cores[:cut]), _columns(cores[cut:], cores[0].shape[1]), cut
    cut = min((side * cores[cut - 1].shape[2], cut) for side, cut in sides)[1]
    left = np.ones((1, 1))
    for core in cores[:cut]:
        left = (left @ core.reshape(core.shape[0], -1)).reshape(-1, core.shape[2])
    right = np.ones((1, 1))
    for core in reversed(cores[cut:]):
        right = (core.reshape(-1, core.shape[2]) @ right).reshape(core.shape[0], -1)
    return left, right, cut


def _columns(cores: tuple[Array, ...], rank: int) -> Array:
    """Return the right half of a CP network, ``(rank, columns)``."""
    return khatri_rao(cores).T if cores else np.ones((rank, 1))
