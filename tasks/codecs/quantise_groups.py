"""How do floats become integers of 8 or 4 bits, with a step for each channel or each small group?

The formats that inference uses: the step of a group is its greatest magnitude over 127 or 7 (Dettmers et al. 2022,
arXiv:2208.07339; Frantar et al. 2023, arXiv:2210.17323). Here the integers are coded by their frequency too, and the
steps with them, so that a chunk is read without its neighbours.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from data.schemas.tensor import Octets
from tasks.codecs.protocol import Around
from tasks.codecs.quantise_chunk import (
    Groups,
    OnGrid,
    put_on_grid,
    read,
    restored,
    taken_off,
    unwritable,
    values_of,
    written,
)
from tasks.codecs.quantise_integers import INTEGER_BYTES_MAX, RUN_BYTES_MAX, Integers
from tasks.codecs.quantise_kernels import COUNT_BYTES, Each, Floats, greatest, read_integers, write_integers

Elements = Annotated[int, Field(ge=1, lt=2**62)]

TOPS = {8: 127, 4: 7}
"""Greatest integer of so many bits; the least is its opposite."""

_DROPPED_BITS = {8: 7, 4: 15}
"""Low bits of a step's float32 that are not kept: steps of small groups are many, and are kept less precisely."""

_ROUNDING = {"F16": 2.0**-11, "BF16": 2.0**-8, "F32": 2.0**-24, "F64": 2.0**-53}
"""Greatest relative error of rounding to an element type."""


def bound_of(bits: int, dtype: str) -> float:
    """Return the greatest error of an element as a share of the greatest magnitude in its group.

    Half a step, a little more since steps are rounded up, and the rounding to the element type: an element of a larger
    error is stored as it is.
    """
    return (1 + 2.0 ** (_DROPPED_BITS[bits] - 23)) / (2 * TOPS[bits]) + _ROUNDING[dtype]


@dataclass(frozen=True, slots=True)
class QuantisedGroups:
    """The length of the steps' run (uint32), that run, and a quantised chunk.

    Args:
        bits: of an integer before it is coded: 8 or 4.
        group: elements that share a step.
        first: elements of the group that the chunk begins within; as many as ``group`` where it begins with one.
    """

    bits: Literal[8, 4]
    group: Elements
    first: Elements
    kind: Literal["quantised_groups"] = "quantised_groups"
    version: Literal[1] = 1

    def encode(self, raw: Octets, around: Around) -> memoryview:
        """Return a quantised chunk with its steps; longer than ``raw`` where most elements are stored as they are.

        Raises:
            ValueError: the elements are no floats, or ``raw`` is no whole number of them.
        """
        return self.pack(self.on_grid(values_of(raw, around.dtype), around.dtype), raw, around)

    def decode(self, packed: Octets, around: Around, limit: int) -> memoryview:
        """Return the elements, each a multiple of its group's step or as it was.

        Raises:
            ValueError: no such chunk, or one of more than ``limit`` bytes.
        """
        end = COUNT_BYTES + int.from_bytes(packed[:COUNT_BYTES], "little")
        chunk = read(packed[end:], around, limit)
        rounded = np.empty(self._count(len(chunk.integers)), dtype=np.int32)
        if len(rounded) and not read_integers(unwritable(packed[COUNT_BYTES:end]), rounded):
            raise ValueError(f"expected the steps of {len(rounded)} groups, found others")
        return restored(taken_off(chunk.integers, around.dtype, self._groups(rounded)), chunk, around)

    def on_grid(self, values: Floats, dtype: str) -> OnGrid:
        """Return where floats, ``(elements,)``, of the element type ``dtype`` come to lie."""
        tops = np.empty(self._count(len(values)))
        greatest(values, self.first, self.group, tops)
        groups = self._groups(self._rounded(tops / TOPS[self.bits]))
        return put_on_grid(values, dtype, groups, tops * bound_of(self.bits, dtype), TOPS[self.bits])

    def pack(self, grid: OnGrid, raw: Octets, around: Around) -> memoryview:
        """Return the chunk of what :meth:`on_grid` returned for ``raw``."""
        rounded = self._rounded(grid.groups.steps)
        run = np.empty(INTEGER_BYTES_MAX * len(rounded) + RUN_BYTES_MAX, dtype=np.uint8)
        length = write_integers(rounded, run) if len(rounded) else 0
        head = length.to_bytes(COUNT_BYTES, "little") + run[:length].tobytes()
        return memoryview(head + written(grid, raw, around))

    def _count(self, elements: int) -> int:
        """Return how many groups a chunk touches."""
        return 0 if elements == 0 else 1 + -(-max(0, elements - self.first) // self.group)

    def _rounded(self, steps: Each) -> Integers:
        """Return the top bits of steps, rounded up, ``(groups,)``; steps that they make come back as they are."""
        with np.errstate(over="ignore"):  # a step beyond float32 is infinite, and its elements are stored exactly
            bits = steps.astype(np.float32).view(np.uint32)
        dropped = _DROPPED_BITS[self.bits]
        return ((bits + np.uint32((1 << dropped) - 1)) >> np.uint32(dropped)).astype(np.int32)

    def _groups(self, rounded: Integers) -> Groups:
        bits = rounded.astype(np.uint32) << np.uint32(_DROPPED_BITS[self.bits])
        return Groups(bits.view(np.float32).astype(np.float64), self.first, self.group)
