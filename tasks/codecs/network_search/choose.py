"""Which network stands for this tensor in the fewest bytes, at this error?

Spectra price every tensor train (any order, merged or split modes, ranks and step of quantisation together) and every
Tucker network over parts of the modes; the cheapest few are written and measured, and the smallest wins. Up to six
modes all orders are priced; beyond, and for modes that are split into their prime factors, orders are searched.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from tasks.codecs.network_search import partition
from tasks.codecs.network_search.chain import Budget, Train, Trains
from tasks.codecs.network_search.forms import Built, Splits, built, plain, train_form, tucker_form
from tasks.codecs.network_search.ledger import Ledger, Order
from tasks.codecs.network_search.searches import Alternating, Exhaustive, Search
from tasks.codecs.network_search.spectra import Compressed, Spectra, compressed
from tasks.codecs.networks.form import NetworkForm
from tasks.codecs.networks.named_forms import prime_factors

Family = Literal["train", "split train", "tucker"]

Proposal = Callable[[npt.NDArray[np.float64], float, np.random.Generator, float], bytes | None]
"""Proposes the bytes of a network for a tensor, an error, chance, and the bytes from which it is not worth writing."""

LONGEST_MODE = 2048
"""Of a tensor that an archive searches a network for: the work grows with the cube of it, minutes for 30,000."""

COMPRESSED = 0.01
"""Error of the compressed tensor behind the spectra, in the error asked for."""

ALL_ORDERS = 6
"""Up to so many modes every order is priced."""

MOST_SPLIT_MODES = 28

SMOOTH = 4
"""Modes are split where the compressed core is smaller than the tensor by this factor; noise would only cost time."""

DEARER = 3.0
"""Candidates of a family that are priced at more than so many times its cheapest are not written."""

TUCKER_TRUNCATED = 0.5
"""Share of the squared error that truncates a Tucker network whose cores are quantised."""

RETRIES = (0.7, 0.85, 1.15)
"""Shares of the planned truncation that the smallest network is tried with as well."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network that was priced.

    Args:
        family: which kind.
        form: the network.
        bits: as priced.
        truncated: relative error of its truncation.
    """

    family: Family
    form: NetworkForm
    bits: float
    truncated: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """The smallest network that was written.

    Args:
        built: it, its bytes and its error.
        family: which kind.
        candidates: everything that was written, by price.
        evaluations: networks priced.
    """

    built: Built
    family: Family
    candidates: tuple[tuple[Candidate, int], ...]
    evaluations: int


@dataclass(frozen=True, slots=True)
class NetworkSearch:
    """Options of the choice.

    Args:
        evaluations: orders of split modes that are priced; of whole modes where there are more than six, too.
        search: over these orders.
        written: candidates of each family that are written and measured.
        families: which are looked at.
        quantised: whether cores are; if not, they are written as 32-bit numbers.
    """

    evaluations: int = 200
    search: Search = field(default_factory=Alternating)
    written: int = 2
    families: tuple[Family, ...] = ("train", "split train", "tucker")
    quantised: bool = True

    def __post_init__(self) -> None:
        if min(self.evaluations, self.written) < 1 or not self.families:
            raise ValueError(f"expected counts of at least 1 and a family, got {self}")

    def __call__(
        self,
        tensor: npt.NDArray[np.floating],
        relative_error: float,
        rng: np.random.Generator,
        worth_bytes: float = math.inf,
    ) -> Chosen | None:
        """Return the smallest network within the error; None where none could be priced or written.

        Args:
            tensor: finite, not zero, of at least two dimensions.
            relative_error: Frobenius norm of the difference over that of the tensor.
            rng: for the search.
            worth_bytes: networks that are priced at more are not written.
        """
        small = compressed(tensor, COMPRESSED * relative_error)
        candidates, evaluations = self.priced(small, relative_error, rng)
        written: list[tuple[Candidate, Built]] = []
        for family in self.families:
            ours = sorted((one for one in candidates if one.family == family), key=lambda one: one.bits)
            distinct = {round(one.bits): one for one in reversed(ours)}  # mirrored orders cost the same
            for candidate in sorted(distinct.values(), key=lambda one: one.bits)[: self.written]:
                if candidate.bits <= min(DEARER * ours[0].bits, 8.0 * worth_bytes):
                    made = self._built(tensor, candidate, 1.0, relative_error, rng)
                    written += [] if made is None else [(candidate, made)]
        if not written:
            return None
        best, network = min(written, key=lambda one: len(one[1].octets))
        retries = [self._built(tensor, best, share, relative_error, rng) for share in RETRIES if self.quantised]
        network = min([network, *(made for made in retries if made is not None)], key=lambda one: len(one.octets))
        sizes = tuple((candidate, len(found.octets)) for candidate, found in written)
        return Chosen(network, best.family, sizes, evaluations)

    def _built(
        self,
        tensor: npt.NDArray[np.floating],
        candidate: Candidate,
        share: float,
        relative_error: float,
        rng: np.random.Generator,
    ) -> Built | None:
        """Write a network; None where it misses the error or has more parameters than an archive takes."""
        try:
            if self.quantised:
                return built(tensor, candidate.form, share * candidate.truncated, relative_error, rng)
            return plain(tensor, candidate.form, relative_error, rng)
        except ValueError:
            return None

    def priced(self, small: Compressed, relative_error: float, rng: np.random.Generator) -> tuple[list[Candidate], int]:
        """Return the networks that are worth writing, in no order, and how many were priced."""
        whole = tuple((factor.shape[0],) for factor in small.factors)
        spectra = Spectra(small, whole, COMPRESSED * relative_error)
        found: list[Candidate] = []
        evaluations = 0
        modes = tuple(range(len(whole)))
        if "train" in self.families:
            trains = Trains(spectra, relative_error, self._budget)
            exhaustive = len(modes) <= ALL_ORDERS
            ledger = Ledger(lambda order: trains.price(order).bits, 720 if exhaustive else self.evaluations)
            (Exhaustive(mirrored=False) if exhaustive else self.search)(ledger, modes, rng)
            found += self._best("train", trains, ledger, whole)
            evaluations += len(ledger.priced)
        splits = tuple(prime_factors(factor.shape[0]) for factor in small.factors)
        count = sum(len(factors) for factors in splits)
        elements = math.prod(factor.shape[0] for factor in small.factors)
        smooth = SMOOTH * small.core.size <= elements
        if "split train" in self.families and smooth and len(modes) < count <= MOST_SPLIT_MODES:
            trains = Trains(Spectra(small, splits, COMPRESSED * relative_error), relative_error, self._budget)
            ledger = Ledger(lambda order: trains.price(order).bits, self.evaluations)
            starts = [tuple(range(count)), interleaved(splits), interleaved(splits)[::-1]]
            self.search(ledger, min(starts, key=ledger.price), rng)
            found += self._best("split train", trains, ledger, splits)
            evaluations += len(ledger.priced)
        if "tucker" in self.families and len(modes) <= ALL_ORDERS:
            for parts in partition.partitions(modes, spectra.modes):
                share = math.sqrt(TUCKER_TRUNCATED) if self.quantised else 1.0
                half = partition.price(spectra, parts, relative_error * share)
                evaluations += 1
                if math.isfinite(half.bits):
                    truncated = max(math.sqrt(half.error), 1e-3 * relative_error)
                    found.append(Candidate("tucker", tucker_form(half, whole), half.bits, truncated))
        return found, evaluations

    @property
    def _budget(self) -> Budget:
        return "quantised" if self.quantised else "split"

    def _best(self, family: Family, trains: Trains, ledger: Ledger, splits: Splits) -> list[Candidate]:
        orders = sorted(ledger.priced, key=lambda order: ledger.priced[order])[: self.written]
        return [
            Candidate(family, train_form(train, splits), train.bits, _truncated(train, trains))
            for train in map(trains.price, orders)
            if math.isfinite(train.bits)
        ]


def interleaved(splits: Splits) -> Order:
    """Return the split modes by scale: the coarsest factor of every mode, then the next ones."""
    firsts = list(itertools.accumulate((len(factors) for factors in splits), initial=0))
    # modes of fewer factors join at the coarsest scale, where all lengths are alike
    deepest = max(len(factors) for factors in splits)
    return tuple(
        firsts[mode] + level for level in range(deepest) for mode, factors in enumerate(splits) if level < len(factors)
    )


def _truncated(train: Train, trains: Trains) -> float:
    return math.sqrt(max(sum(train.tails), 1e-6 * trains.allowed))


def proposed(search: NetworkSearch) -> Proposal:
    """Return the search as a proposal for :func:`tasks.codecs.networks.policy.network_policy`.

    It returns the bytes of the smallest network, or None for a tensor that it has none for, and for matrices.
    """

    def propose(
        tensor: npt.NDArray[np.float64], relative_error: float, rng: np.random.Generator, worth_bytes: float
    ) -> bytes | None:
        if tensor.ndim < 3 or max(tensor.shape) > LONGEST_MODE or not tensor.any():
            return None  # a matrix has one order, and its split ones take minutes on weights and gain 1 % at most
        chosen = search(tensor, relative_error, rng, worth_bytes)
        return None if chosen is None else chosen.built.octets

    return propose
