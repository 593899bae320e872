"""How few bytes do the cores of a network take, within a given error?

Cores are brought to canonical form, rounded with a step in inverse proportion to the singular value of each bond column
(:mod:`tasks.codecs.networks.scaled`), and coded (:mod:`tasks.codecs.networks.coder`). After each core is rounded, the
next one is fitted anew to what the rounded ones can still express, which takes back much of the error; columns that
round to nothing are left out.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tasks.codecs.networks import layout, scaled
from tasks.codecs.networks.coder import Integers, Reader, Writer, classes_of
from tasks.codecs.networks.form import LEAST_ERROR, Network, NetworkForm
from tasks.codecs.networks.rounding import round_cores
from tasks.codecs.networks.scaled import FINENESS_MAX, STEPS_PER_OCTAVE
from tasks.codecs.networks.trains import Array, Cores

_SMALL = 1e-5
_NORMAL_BITS = 0.5 * math.log2(2.0 * math.pi * math.e)
_SEARCHED = 20_000
"""Parameters up to which more steps are tried, since they are few bytes and small gains show."""


@dataclass(frozen=True, slots=True, eq=False)
class QuantisedNetwork:
    """A network whose cores are integers times steps.

    Args:
        form: which network, without a budget, which no decoder needs.
        norm: of the tensor, about.
        fineness: sixteenths of an octave by which the common step lies below the norm.
        sizes: half octaves by which the singular values lie below the norm: of each bond (train), each mode (Tucker),
            or the weights of the terms (CP).
        integers: cores, as in :class:`tasks.codecs.networks.form.Network`, in steps.
    """

    form: NetworkForm
    norm: float
    fineness: int
    sizes: tuple[Integers, ...]
    integers: tuple[Integers, ...]

    def steps(self, place: int) -> Array:
        """Return the step of each column of a core, over the norm."""
        return scaled.steps(_kind(self.form), place, len(self.integers), self.sizes, self.fineness)

    def expected(self, place: int) -> Integers:
        """Return how large each entry of a core is expected to be, in half octaves, of the core's shape."""
        return scaled.expected(_kind(self.form), place, self.integers[place].shape, self.sizes, self.fineness)

    @property
    def network(self) -> Network:
        """The network that these integers stand for."""
        cores = [integers * self.steps(place) for place, integers in enumerate(self.integers)]
        carrying = 0 if self.form.kind == "cp" else -1
        cores[carrying] = cores[carrying] * self.norm
        return Network(tuple(cores), self.form, self.form.shape)


def _kind(form: NetworkForm) -> str:
    """Return the algebra of a form."""
    return "tt" if form.kind == "qtt" else form.kind


def quantise(network: Network, relative_error: float) -> QuantisedNetwork:
    """Return a network with as coarse cores as keep it within ``relative_error`` of the given one.

    Args:
        network: of any kind.
        relative_error: Frobenius norm of the difference over that of the network; measured on the networks.

    Raises:
        ValueError: the error is not within (1e-12, 1), or too small for the network's condition (CP, or Tucker of more
            than five modes: those are measured down to 1e-8 only).
    """
    if not LEAST_ERROR < relative_error < 1.0:
        raise ValueError(f"relative_error: expected more than {LEAST_ERROR} and less than 1, found {relative_error}")
    form = replace(network.form, budget=())
    kind = _kind(form)
    cores, values, norm = _canonical(kind, network.cores)
    if norm == 0.0:
        return _empty(form)
    sizes = tuple(scaled.sizes_of(value, 1.0) for value in values)

    def rounded(fineness: int) -> QuantisedNetwork:
        integers, kept = round_cores(kind, cores, sizes, fineness)
        return QuantisedNetwork(form, norm, fineness, kept, integers)

    def holds(fineness: int) -> bool:
        near = rounded(fineness).network.cores
        carrying = 0 if kind == "cp" else len(near) - 1
        near = tuple(core / norm if place == carrying else core for place, core in enumerate(near))
        return scaled.squared_distance(kind, cores, near, exact=relative_error < _SMALL) <= relative_error**2

    count = sum(core.size for core in cores)
    guess = math.log2(math.sqrt(count / 12.0) / relative_error) * STEPS_PER_OCTAVE
    fineness = _coarsest(holds, round(guess))
    if count <= _SEARCHED:  # rounding is no smooth business: a step or two coarser it may hold again
        fineness = min(filter(holds, range(fineness - STEPS_PER_OCTAVE // 2, fineness)), default=fineness)
    return rounded(fineness)


def estimated_bytes(network: Network, relative_error: float) -> float:
    """Return about how many bytes :func:`quantise` and :func:`to_bytes` would make, in a fraction of their time.

    Each number counts as drawn from a normal distribution of its expected size.
    """
    kind = _kind(network.form)
    cores, values, norm = _canonical(kind, network.cores)
    if norm == 0.0:
        return 0.0
    sizes = tuple(scaled.sizes_of(value, 1.0) for value in values)
    count = sum(core.size for core in cores)
    fineness = round(math.log2(math.sqrt(count / 12.0) / relative_error) * STEPS_PER_OCTAVE)
    bits = 0.0
    for place, core in enumerate(cores):
        octaves = scaled.expected(kind, place, core.shape, sizes, fineness) / 2.0
        bits += float(np.sum(np.maximum(octaves + _NORMAL_BITS, 0.0)))
    return bits / 8.0


def _coarsest(holds: Callable[[int], bool], guess: int) -> int:
    """Return the least fineness that holds, near ``guess``, where the next coarser one does not."""
    high, stride = guess, 4
    while not holds(high):
        high, stride = high + stride, 2 * stride
        if high > FINENESS_MAX:
            raise ValueError(
                "relative_error: expected one that the network's cores can be rounded to, found a smaller one"
            )
    low, stride = high - 4, 4
    while holds(low) and low > -STEPS_PER_OCTAVE:
        high, low, stride = low, low - stride, 2 * stride
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _canonical(kind: str, cores: Cores) -> tuple[Cores, tuple[Array, ...], float]:
    """Return cores of norm 1 in canonical form, their singular values, and the norm."""
    moved, values = {
        "tt": scaled.canonical_train,
        "tucker": scaled.canonical_tucker,
        "cp": scaled.canonical_sum,
    }[kind](cores)
    norm = scaled.norm(kind, moved)
    if norm > 0.0:
        carrying = 0 if kind == "cp" else len(moved) - 1
        moved = tuple(core / norm if place == carrying else core for place, core in enumerate(moved))
        values = tuple(value / norm for value in values)
    return moved, values, norm


def _empty(form: NetworkForm) -> QuantisedNetwork:
    """Return the network of a tensor that is zero."""
    if _kind(form) == "tt":
        cores = tuple(np.zeros((1, mode, 1), dtype=np.int64) for mode in form.modes)
        bonds = len(cores) - 1
    else:
        cores = tuple(np.zeros((mode, 1), dtype=np.int64) for mode in form.modes)
        bonds = len(cores) if form.kind == "tucker" else 1
        if form.kind == "tucker":
            cores = (*cores, np.zeros((1,) * len(form.modes), dtype=np.int64))
    return QuantisedNetwork(form, 0.0, 0, (np.zeros(1, dtype=np.int64),) * bonds, cores)


def to_bytes(network: QuantisedNetwork) -> bytes:
    """Return the network as bytes; the same network gives the same bytes."""
    writer = Writer()
    layout.put(writer, network.form, [core.shape for core in network.integers], network.norm, network.fineness)
    for sizes in network.sizes:
        layout.put_sizes(writer, sizes)
    for place, integers in enumerate(network.integers):
        writer.put(integers.ravel(), classes_of(network.expected(place)).ravel())
    return writer.finish()


def from_bytes(octets: bytes, elements: int | None = None) -> Network:
    """Return the network that :func:`to_bytes` wrote; nothing is allocated on the bytes' word alone.

    Args:
        octets: anything at all.
        elements: how many the tensor must have; None where any number will do.

    Raises:
        ValueError: the bytes are no network, one of another size, or one with more parameters than pay.
    """
    reader = Reader(octets)
    form, shapes, norm, fineness = layout.take(reader, elements)
    kind = _kind(form)
    sizes = tuple(layout.take_sizes(reader, count) for count in layout.columns(kind, shapes))
    bare = QuantisedNetwork(form, norm, fineness, sizes, tuple(np.broadcast_to(np.int64(0), shape) for shape in shapes))
    integers = [reader.take(classes_of(bare.expected(place)).ravel()) for place in range(len(shapes))]
    reader.finish()
    cores = tuple(core.reshape(shape) for core, shape in zip(integers, shapes, strict=True))
    with np.errstate(over="ignore", invalid="ignore"):
        network = replace(bare, integers=cores).network
    if not all(np.isfinite(core).all() for core in network.cores):
        raise ValueError("network: expected finite cores, found others")
    return network
