"""What is done with a tensor on its way into an archive?

A policy looks at each tensor once and chooses a treatment; the treatment packs its chunks one by one, on any thread.
Both are functions of what they are given and nothing else, so that an archive is the same bytes every time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from data.schemas.tensor import Octets, Tensor
from tasks.codecs.chain import Chain
from tasks.codecs.index import BoundMode
from tasks.codecs.protocol import Around
from tasks.codecs.recipe import Recipe


@dataclass(frozen=True, slots=True, eq=False)
class Loss:
    """What was lost of a chunk: sums over its finite elements, which add up over the chunks of a tensor.

    Args:
        max_abs: greatest absolute difference.
        squares: sum of the squared differences.
        energy: sum of the squared elements.
        elements: finite elements.
        exact: elements that are stored as they are.
    """

    max_abs: float
    squares: float
    energy: float
    elements: int
    exact: int


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """A chunk as it goes to disk.

    Args:
        chain: what encoded it.
        octets: the bytes in the archive.
        restored: what they decode to, where that is not the raw chunk.
        loss: what was lost then.
    """

    chain: Chain
    octets: Octets
    restored: Octets | None = None
    loss: Loss | None = None


class ByChunk(Protocol):
    """Packs a tensor chunk by chunk."""

    def pack(self, raw: Octets, around: Around) -> Packed:
        """Return the chunk as it goes to disk, never longer than ``raw``; called from several threads."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """A tensor in another form altogether, made when its treatment was chosen.

    Args:
        recipe: how the tensor is made from the content.
        content: ``(content_bytes,)``; its chunks are packed without loss, as bytes.
        loss: what was lost of the tensor.
    """

    recipe: Recipe
    content: npt.NDArray[np.uint8]
    loss: Loss


@dataclass(frozen=True, slots=True, eq=False)
class Treatment:
    """What a policy chose for a tensor.

    Args:
        form: chunk by chunk, or as a whole.
        delta: whether chunks get the base's chunks beside them; only where there is a base.
        bound: the promise that a lossy treatment makes; None where nothing is lost.
    """

    form: ByChunk | Whole
    delta: bool = False
    bound: tuple[BoundMode, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BaseTensor:
    """The tensor of the same name, type and shape in the base archive.

    Args:
        piece_bytes: raw bytes of its chunks, which ours shall have too.
        history: returns a chunk's raw bytes, by number, and after them what it is a difference to in turn, if it is.
    """

    piece_bytes: int
    history: Callable[[int], tuple[Octets, ...]]


Policy = Callable[[Tensor, BaseTensor | None], Treatment]
"""Chooses the treatment of a tensor."""
