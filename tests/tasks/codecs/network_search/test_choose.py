"""Is the chosen network the smallest that was written, within the error, and found where structure is hidden?"""

import itertools
import math

import numpy as np
import pytest

from data.generators import fields
from tasks.codecs.network_search import partition
from tasks.codecs.network_search.choose import NetworkSearch, interleaved, proposed
from tasks.codecs.network_search.forms import plain
from tasks.codecs.network_search.spectra import Spectra, compressed
from tasks.codecs.networks.form import NetworkForm, reconstruct
from tasks.codecs.networks.named_forms import prime_factors
from tasks.codecs.networks.quantised import from_bytes


@pytest.mark.parametrize("error", [0.1, 0.01])
def test_the_choice_keeps_the_error_and_is_the_smallest_that_was_written(error) -> None:
    tensor = fields.coulomb((16, 12, 8))
    chosen = NetworkSearch(evaluations=20, written=1)(tensor, error, np.random.default_rng(0))
    assert chosen is not None
    back = reconstruct(from_bytes(chosen.built.octets, tensor.size))
    assert np.linalg.norm(back - tensor) <= error * np.linalg.norm(tensor)
    assert len(chosen.built.octets) <= min(size for _, size in chosen.candidates)
    assert {candidate.family for candidate, _ in chosen.candidates} == {"train", "split train", "tucker"}


def test_a_hidden_order_is_found() -> None:
    tensor = fields.hidden_order(np.random.default_rng(4), 5, 5, 2, 0.002)
    chosen = NetworkSearch(families=("train",), quantised=False)(tensor, 0.01, np.random.default_rng(0))
    assert chosen is not None
    own = NetworkForm("tt", tuple((n,) for n in tensor.shape), tuple(range(5)), (1,) * 5)
    natural = plain(tensor.astype(np.float64), own, 0.01, np.random.default_rng(0))
    planted = 4 * (5 * 2 + 3 * (2 * 5 * 2) + 2 * 5)
    assert len(chosen.built.octets) == planted < 0.5 * len(natural.octets)


def test_the_same_tensor_gives_the_same_bytes() -> None:
    tensor = fields.vlasov(4)
    search = NetworkSearch(evaluations=10, written=1)
    one, two = (search(tensor, 0.05, np.random.default_rng(9)) for _ in range(2))
    assert one is not None
    assert two is not None
    assert one.built.octets == two.built.octets


def test_parts_of_a_tucker_network_have_the_ranks_of_their_spectra() -> None:
    tensor = fields.vlasov(4).astype(np.float64)
    spectra = Spectra(compressed(tensor, 1e-5), tuple((4,) for _ in range(6)), 1e-5)
    pairs = partition.price(spectra, ((0, 3), (1, 4), (2, 5)), 0.01)
    alone = partition.price(spectra, tuple((mode,) for mode in range(6)), 0.01)
    assert pairs.ranks == (2, 2, 2)  # two clouds
    assert pairs.error <= 1e-4
    assert alone.error <= 1e-4
    assert pairs.bits < alone.bits


def test_every_partition_is_looked_at_once() -> None:
    bell = [1, 2, 5, 15, 52, 203]
    for count, expected in enumerate(bell, start=1):
        found = list(partition.partitions(tuple(range(count)), (2,) * count))
        assert len(found) == len(set(found)) == max(1, expected - 1)
        assert all(sorted(itertools.chain.from_iterable(parts)) == list(range(count)) for parts in found)


def test_lengths_are_split_into_primes_and_interleaved_by_scale() -> None:
    assert prime_factors(96) == (3, 2, 2, 2, 2, 2)
    assert prime_factors(1) == (1,)
    assert prime_factors(13) == (13,)
    assert interleaved(((2, 2, 2), (2, 2))) == (0, 3, 1, 4, 2)


@pytest.mark.parametrize("options", [{"evaluations": 0}, {"written": 0}, {"families": ()}])
def test_options_that_search_nothing_are_refused(options) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        NetworkSearch(**options)


def test_fields_are_what_they_are_called() -> None:
    assert fields.hilbert((2, 3)).tolist() == [[1.0, 0.5, np.float32(1 / 3)], [0.5, np.float32(1 / 3), 0.25]]
    heat = fields.heat(np.random.default_rng(0), (24, 24, 8))
    assert np.abs(heat[:, :, -1]).max() < np.abs(heat[:, :, 0]).max()
    train = fields.hidden_order(np.random.default_rng(0), 4, 3, 2, 0.0)
    assert math.isclose(
        min(
            np.linalg.matrix_rank(train.transpose(o).reshape(9, 9), tol=1e-4) for o in itertools.permutations(range(4))
        ),
        2,
    )
    spectrum = np.abs(np.fft.fftn(fields.turbulence(np.random.default_rng(0), 32))) ** 2
    assert spectrum[2, 0, 0] + spectrum[0, 2, 0] + spectrum[0, 0, 2] > 10 * (spectrum[12, 0, 0] + spectrum[0, 12, 0])
    picture = fields.dead_leaves(np.random.default_rng(0), (40, 50), 60)
    assert picture.shape == (40, 50, 3)
    assert 0.0 <= picture.min() < picture.max() <= 255.0


def test_a_proposal_is_the_bytes_of_the_choice_or_none() -> None:
    search = NetworkSearch(evaluations=5, written=1, families=("train",))
    propose = proposed(search)
    tensor = fields.coulomb((6, 6, 4)).astype(np.float64)
    chosen = search(tensor, 0.05, np.random.default_rng(0))
    assert chosen is not None
    assert propose(tensor, 0.05, np.random.default_rng(0), math.inf) == chosen.built.octets
    assert propose(tensor, 0.05, np.random.default_rng(0), 10.0) is None
    assert propose(np.zeros((3, 3)), 0.05, np.random.default_rng(0), math.inf) is None
    assert propose(np.ones(5), 0.05, np.random.default_rng(0), math.inf) is None
