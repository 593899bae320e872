"""What stands before the cores of a network: its form, its ranks and the sizes of its columns, and are they sane?"""

import itertools
import math
from collections.abc import Iterable

import numpy as np

from tasks.codecs.networks.coder import SMALLEST, Integers, Reader, Writer
from tasks.codecs.networks.form import Kind, NetworkForm
from tasks.codecs.networks.scaled import FINENESS_MAX, SIZE_MAX

Shape = tuple[int, ...]

MODES_MAX = 60
"""Split modes of a form that is accepted: arrays take 64 dimensions."""

_KINDS: tuple[Kind, ...] = ("cp", "tucker", "tt", "qtt")
_LENGTHS, _ORDER, _RUNS, _RANKS, _SIZES, _OTHERS = range(6)
_MANTISSA = SMALLEST + 2 * 53
_LENGTH_MAX = 2**62
_SPARE = 4096
_FEW = 1 << 24
_MOST = 1 << 28  # 2 GiB of cores, where the tensor is never made


def parameters_max(elements: int) -> int:
    """Return how many numbers a network's cores may have, so that decoding takes memory in proportion to the tensor."""
    return min(2 * elements + _SPARE, max(elements // 2, _FEW), _MOST)


def put(writer: Writer, form: NetworkForm, shapes: list[Shape], norm: float, fineness: int) -> None:
    """Write a form, the shapes of its cores, and the scale of all."""
    mantissa, exponent = math.frexp(norm)
    _put(writer, _OTHERS, [_KINDS.index(form.kind), len(form.splits), 1100 + exponent, FINENESS_MAX + fineness])
    writer.put(np.array([int(mantissa * 2**53)]), np.array([_MANTISSA]))
    _put(writer, _LENGTHS, itertools.chain.from_iterable((len(factors), *factors) for factors in form.splits))
    left = list(range(len(form.permutation)))
    for place in form.permutation[:-1]:  # which of those that are left: small numbers where order is kept
        _put(writer, _ORDER, [left.index(place)])
        left.remove(place)
    _put(writer, _RUNS, _runs(form.groups))
    if form.kind in ("tt", "qtt"):
        ranks = [shape[2] for shape in shapes[:-1]]
    else:
        ranks = [shapes[0][1]] if form.kind == "cp" else list(shapes[-1])
    _put(writer, _RANKS, (rank - 1 for rank in ranks))


def take(reader: Reader, elements: int | None) -> tuple[NetworkForm, tuple[Shape, ...], float, int]:
    """Read what :func:`put` wrote.

    Args:
        reader: at its beginning.
        elements: how many the tensor must have; None for any number.

    Returns:
        The form, the shapes of its cores, the norm and the fineness of the common step.

    Raises:
        ValueError: it is no form, of another size, or has ranks that no decomposition gives.
    """
    kind, dimensions, exponent, fineness = _take(reader, _OTHERS, 4)
    mantissa = int(reader.take(np.array([_MANTISSA]))[0])
    _expect("kind", kind, len(_KINDS) - 1)
    _expect("dimensions", dimensions, MODES_MAX)
    _expect("exponent", exponent, 2123)
    _expect("fineness", fineness, 2 * FINENESS_MAX)
    splits: list[Shape] = []
    for _ in range(dimensions):
        count = _take(reader, _LENGTHS, 1)[0]
        _expect("split modes", count + sum(map(len, splits)), MODES_MAX)
        splits.append(tuple(_take(reader, _LENGTHS, count)))
    total = math.prod(itertools.chain.from_iterable(splits))
    if not 1 <= total <= _LENGTH_MAX or (elements is not None and total != elements):
        raise ValueError(f"network: expected {elements or 'some'} elements, found {total}")
    left = list(range(sum(map(len, splits))))
    order = []
    for _ in range(len(left) - 1):
        which = _take(reader, _ORDER, 1)[0]
        _expect("order", which, len(left) - 1)
        order.append(left.pop(which))
    groups = _take_runs(reader, len(order) + len(left))
    form = NetworkForm(_KINDS[kind], tuple(splits), tuple(order + left), groups)
    shapes = _take_shapes(reader, form)
    _expect("parameters", sum(map(math.prod, shapes)), parameters_max(total))
    return form, shapes, math.ldexp(mantissa / 2**53, exponent - 1100), fineness - FINENESS_MAX


def columns(kind: str, shapes: tuple[Shape, ...]) -> list[int]:
    """Return how many sizes there are for each bond (train), each mode (Tucker), or for the terms (CP)."""
    if kind == "cp":
        return [shapes[0][1]]
    return [shape[-1] for shape in shapes[:-1]]


def put_sizes(writer: Writer, sizes: Integers) -> None:
    """Write ascending half octaves."""
    _put(writer, _OTHERS, [int(sizes[0]) + SIZE_MAX])
    _put(writer, _SIZES, np.diff(sizes).tolist())


def take_sizes(reader: Reader, count: int) -> Integers:
    """Read what :func:`put_sizes` wrote.

    Raises:
        ValueError: they leave their range.
    """
    steps = np.array([*_take(reader, _OTHERS, 1), *_take(reader, _SIZES, count - 1)], dtype=np.int64)
    _expect("sizes", int(steps.max()), 2 * SIZE_MAX)  # before they are summed, lest the sum overflow
    sizes = np.cumsum(steps) - SIZE_MAX
    _expect("sizes", int(sizes[-1]), SIZE_MAX)
    return sizes


def _take_shapes(reader: Reader, form: NetworkForm) -> tuple[Shape, ...]:
    modes = form.modes
    if form.kind == "cp":
        rank = _take(reader, _RANKS, 1)[0] + 1
        return tuple((mode, rank) for mode in modes)
    if form.kind == "tucker":
        ranks = tuple(rank + 1 for rank in _take(reader, _RANKS, len(modes)))
        for rank, mode in zip(ranks, modes, strict=True):
            _expect("rank", rank, mode)
        return (*zip(modes, ranks, strict=True), ranks)
    ranks = (1, *(rank + 1 for rank in _take(reader, _RANKS, len(modes) - 1)), 1)
    for place in range(1, len(modes)):
        _expect("rank", ranks[place], min(math.prod(modes[:place]), math.prod(modes[place:])))
    return tuple(zip(ranks[:-1], modes, ranks[1:], strict=True))


def _runs(groups: Shape) -> list[int]:
    """Return groups as pairs: how long, and how many more of the same follow."""
    return [
        number
        for length, alike in itertools.groupby(groups)
        for number in (length, len(list(alike)) - 1)
    ]  # fmt: skip


def _take_runs(reader: Reader, total: int) -> Shape:
    groups: list[int] = []
    while sum(groups) < total:
        length, more = _take(reader, _RUNS, 2)
        _expect("groups", length * (more + 1) + sum(groups), total)
        _expect("groups", 1, length)
        groups += [length] * (more + 1)
    return tuple(groups)


def _put(writer: Writer, kind: int, numbers: Iterable[int]) -> None:
    values = np.array(list(numbers), dtype=np.int64)
    writer.put(values, np.full(len(values), kind))


def _take(reader: Reader, kind: int, count: int) -> list[int]:
    return [int(number) for number in reader.take(np.full(count, kind))]


def _expect(what: str, found: int, most: int) -> None:
    if found > most:
        raise ValueError(f"network, {what}: expected at most {most}, found {found}")
