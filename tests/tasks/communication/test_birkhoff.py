"""Does a decomposition send every byte, in matchings, in the time that the busiest port needs?"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tasks.communication.birkhoff import Decomposition, decompose

MATRICES = arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 40))


def delivered(found: Decomposition, shape: tuple[int, int]) -> np.ndarray:
    """Add up what the rounds send, after checking that each of them is a matching within its length."""
    total = np.zeros(shape, np.int64)
    for length, partner, sent in zip(found.length, found.partner, found.sent, strict=True):
        busy = np.flatnonzero(partner >= 0)
        assert len(set(partner[busy].tolist())) == busy.size
        assert (sent[busy] <= length).all()
        total[busy, partner[busy]] += sent[busy]
    return total


@settings(max_examples=60)
@given(MATRICES)
def test_everything_is_sent_in_the_largest_sum_and_in_a_bounded_number_of_rounds(amount: np.ndarray) -> None:
    found = decompose(amount)
    assert np.array_equal(delivered(found, amount.shape), amount)
    largest = max(amount.sum(axis=0).max(), amount.sum(axis=1).max())
    assert found.length.sum() == found.makespan == largest
    size = max(amount.shape)
    assert found.length.size <= found.most_rounds <= size * size - 2 * size + 2


def test_a_skewed_all_to_all_of_72_ports(rng: np.random.Generator) -> None:
    amount = (1e6 * rng.lognormal(0.0, 1.5, (72, 72))).astype(np.int64)
    np.fill_diagonal(amount, 0)
    found = decompose(amount)
    assert np.array_equal(delivered(found, amount.shape), amount)
    assert found.makespan == max(amount.sum(axis=0).max(), amount.sum(axis=1).max())
    assert found.length.size < found.most_rounds / 4  # thresholds that halve take long rounds first


def test_wrong_matrices_are_refused() -> None:
    for amount in (np.zeros(3, np.int64), np.zeros((2, 2)), np.array([[0, -1]]), np.full((2, 2), 1 << 60)):
        with pytest.raises(ValueError, match="amount"):
            decompose(amount)
