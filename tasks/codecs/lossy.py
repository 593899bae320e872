"""How much may be lost of a tensor, and which treatment keeps that promise?

A policy is asked for in words: ``exact``, ``rms:0.01`` (error of the tensor over its size, both root mean squares),
``abs:1e-3`` (every element, in its own unit), ``int8`` (a step for each channel, a row of the first dimension) or
``int4`` (a step for each 64 elements). What the bound cannot hold is stored as it is, and so are tensors of whole
numbers, small ones, and those that are named.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from data.schemas.tensor import ELEMENT_TYPES, Octets, Tensor
from tasks.codecs.index import CHUNK_BYTES
from tasks.codecs.lossless import Lossless, lossless
from tasks.codecs.protocol import Around
from tasks.codecs.quantise import Quantised
from tasks.codecs.quantise_chunk import QUANTISABLE, expected, values_of
from tasks.codecs.quantise_groups import QuantisedGroups, bound_of
from tasks.codecs.quantise_kernels import Floats, losses
from tasks.codecs.treatment import BaseTensor, Loss, Packed, Policy, Treatment

SMALLEST = 1024
"""Elements of the smallest tensor that is quantised: biases and norms are cheap to keep, and networks need them."""

INT4_GROUP = 64
ABSOLUTE_MAX = 1e100
"""Greatest absolute bound, whose square is still a number."""

_ROUNDS = 12
_NEAR = 0.998
_EXACT_BITS = 26.0  # of an element of 16 bits that is stored as it is: itself, its place, and a 0 in its stead
_LOSSLESS_FROM = 0.5  # share of the raw bytes from which it is worth a try to pack them without loss


def policy(text: str, keep: Collection[str] = (), exact: Policy | None = None) -> Policy:
    """Return the policy that ``text`` asks for.

    Args:
        text: ``exact``, ``rms:RATIO``, ``abs:BOUND``, ``int8`` or ``int4``.
        keep: names of tensors that stay exact, with ``*`` for any letters.
        exact: what is done with tensors that stay exact; by default :func:`tasks.codecs.lossless.lossless`.

    Raises:
        ValueError: another text, or a bound that is not positive; a ratio must be below 1.
    """
    every_bit = lossless() if exact is None else exact
    if text == "exact":
        return every_bit
    return _Lossy(_treatment(text), tuple(keep), every_bit)


def by_tensor(relative_rms: Mapping[str, float], exact: Policy | None = None) -> Policy:
    """Return the policy that gives each tensor a bound of its own; tensors without one stay exact.

    Args:
        relative_rms: bound of each tensor by its name, as of ``rms:``.
        exact: as of :func:`policy`.

    Raises:
        ValueError: a bound that is not above 0 and below 1.
    """
    for name, bound in relative_rms.items():
        if not 0.0 < bound < 1.0:
            raise ValueError(f"{name}: expected a relative RMS error between 0 and 1, found {bound}")

    def treat(tensor: Tensor) -> Treatment | None:
        bound = relative_rms.get(tensor.name)
        return None if bound is None else _relative_rms(tensor, bound)

    return _Lossy(treat, (), lossless() if exact is None else exact)


def one_bound(tensors: Collection[Tensor], relative_rms: float) -> float:
    """Return the absolute bound under which a checkpoint as a whole has a given error; for ``abs:``.

    One step for all tensors gives each as many bits as its size deserves, and is best for the error of the whole.

    Args:
        tensors: of the checkpoint; those that ``abs:`` leaves alone lose nothing and do not count.
        relative_rms: root mean square of the error over that of the elements, between 0 and 1.

    Raises:
        ValueError: no element differs from 0, or their squares are no numbers.
    """
    counted = [tensor for tensor in tensors if _may_lose(tensor)]
    step = _step(counted, relative_rms, lambda step: Quantised(step, step / 2.0))
    if step is None:
        raise ValueError("expected a tensor of floats that differ from 0, and whose squares are numbers, found none")
    return step / 2.0


def relative_rms_step(tensor: Tensor, bound: float) -> float | None:
    """Return the greatest step found whose error, measured over the whole tensor, is within the bound.

    Args:
        tensor: of floats.
        bound: root mean square of the error over that of the elements, between 0 and 1.

    Returns:
        The step, in the unit of the elements; None where no element differs from 0, or their squares are no numbers.
    """
    return _step((tensor,), bound, _relative)


def _step(tensors: Collection[Tensor], bound: float, codec: Callable[[float], Quantised]) -> float | None:
    """Return a step for all tensors.

    The error of fine steps is step / sqrt(12) (Bennett 1948, doi 10.1002/j.1538-7305.1948.tb01340.x). From there the
    step is corrected by what is measured: three passes over most tensors.
    """
    whole = _sum(_measured(tensor, None) for tensor in tensors)
    if whole.energy == 0.0 or not math.isfinite(whole.energy):
        return None
    allowed = bound * bound * whole.energy * (1.0 - 1e-9)
    step = bound * math.sqrt(12.0 * whole.energy / whole.elements)
    best = None
    for _ in range(_ROUNDS):
        if not 0.0 < step < math.inf:
            break
        squares = _sum(_measured(tensor, codec(step)) for tensor in tensors).squares
        if squares <= allowed and (best is None or step > best):
            best = step
        if _NEAR * allowed <= squares <= allowed:
            break
        step *= min(2.0, math.sqrt((1.0 - 5e-4) * allowed / squares)) if squares else 2.0
    return best


def _may_lose(tensor: Tensor) -> bool:
    return tensor.dtype in QUANTISABLE and math.prod(tensor.shape) >= SMALLEST


@dataclass(frozen=True, slots=True, eq=False)
class _Lossy:
    """Asks ``treat`` about a tensor, and keeps every bit of those that it has no treatment for, or must not have."""

    treat: Callable[[Tensor], Treatment | None]
    keep: tuple[str, ...]
    exact: Policy

    def __call__(self, tensor: Tensor, base: BaseTensor | None) -> Treatment:
        kept = any(fnmatchcase(tensor.name, pattern) for pattern in self.keep)
        treatment = None
        if not kept and _may_lose(tensor):
            treatment = self.treat(tensor)
        return self.exact(tensor, base) if treatment is None else treatment


@dataclass(frozen=True, slots=True, eq=False)
class _Quantise:
    """Packs chunks with a codec; those that it does not make smaller than a lossless chain lose nothing."""

    codec_for: Callable[[Around], Quantised | QuantisedGroups]

    def pack(self, raw: Octets, around: Around) -> Packed:
        """Return the chunk as it goes to disk (:class:`tasks.codecs.treatment.ByChunk`)."""
        codec = self.codec_for(around)
        values = values_of(raw, around.dtype)
        grid = codec.on_grid(values, around.dtype)
        octets = codec.pack(grid, raw, around)
        if len(octets) > _LOSSLESS_FROM * len(raw):
            lossless = Lossless().pack(raw, around)
            if len(lossless.octets) <= len(octets):
                return Packed(lossless.chain, lossless.octets, None, _loss(values, values, len(values)))
        restored = codec.decode(octets, around, len(raw))
        if restored != expected(grid, raw, around):
            raise ValueError(f"{codec}: expected a chunk to come back as it was rounded, found another")
        return Packed((codec,), octets, restored, _loss(values, grid.back, grid.exact))


def _treatment(text: str) -> Callable[[Tensor], Treatment | None]:
    """Return what :func:`policy` asks about each tensor."""
    if text in ("int8", "int4"):
        return _int8 if text == "int8" else _int4
    kind, _, value = text.partition(":")
    try:
        bound = float(value)
    except ValueError:
        bound = math.nan
    if kind == "rms" and 0.0 < bound < 1.0:
        return lambda tensor: _relative_rms(tensor, bound)
    if kind == "abs" and 0.0 < bound <= ABSOLUTE_MAX:
        return lambda tensor: _absolute(tensor, bound)
    raise ValueError(f"expected exact, rms:RATIO below 1, abs:BOUND, int8 or int4, found {text!r}")


def _relative_rms(tensor: Tensor, bound: float) -> Treatment | None:
    step = relative_rms_step(tensor, bound)
    if step is None:
        return None
    codec = _relative(step)
    return Treatment(_Quantise(lambda _around: codec), bound=("relative_rms", bound))


def _relative(step: float) -> Quantised:
    """Return the codec whose elements count for their squares, so that only what is off by a step is exact."""
    return Quantised(step, step)


def _absolute(tensor: Tensor, bound: float) -> Treatment:
    """Return the treatment under an absolute bound.

    Elements of 16 bits may lie coarser than the step, and rounding to them goes over the bound where the grid is not
    part of theirs. A power of two makes it so, and is taken if that saves more than it costs.
    """
    codec = Quantised(2.0 * bound, bound)
    if ELEMENT_TYPES[tensor.dtype].word_bytes == 2:
        power = 2.0 ** math.floor(math.log2(2.0 * bound))
        lost = _measured(tensor, codec)
        if lost.exact * _EXACT_BITS > lost.elements * math.log2(2.0 * bound / power):
            codec = Quantised(power, bound)
    return Treatment(_Quantise(lambda _around: codec), bound=("absolute", bound))


def _int8(tensor: Tensor) -> Treatment:
    channel = math.prod(tensor.shape[1:] if len(tensor.shape) > 1 else tensor.shape)

    def codec_for(around: Around) -> QuantisedGroups:
        return QuantisedGroups(8, channel, channel - around.first % channel)

    return Treatment(_Quantise(codec_for), bound=("int8_channel", bound_of(8, tensor.dtype)))


def _int4(tensor: Tensor) -> Treatment:
    codec = QuantisedGroups(4, INT4_GROUP, INT4_GROUP)
    return Treatment(_Quantise(lambda _around: codec), bound=("int4_group", bound_of(4, tensor.dtype)))


def _measured(tensor: Tensor, codec: Quantised | None) -> Loss:
    """Return what a tensor would lose; nothing without a codec."""

    def by_chunk() -> Iterator[Loss]:
        for piece in tensor.pieces(CHUNK_BYTES):
            values = values_of(piece, tensor.dtype)
            grid = None if codec is None else codec.on_grid(values, tensor.dtype)
            yield _loss(values, values, 0) if grid is None else _loss(values, grid.back, grid.exact)

    return _sum(by_chunk())


def _sum(losses: Iterable[Loss]) -> Loss:
    parts = tuple(losses)
    return Loss(
        max((loss.max_abs for loss in parts), default=0.0),
        math.fsum(loss.squares for loss in parts),
        math.fsum(loss.energy for loss in parts),
        sum(loss.elements for loss in parts),
        sum(loss.exact for loss in parts),
    )


def _loss(values: Floats, back: Floats, exact: int) -> Loss:
    """Measure what was lost between ``values`` and what they come back as, ``(elements,)`` both."""
    sums = np.empty(3)
    finite = losses(values, back, sums)
    return Loss(float(sums[0]), float(sums[1]), float(sums[2]), finite, exact)
