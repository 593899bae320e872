"""Is a priced train the cheapest of all, and does it keep the error that was priced?"""

import itertools

import numpy as np
import pytest

from data.generators import fields
from tasks.codecs.network_search.chain import Trains, rates
from tasks.codecs.network_search.forms import built, plain, train_form
from tasks.codecs.network_search.rate import HIGHEST, LOWEST
from tasks.codecs.network_search.spectra import Spectra, compressed
from tasks.codecs.networks.form import decompose, parameters, reconstruct
from tasks.codecs.networks.quantised import from_bytes

ERROR = 0.02


@pytest.fixture(scope="module")
def tensor() -> np.ndarray:
    return fields.hidden_order(np.random.default_rng(1), 4, 5, 2, 0.01).astype(np.float64)


@pytest.fixture(scope="module")
def spectra(tensor) -> Spectra:
    return Spectra(compressed(tensor, 1e-2 * ERROR), tuple((n,) for n in tensor.shape), 1e-2 * ERROR)


def cheapest_by_hand(spectra: Spectra, order: tuple[int, ...]) -> float:
    """Return the fewest parameters over all ranks and merges, by trying them all."""
    tails = []
    for bond in range(1, len(order)):
        squares = spectra.squares(sum(1 << mode for mode in order[:bond]))
        tails.append(np.maximum(0.0, 1.0 - np.concatenate([[0.0], np.cumsum(squares)])))
    best = np.inf
    for ranks in itertools.product(*[range(len(tail)) for tail in tails]):  # 0: merged
        if sum(tail[rank] for tail, rank in zip(tails, ranks, strict=True) if rank) > ERROR**2:
            continue
        count, rank, length = 0, 1, 1
        for mode, after in zip(order, [*ranks, 1], strict=True):
            length *= spectra.modes[mode]
            if after:
                count += rank * length * after
                rank, length = after, 1
        best = min(best, count)
    return best


def test_no_ranks_and_merges_are_cheaper_than_the_priced_ones(spectra) -> None:
    for order in [(0, 1, 2, 3), (2, 0, 3, 1), (1, 3, 0, 2)]:
        train = Trains(spectra, ERROR, "split").price(order)
        by_hand = cheapest_by_hand(spectra, order)
        assert train.error <= ERROR**2
        # bisection on the price of error finds the lower hull of sizes over errors, and a size may lie above it
        assert by_hand <= train.bits / 32.0 <= 1.15 * by_hand


def test_equal_shares_never_beat_shares_that_are_chosen(spectra) -> None:
    uniform, split = Trains(spectra, ERROR, "uniform"), Trains(spectra, ERROR, "split")
    for order in itertools.permutations(range(4)):
        assert split.price(order).bits <= 1.05 * uniform.price(order).bits


def test_a_priced_train_is_written_as_priced(tensor, spectra) -> None:
    train = min(
        (Trains(spectra, ERROR, "split").price(o) for o in itertools.permutations(range(4))), key=lambda t: t.bits
    )
    form = train_form(train, spectra.splits)
    network = decompose(tensor, form, ERROR, np.random.default_rng(0))
    assert 32 * parameters(network) <= 1.02 * train.bits
    assert np.linalg.norm(reconstruct(network) - tensor) <= ERROR * np.linalg.norm(tensor)


def test_a_coded_train_keeps_the_error_and_is_about_as_large_as_priced(tensor, spectra) -> None:
    train = min((Trains(spectra, ERROR).price(o) for o in itertools.permutations(range(4))), key=lambda t: t.bits)
    truncated = sum(train.tails) ** 0.5
    found = built(tensor, train_form(train, spectra.splits), truncated, ERROR, np.random.default_rng(0))
    back = reconstruct(from_bytes(found.octets, tensor.size))
    assert np.linalg.norm(back - tensor) <= ERROR * np.linalg.norm(tensor)
    assert 0.4 < 8 * len(found.octets) / train.bits < 1.4
    assert len(found.octets) < len(
        plain(tensor, train_form(train, spectra.splits), ERROR, np.random.default_rng(0)).octets
    )


def test_an_error_that_compression_hides_cannot_be_priced(tensor) -> None:
    coarse = Spectra(compressed(tensor, 0.1), tuple((n,) for n in tensor.shape), 0.1)
    assert Trains(coarse, 1e-3).price((0, 1, 2, 3)).bits == np.inf


def test_rates_are_those_of_normal_numbers_that_are_rounded() -> None:
    table = rates()
    draws = np.random.default_rng(0).normal(size=200_000)
    for row in (60, 200, 280):
        values = draws * np.exp(0.5 * (LOWEST + (HIGHEST - LOWEST) * row / (len(table) - 1)))
        rounded = np.rint(values)
        share = np.unique(rounded, return_counts=True)[1] / values.size
        assert -(share * np.log2(share)).sum() == pytest.approx(table[row, 0], abs=0.01)
        assert ((values - rounded) ** 2).mean() == pytest.approx(table[row, 1], rel=0.02)
