"""How do floats become multiples of a step, coded by their frequency, with an error that is never over a limit?

Weights of a trained network look like white noise with a bell-shaped distribution, and for such a source a uniform
quantiser with an entropy coder is within 0.254 bit of the best that any coder can do (Gish and Pierce 1968,
doi 10.1109/TIT.1968.1054193). A float that comes back with a greater error than the limit, in its own element type, is
stored as it is: so are NaN, infinities, and whatever lies out of reach of the step.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from data.schemas.tensor import Octets
from tasks.codecs.protocol import Around
from tasks.codecs.quantise_chunk import Groups, OnGrid, put_on_grid, read, restored, taken_off, values_of, written
from tasks.codecs.quantise_integers import REACH
from tasks.codecs.quantise_kernels import Floats

_ROOM = 0.75
"""Share of a step that the limit must be for multiples to stand for the mean of their cells, beside its middle."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """Multiples of one step, or where it is coarse the means of their cells, if the limit leaves room for that.

    Args:
        step: in the unit of the elements.
        limit: greatest absolute error of an element that is not stored as it is. A decoder needs no word of it; it is
            kept so that an archive says what was promised.
    """

    step: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
    limit: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
    kind: Literal["quantised"] = "quantised"
    version: Literal[1] = 1

    def encode(self, raw: Octets, around: Around) -> memoryview:
        """Return a quantised chunk; longer than ``raw`` where most elements are stored as they are.

        Raises:
            ValueError: the elements are no floats, or ``raw`` is no whole number of them.
        """
        return self.pack(self.on_grid(values_of(raw, around.dtype), around.dtype), raw, around)

    def decode(self, packed: Octets, around: Around, limit: int) -> memoryview:
        """Return the elements, each a multiple of the step or as it was.

        Raises:
            ValueError: no such chunk, or one of more than ``limit`` bytes.
        """
        chunk = read(packed, around, limit)
        groups = replace(self._groups(len(chunk.integers)), levels=chunk.levels)
        return restored(taken_off(chunk.integers, around.dtype, groups), chunk, around)

    def on_grid(self, values: Floats, dtype: str) -> OnGrid:
        """Return where floats, ``(elements,)``, of the element type ``dtype`` come to lie."""
        groups, limits = self._groups(len(values)), np.array([self.limit])
        return put_on_grid(values, dtype, groups, limits, REACH - 1, with_levels=self.limit > self.step * _ROOM)

    def pack(self, grid: OnGrid, raw: Octets, around: Around) -> memoryview:
        """Return the chunk of what :meth:`on_grid` returned for ``raw``."""
        return written(grid, raw, around)

    def _groups(self, elements: int) -> Groups:
        return Groups(np.array([self.step]), elements, elements)
