"""Is a tensor smaller with pruned channels, as a linear code of its blocks, or by its frequencies?

Each transform is tried under the bound on the error that the classical chain keeps too, both are packed, and the
smaller one is used. Trained weights are white, so the classical chain wins there; the linear code (block principal
components, Hotelling 1933, doi 10.1037/h0071325) wins on activations, frequencies on smooth tensors.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from data.schemas.tensor import ELEMENT_TYPES, Tensor
from tasks.codecs.alone import archive_bytes
from tasks.codecs.autoencoder_recipe import written_runs
from tasks.codecs.channel_dropout import Dropout, matrix_error, pruned
from tasks.codecs.index import CHUNK_BYTES
from tasks.codecs.quantise_chunk import values_of
from tasks.codecs.quantise_integers import REACH
from tasks.codecs.transformed_blocks import LENGTH_MAX, Floats, Transform, TransformedBlocks, frequencies
from tasks.codecs.treatment import BaseTensor, Loss, Policy, Treatment, Whole

ELEMENTS_MAX = 1 << 22
"""Largest tensor that is tried, as for the other trials."""

_FLOATS = ("F16", "BF16", "F32", "F64")
_SHARES = (0.1, 0.3, 0.6)  # of the allowed squared error that may go with what is left out
_STEPS = 6  # corrections of the step


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Both ways to write a tensor, under the same bound.

    Args:
        classical_bytes: of an archive that holds the tensor by the classical chain, and nothing else.
        transformed_bytes: of one that holds it transformed; 0 where that was not possible.
        transformed: the smallest transformed form.
        treatment: the smaller way.
    """

    classical_bytes: int
    transformed_bytes: int
    transformed: Whole | None
    treatment: Treatment


@dataclass(frozen=True, slots=True)
class TransformTrial:
    """A policy: a linear transform where it is smaller than the classical chain, else that chain.

    Args:
        classical: what it competes with, under the same bound.
        bound: greatest RMS of the error over the RMS of the tensor, between 0 and 1.
        transform: ``kept`` asks :class:`~tasks.codecs.channel_dropout.Dropout` which channels (last dimension) can go;
            ``linear`` keeps the leading principal components of blocks; ``fourier`` the lowest frequencies of blocks.
        length: elements of a block; ``kept`` takes the last dimension instead.
        seed: of the dropout.

    Raises:
        ValueError: the bound or the length is out of range.
    """

    classical: Policy
    bound: float
    transform: Transform
    length: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.bound < 1.0 or not 2 <= self.length <= LENGTH_MAX:
            raise ValueError(f"expected a bound between 0 and 1 and blocks of 2 to {LENGTH_MAX} elements, got {self}")
        if self.transform == "fourier" and self.length & (self.length - 1):
            raise ValueError(f"length: expected a power of two, got {self.length}")

    def __call__(self, tensor: Tensor, base: BaseTensor | None) -> Treatment:
        """Return the treatment of a tensor."""
        return self.tried(tensor, base).treatment

    def tried(self, tensor: Tensor, base: BaseTensor | None = None) -> Trial:
        """Write a tensor both ways, and say which is smaller."""
        treatment = self.classical(tensor, base)
        if treatment.delta:
            return Trial(0, 0, None, treatment)
        classical_bytes = archive_bytes(tensor, treatment)
        whole = self._smallest(tensor)
        if whole is None:
            return Trial(classical_bytes, 0, None, treatment)
        ours = Treatment(whole, bound=("relative_rms", self.bound))
        ours_bytes = archive_bytes(tensor, ours)
        return Trial(classical_bytes, ours_bytes, whole, ours if ours_bytes < classical_bytes else treatment)

    def _smallest(self, tensor: Tensor) -> Whole | None:
        elements = math.prod(tensor.shape)
        length = tensor.shape[-1] if self.transform == "kept" and tensor.shape else self.length
        if tensor.dtype not in _FLOATS or not 2 <= length <= min(elements, LENGTH_MAX) or elements > ELEMENTS_MAX:
            return None
        values = values_of(b"".join(tensor.pieces(CHUNK_BYTES)), tensor.dtype)
        energy = float((values.astype(np.float64) ** 2).sum())
        if not 0.0 < energy < math.inf:  # an element that is not finite makes the sum so
            return None
        blocks = np.zeros((-(-elements // length), length))
        blocks.reshape(-1)[:elements] = values
        allowed = self.bound**2 * energy
        head = TransformedBlocks(self.transform, tensor.dtype, length, 1, 1.0, True, 1)  # type: ignore[arg-type]  # one of _FLOATS
        found = []
        for share in _SHARES:
            content, latents = _left(self.transform, blocks, share * allowed, np.random.default_rng(self.seed))
            written = _written(replace(head, latents=len(latents)), content, latents, values, allowed)
            if written is not None:
                found.append(written)
        return min(found, key=lambda whole: whole.content.nbytes, default=None)


def _left(transform: Transform, blocks: Floats, squares: float, rng: np.random.Generator) -> tuple[bytes, Floats]:
    """Return what the transform needs, and its latents ``(latents, blocks)``; at most ``squares`` are left out."""
    if transform == "fourier":
        latents = frequencies(blocks)
        return b"", latents[: _count((latents**2).sum(axis=1), squares)]
    if transform == "kept":
        length = blocks.shape[1]
        error = matrix_error(blocks, np.eye(length))
        sensitivity = Dropout(samples=max(400, 6 * length))(error, length, rng)
        off = list(pruned(sensitivity, squares / float((blocks**2).sum())))
        places = np.setdiff1d(np.arange(length), off[: length - 1])
        bits = np.zeros(length, dtype=np.uint8)
        bits[places] = 1
        return np.packbits(bits, bitorder="little").tobytes(), np.ascontiguousarray(blocks[:, places].T)
    energies, directions = np.linalg.eigh(blocks.T @ blocks)
    encoder = directions[:, ::-1].T[: _count(energies[::-1], squares)]
    scales = (np.abs(encoder).max(axis=1) / 127.0).astype("<f4")
    levels = np.rint(encoder / scales[:, None]).astype(np.int8)
    return scales.tobytes() + levels.tobytes(), (levels * scales[:, None].astype(np.float64)) @ blocks.T


def _count(energies: Floats, squares: float) -> int:
    """Return how many leading energies there must be so that the rest is at most ``squares``; at least one."""
    rest = np.cumsum(energies[::-1])[::-1]
    return max(1, int((rest > squares).sum()))


def _written(
    head: TransformedBlocks, needed: bytes, latents: Floats, values: npt.NDArray[np.floating], allowed: float
) -> Whole | None:
    """Return the tensor with the greatest step found that keeps the bound, measured after it was decoded."""
    wide = values.astype(np.float64)
    step = math.sqrt(12.0 * allowed / wide.size)
    best = None
    raw_bytes = wide.size * ELEMENT_TYPES[head.dtype].word_bytes
    for _correction in range(_STEPS):
        multiples = np.rint(latents / step)
        if np.abs(multiples).max() >= REACH:
            return best
        whole = _packed(replace(head, step=step), needed, multiples.astype(np.int32))
        back = values_of(whole[0].rebuild(whole[1], raw_bytes).tobytes(), head.dtype)
        lost = wide - back
        squares = float((lost**2).sum())
        if squares <= allowed:
            loss = Loss(float(np.abs(lost).max()), squares, float((wide**2).sum()), wide.size, 0)
            if best is None or whole[1].nbytes < best.content.nbytes:
                best = Whole(*whole, loss)
            if squares > 0.995 * allowed:
                break
        step *= min(2.0, max(0.5, math.sqrt(0.999 * allowed / squares))) if squares else 2.0
    return best


def _packed(
    head: TransformedBlocks, needed: bytes, integers: npt.NDArray[np.int32]
) -> tuple[TransformedBlocks, npt.NDArray[np.uint8]]:
    runs = {each: written_runs(integers, each=each) for each in (True, False)}
    each = len(runs[True]) < len(runs[False])
    content = np.frombuffer(needed + runs[each], dtype=np.uint8)
    return replace(head, run_each=each, content_bytes=len(content)), content
