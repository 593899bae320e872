"""Phases read from a clock, against eigenvalues and the Fejér kernel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import Statevector
from scipy.stats import unitary_group

from qiskit_solvers import TooLarge
from qiskit_solvers.linear_algebra.phase_estimation import (
    clock_bits,
    estimate,
    phase_estimation,
    readout_probabilities,
)


def clock_probabilities(unitary: np.ndarray, bits: int, start: np.ndarray) -> np.ndarray:
    state = Statevector(phase_estimation(unitary, bits, start=start)).data
    return (np.abs(state) ** 2).reshape(-1, 2**bits).sum(axis=0)


@pytest.mark.parametrize("value", range(8))
def test_a_phase_of_whole_bits_is_read_with_certainty(value: int):
    unitary = np.diag([1.0, np.exp(2j * np.pi * value / 8)])
    assert clock_probabilities(unitary, 3, np.array([0, 1]))[value] == pytest.approx(1.0)


@settings(max_examples=30)
@given(size=st.sampled_from([2, 3, 4, 5, 8]), bits=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_the_clock_follows_the_fejer_kernel_of_every_eigenphase(size: int, bits: int, seed: int):
    unitary = unitary_group.rvs(size, random_state=seed)
    start = unitary_group.rvs(size, random_state=seed + 1 if seed < 2**32 - 1 else 0)[0]
    eigenvalues, vectors = np.linalg.eig(unitary)
    weights = np.abs(np.linalg.solve(vectors, start)) ** 2  # eigenvectors of a random unitary are orthogonal
    expected = readout_probabilities(np.angle(eigenvalues) / (2 * np.pi), weights, bits)
    np.testing.assert_allclose(clock_probabilities(unitary, bits, start), expected, atol=1e-9)


def test_twelve_bits_of_a_two_level_phase():
    """Powers to 2**11 are one gate each, and stay unitary."""
    phase = 0.123456789
    circuit = phase_estimation(np.diag([np.exp(2j * np.pi * phase), 1.0]), 12)
    assert circuit.count_ops()["unitary"] == 12
    state = np.abs(Statevector(circuit).data.reshape(2, -1)[0]) ** 2
    assert np.argmax(state) == round(phase * 2**12)
    np.testing.assert_allclose(state, readout_probabilities([phase], [1.0], 12), atol=1e-10)


@given(phase=st.floats(0.0, 1.0, exclude_max=True), bits=st.integers(2, 10))
def test_the_estimate_is_within_half_a_step_and_the_refined_one_far_closer(phase: float, bits: int):
    shots = np.rint(1e12 * readout_probabilities([phase], [1.0], bits)).astype(int)
    found = estimate(dict(enumerate(shots.tolist())), bits)
    assert abs((found.phase - phase + 0.5) % 1.0 - 0.5) <= found.resolution / 2 + 1e-12
    # d steps off, both neighbours are read 1e12 d^2 times, but for 4e12 d^3: below d = 5e-5 nobody can tell the side
    assert abs((found.refined - phase + 0.5) % 1.0 - 0.5) <= 1e-4 * found.resolution
    assert found.share >= 4 / np.pi**2 - 1e-9
    assert found.resolution == 2.0**-bits


def test_the_estimate_ignores_the_target_and_survives_one_bit():
    assert estimate({0b0101: 3, 0b1101: 4, 0b0001: 6}, 3).phase == 5 / 8
    assert estimate({1: 10, 0: 2}, 1).refined == 0.5


def test_the_probabilities_sum_to_the_weights():
    assert readout_probabilities([0.1, 0.77], [0.3, 0.7], 7).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("failure", [0.25, 0.05, 0.01])
def test_the_recommended_clock_fails_no_more_often_than_asked(failure: float):
    bits = clock_bits(3, failure)
    values = np.arange(2**bits) / 2**bits
    for phase in np.linspace(0.3, 0.3 + 2.0**-bits, 9):
        far = np.abs((values - phase + 0.5) % 1.0 - 0.5) > 2.0**-3
        assert readout_probabilities([phase], [1.0], bits)[far].sum() <= failure


@pytest.mark.parametrize(
    ("unitary", "message"),
    [
        (np.ones((2, 3)), "square"),
        (np.ones(4), "square"),
        (np.zeros((0, 0)), "square"),
        (np.ones((2, 2)), "unitary"),
        (np.diag([1.0, np.nan]), "finite"),
    ],
)
def test_what_is_not_unitary_is_refused(unitary: np.ndarray, message: str):
    with pytest.raises(ValueError, match=message):
        phase_estimation(unitary, 3)


def test_other_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least 1 clock qubit"):
        phase_estimation(np.eye(2), 0)
    with pytest.raises(ValueError, match=r"start: expected shape \(2,\), got \(3,\)"):
        phase_estimation(np.eye(2), 2, start=[1.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="at least one shot"):
        estimate({}, 2)
    with pytest.raises(ValueError, match="equal shapes"):
        readout_probabilities([0.1], [0.5, 0.5], 2)
    with pytest.raises(ValueError, match="between 0 and 1"):
        clock_bits(2, 0.0)
    with pytest.raises(TooLarge, match="20 in all, got 1 and 21"):
        phase_estimation(np.eye(2), 20)
    with pytest.raises(TooLarge, match="at most 8 target qubits"):
        phase_estimation(np.eye(512), 2)
