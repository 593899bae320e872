"""One circuit, many sets of angles: bound one by one or in one batch on Aer, the states are those of fresh circuits."""

from functools import partial

import numpy as np
import pytest
from qiskit_aer import AerSimulator

from qiskit_solvers.circuits.grover import grover_ansatz, grover_circuit
from qiskit_solvers.circuits.multi_angle import multi_angle_ansatz, term_count
from qiskit_solvers.circuits.one_hot import complete_ansatz, complete_circuit, ring_ansatz, ring_circuit
from qiskit_solvers.circuits.transverse import transverse_ansatz, transverse_circuit
from qiskit_solvers.circuits.warm_start import warm_start_ansatz, warm_start_circuit
from qiskit_solvers.ising import Ising

RELAXED = np.linspace(0, 1, 6)
FAMILIES = [
    (transverse_ansatz, transverse_circuit),
    (complete_ansatz, complete_circuit),
    (ring_ansatz, ring_circuit),
    (grover_ansatz, grover_circuit),
    (lambda ising, layers: warm_start_ansatz(ising, RELAXED, layers), partial(warm_start_circuit, relaxed=RELAXED)),
]


@pytest.mark.parametrize("runtime", [False, True], ids=["bound before the run", "bound at run time"])
@pytest.mark.parametrize(("ansatz", "circuit"), FAMILIES, ids=["transverse", "complete", "ring", "grover", "warm"])
def test_a_batch_on_aer_has_the_states_of_fresh_circuits(check, draw, ansatz, circuit, runtime):
    rng = np.random.default_rng(1)
    ising = draw.model(6, rng, groups=((0, 1, 2), (5, 3)))
    gammas, betas = rng.uniform(-1, 1, size=(4, 2)), rng.uniform(-1, 1, size=(4, 2))
    open_circuit = ansatz(ising, 2)
    program = open_circuit.circuit.copy()
    program.save_statevector()
    simulator = AerSimulator(method="statevector", max_parallel_threads=1, runtime_parameter_bind_enable=runtime)
    result = simulator.run(program, parameter_binds=open_circuit.bindings(gammas, betas)).result()
    assert result.success, result.status
    assert len(result.results) == 4
    for k in range(4):
        expected = check.qiskit(circuit(ising, gammas=gammas[k], betas=betas[k]))
        check.same(np.asarray(result.data(k)["statevector"]), expected)


def test_angles_that_the_circuit_does_not_hold_are_left_out():
    constant = Ising(np.zeros(2), np.zeros((2, 2)))
    ansatz = transverse_ansatz(constant, 1)
    assert [list(binding) for binding in ansatz.bindings([[0.1]], [[0.2]])] == [list(ansatz.betas)]
    assert not ansatz.bind([0.1], [0.2]).parameters
    decided = Ising(np.zeros(1), np.zeros((1, 1)), groups=((0,),))
    assert complete_ansatz(decided, 1).bindings([[0.1]], [[0.2]]) == [{}]


def test_a_bound_circuit_leaves_the_ansatz_open(draw):
    ansatz = transverse_ansatz(draw.model(3, np.random.default_rng(2)), 2)
    ansatz.bind([0.1, 0.2], [0.3, 0.4])
    assert len(ansatz.circuit.parameters) == 4


def test_multi_angle_vectors_run_layer_by_layer(draw):
    ising = draw.model(4, np.random.default_rng(3), density=0.5)
    ansatz = multi_angle_ansatz(ising, 3)
    assert (len(ansatz.gammas), len(ansatz.betas)) == (3 * term_count(ising), 3 * 4)


def test_no_spins_and_no_layers_make_the_trivial_circuits():
    nothing = Ising(np.zeros(0), np.zeros((0, 0)))
    builds = (transverse_ansatz, complete_ansatz, ring_ansatz, grover_ansatz, multi_angle_ansatz)
    for build in builds:
        assert build(nothing, 2).footprint.gates == 0
    three = Ising(np.ones(3), np.triu(np.ones((3, 3)), 1), groups=((0, 1),))
    assert {build(three, 0).bind([], []).num_parameters for build in builds} == {0}


@pytest.mark.parametrize(
    ("gammas", "betas"),
    [([0.1], [0.2, 0.3]), ([0.1, 0.2], [0.3, np.inf]), ([[0.1, 0.2]], [[0.3, 0.4]]), ([], [])],
)
def test_angles_that_do_not_fit_are_refused(draw, gammas, betas):
    ansatz = transverse_ansatz(draw.model(3, np.random.default_rng(4)), 2)
    with pytest.raises(ValueError, match="expected"):
        ansatz.bind(gammas, betas)


def test_batches_of_unequal_length_are_refused(draw):
    ansatz = transverse_ansatz(draw.model(3, np.random.default_rng(5)), 2)
    with pytest.raises(ValueError, match="as many sets"):
        ansatz.bindings(np.ones((3, 2)), np.ones((4, 2)))
