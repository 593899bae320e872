"""The measures and the counting of the benchmark of bits."""

import numpy as np
import pytest

from tests.benchmarks.checkpoint import minilm
from tests.benchmarks.checkpoint.bits import quantum, record
from tests.benchmarks.checkpoint.held_out_bits import lost


def test_nothing_is_lost_where_nothing_changes_and_order_is_lost_by_reversal():
    angles = np.array([0.0, 0.1, 0.3, 0.7])
    before = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert list(lost(before, before).values()) == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)
    turned = np.stack([np.cos(angles + 0.2), np.sin(angles + 0.2)], axis=1)  # every pair keeps its cosine
    assert list(lost(before, turned).values()) == pytest.approx([0.0, 1.0 - np.cos(0.2), 0.0], abs=1e-12)
    apart = np.array([0.0, 0.7, 0.6, 0.1])
    other = np.stack([np.cos(apart), np.sin(apart)], axis=1)
    gaps = [[abs(given[i] - given[j]) for i in range(4) for j in range(i + 1, 4)] for given in (angles, apart)]
    assert lost(before, other)["similarity"] == pytest.approx(np.mean(np.subtract(*np.cos(gaps)) ** 2))
    assert lost(before, other)["order"] > 1.0


def test_a_difference_counts_only_where_the_signs_agree():
    ones = [1.0] * 8
    assert record([0.5, 1.0, 2.0], [1.0, 1.0, 1.0]) == (1, 1, 1)
    assert quantum("loop", [0.5] * 8, ones).startswith("loop: QAOA gained on")
    assert quantum("loop", [1.5] * 8, ones).startswith("loop: QAOA lost to")
    assert "added nothing" in quantum("loop", ones, ones)
    assert "added nothing" in quantum("loop", [0.0] * 3 + [1.0] * 5, ones)


@pytest.mark.slow
def test_calibration_and_held_out_sentences_are_different_ones():
    calibration, held_out = minilm.texts()
    assert len(set(calibration)) == len(set(held_out)) == 256
    assert not set(calibration) & set(held_out)
    assert minilm.texts() == (calibration, held_out)


def test_only_known_element_types_are_given():
    with pytest.raises(ValueError, match="dtype"):
        minilm.weights("I8")
