"""What Aer is given for speed holds the state of the circuit that a machine is given."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit_aer import AerSimulator

from qiskit_solvers.circuits.aer_form import complete_for_aer, parts, transverse_for_aer
from qiskit_solvers.circuits.one_hot import complete_circuit
from qiskit_solvers.circuits.transverse import transverse_circuit
from qiskit_solvers.ising import Ising, diagonal


@settings(max_examples=25, deadline=None)
@given(
    spins=st.integers(0, 13),
    density=st.sampled_from([0.0, 0.05, 0.2, 0.6, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_parts_add_up_to_the_energy_and_none_is_wide(draw, spins, density, seed):
    ising = draw.model(spins, np.random.default_rng(seed), density=density)
    strings = np.arange(2**spins)
    total = np.full(2**spins, ising.offset)
    for part in parts(ising):
        assert 1 <= len(part.spins) <= 8
        bits = (strings[:, None] >> np.array(part.spins)) & 1
        total += part.energies[bits @ 2 ** np.arange(len(part.spins))]
    np.testing.assert_allclose(total, diagonal(ising), atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(
    spins=st.integers(1, 10),
    layers=st.integers(0, 3),
    density=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_state_is_that_of_the_gates(check, draw, spins, layers, density, seed):
    rng = np.random.default_rng(seed)
    ising, angles = draw.model(spins, rng, density=density), draw.angles(layers, rng)
    expected = check.qiskit(transverse_circuit(ising, *angles))
    check.same(check.aer(transverse_for_aer(ising, *angles)), expected)
    check.same(check.qiskit(transverse_for_aer(ising, *angles)), expected)


@pytest.mark.parametrize(
    ("spins", "groups"), [(6, ((0, 1, 2), (5, 3))), (9, ((7, 1, 2, 0, 4, 3, 8), (5,))), (3, ()), (4, ((3, 1, 0, 2),))]
)
def test_the_state_over_groups_is_that_of_the_gates(check, draw, spins, groups):
    rng = np.random.default_rng(spins)
    ising, angles = draw.model(spins, rng, groups=groups), draw.angles(3, rng)
    expected = check.qiskit(complete_circuit(ising, *angles))
    check.same(check.aer(complete_for_aer(ising, *angles)), expected)


@pytest.mark.parametrize("build", [transverse_for_aer, transverse_circuit])
def test_aers_fusion_leaves_the_state_as_it_is(check, draw, build):
    rng = np.random.default_rng(1)
    ising, angles = draw.model(9, rng), draw.angles(2, rng)
    circuit = build(ising, *angles)
    circuit.save_statevector()
    fused = AerSimulator(method="statevector", fusion_threshold=2, fusion_max_qubit=6).run(circuit).result()
    assert fused.results[0].metadata["fusion"]["applied"]
    check.same(np.asarray(fused.get_statevector()), check.qiskit(transverse_circuit(ising, *angles)))


def test_samples_are_drawn_from_the_state(check, draw):
    """Chi-squared over the strings expected at least five times, at 5 standard deviations."""
    rng = np.random.default_rng(2)
    ising, angles, shots = draw.model(5, rng), draw.angles(2, rng), 20_000
    circuit = transverse_for_aer(ising, *angles)
    expected = shots * np.abs(check.qiskit(circuit)) ** 2
    circuit.measure_all()
    counts = AerSimulator(method="statevector").run(circuit, shots=shots, seed_simulator=3).result().data()["counts"]
    observed = np.zeros(32)
    for key, count in counts.items():
        observed[int(key, 16)] = count
    likely = expected >= 5
    squared = ((observed - expected)[likely] ** 2 / expected[likely]).sum()
    assert squared < likely.sum() + 5 * np.sqrt(2 * likely.sum())


def test_sixteen_coupled_spins_take_six_instructions_and_a_sparse_ring_fewer():
    full = Ising(np.ones(16), np.triu(np.ones((16, 16)), 1))
    assert len(parts(full)) == 6
    ring = np.zeros((16, 16))
    ring[np.arange(15), np.arange(1, 16)] = ring[0, 15] = 1.0
    assert len(parts(Ising(np.zeros(16), ring))) == 3


def test_fields_alone_are_parts_too():
    assert [part.spins for part in parts(Ising(np.ones(10), np.zeros((10, 10))))] == [tuple(range(8)), (8, 9)]
    assert parts(Ising(np.zeros(3), np.zeros((3, 3)), 5.0)) == []


def test_angles_that_make_no_circuit_are_refused(draw):
    with pytest.raises(ValueError, match="equal shapes"):
        transverse_for_aer(draw.model(3, np.random.default_rng(4)), [0.1], [0.2, 0.3])
