"""Which tensors are smaller as a network, at an error that plain quantisation keeps as well?

Each tensor is raced: as it is quantised to the same relative error, as a Tucker network with quantised cores (HOSVD),
as tensor trains and quantised tensor trains in fixed orders, and as whatever a search proposes. The smallest is kept,
and who won is told. Sampled functions and fields become networks. The weights of trained networks do not: below a
relative error of a tenth no form has fewer numbers than MiniLM's matrices, but for its position embeddings (a third of
the bytes at 0.1). For models ``rms:`` alone is all but as small, and far sooner.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.schemas.tensor import ELEMENT_TYPES, Tensor
from tasks.codecs import lossy
from tasks.codecs.index import CHUNK_BYTES, BoundMode
from tasks.codecs.networks.canonical import RankTooHigh
from tasks.codecs.networks.fit import FEW, fit
from tasks.codecs.networks.named_forms import fixed_forms
from tasks.codecs.networks.stored import Element, TensorNetwork
from tasks.codecs.protocol import Around
from tasks.codecs.quantise_chunk import values_of
from tasks.codecs.treatment import BaseTensor, Loss, Policy, Treatment, Whole

Search = Callable[[npt.NDArray[np.float64], float, np.random.Generator, float], bytes | None]
"""Proposes the bytes of a network (:func:`tasks.codecs.networks.quantised.to_bytes`) for a tensor, an error, chance,
and the bytes from which it need not be written."""

ELEMENTS_MAX = 2**27
"""Of a tensor that is tried: 1 GiB in 64-bit numbers, of which there are a few at a time."""

PLAIN = "quantised"
_ELEMENTS: tuple[Element, ...] = ("F16", "BF16", "F32", "F64")
_HOPELESS = 1.15
"""Estimate over the bytes of plain quantisation from which a network is given up: estimates of many numbers are low."""

_HOPELESS_IF_SMALL = 1.4
"""The same up to 20,000 numbers, whose estimates may be too high by so much."""

_RECIPE_BYTES = 80
"""What the recipe takes in the index, beside the content."""


@dataclass(frozen=True, slots=True)
class Race:
    """What became of a tensor.

    Args:
        tensor: its name.
        sizes: bytes of each that kept within the error, by name; the first of the smallest is kept.
    """

    tensor: str
    sizes: tuple[tuple[str, int], ...]

    @property
    def winner(self) -> str:
        """Who had the fewest bytes."""
        return min(self.sizes, key=lambda size: size[1])[0]


def network_policy(
    relative_error: float,
    *,
    seed: int = 0,
    search: Search | None = None,
    plain: Policy | None = None,
    told: Callable[[Race], None] = lambda _race: None,
) -> Policy:
    """Return the policy that keeps each tensor in its smallest form within a relative Frobenius error.

    Args:
        relative_error: norm of the difference over that of the tensor, for each tensor.
        seed: of the search.
        search: proposes a further network; one beyond the error is not taken.
        plain: what else is done with a tensor, and with those that are never networks: whole numbers, numbers that are
            not finite, small ones; by default quantisation to the same error (:func:`tasks.codecs.lossy.policy`).
        told: hears of each race.

    Raises:
        ValueError: the error is not within (0, 1).
    """
    if not 0.0 < relative_error < 1.0:
        raise ValueError(f"relative_error: expected between 0 and 1, found {relative_error}")
    other = lossy.policy(f"rms:{relative_error!r}") if plain is None else plain
    return _Networks(relative_error, seed, search, other, told)


@dataclass(frozen=True, slots=True, eq=False)
class _Networks:
    relative_error: float
    seed: int
    search: Search | None
    plain: Policy
    told: Callable[[Race], None]

    def __call__(self, tensor: Tensor, base: BaseTensor | None) -> Treatment:
        plain = self.plain(tensor, base)
        elements = math.prod(tensor.shape)
        if plain.bound is None or tensor.dtype not in _ELEMENTS or not 1 < elements <= ELEMENTS_MAX:
            return plain
        raw = b"".join(tensor.pieces(CHUNK_BYTES))
        values = values_of(raw, tensor.dtype).astype(np.float64).reshape(tensor.shape)
        with np.errstate(over="ignore"):
            energy = float(np.vdot(values, values))
        if not 0.0 < energy < math.inf:
            return plain
        runners = {PLAIN: _packed_bytes(plain, tensor)}
        networks = self._networks(values, tensor.dtype, runners[PLAIN])
        runners.update({name: len(octets) + _RECIPE_BYTES for name, octets in networks.items()})
        race = Race(tensor.name, tuple(runners.items()))
        self.told(race)
        return plain if race.winner == PLAIN else self._whole(values, tensor.dtype, networks[race.winner])

    def _networks(self, values: npt.NDArray[np.float64], dtype: str, plain_bytes: int) -> dict[str, bytes]:
        """Return the bytes of every network that keeps within the error, by name."""
        rng = np.random.default_rng(self.seed)  # anew for each tensor: the same tensor gives the same bytes anywhere
        found = {}
        worth = (_HOPELESS_IF_SMALL * plain_bytes, _HOPELESS * plain_bytes)
        for name, form in fixed_forms(values.shape).items():
            try:
                found[name] = fit(values, form, self.relative_error, rng, dtype=dtype, worth_bytes=worth).octets
            except (RankTooHigh, ValueError):
                continue  # no network of this form: too many parameters, or the element type cannot hold the error
        if self.search is not None and values.ndim > 1:
            octets = self.search(values, self.relative_error, rng, worth[0 if values.size <= FEW else 1])
            if octets is not None and self._whole(values, dtype, octets).bound is not None:
                found["searched"] = octets
        return found

    def _whole(self, values: npt.NDArray[np.float64], dtype: str, octets: bytes) -> Treatment:
        """Return the treatment of a network with what is lost measured; without a bound where it is not held."""
        element = next(each for each in _ELEMENTS if each == dtype)
        recipe = TensorNetwork(element, len(octets))
        content = np.frombuffer(octets, dtype=np.uint8)
        raw_bytes = values.size * ELEMENT_TYPES[dtype].word_bytes
        back = values_of(recipe.rebuild(content, raw_bytes).data, dtype).astype(np.float64)
        difference = np.abs(back - values.ravel())
        squares, energy = float(np.sum(difference**2)), float(np.sum(values**2))
        loss = Loss(float(difference.max()), squares, energy, values.size, 0)
        held = math.sqrt(squares / energy) <= self.relative_error
        bound: tuple[BoundMode, float] = ("relative_frobenius", self.relative_error)
        return Treatment(Whole(recipe, content, loss), bound=bound if held else None)


def _packed_bytes(treatment: Treatment, tensor: Tensor) -> int:
    """Return the bytes that a treatment makes of a tensor."""
    if isinstance(treatment.form, Whole):
        return len(treatment.form.content)
    words = CHUNK_BYTES // ELEMENT_TYPES[tensor.dtype].word_bytes
    chunks = enumerate(tensor.pieces(CHUNK_BYTES))
    return sum(
        len(treatment.form.pack(raw, Around(tensor.dtype, None, number * words)).octets) for number, raw in chunks
    )
