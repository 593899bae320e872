"""The estimate of memory is what Aer takes: with it a run fits, with much less it does not."""

import math
import sys
from collections.abc import Callable

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Gate
from qiskit.circuit.library import DiagonalGate, UnitaryGate

from qiskit_solvers import SolverFailed, TooLarge, memory, sandbox
from qiskit_solvers.backends import transfer
from qiskit_solvers.backends.aer import Aer
from qiskit_solvers.backends.protocol import Batch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fence is Linux's")

UNKNOWN_MB = 1 << 20  # what Aer itself is told, so that only the fence decides


def uniform(qubits: int, layers: int = 0) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    circuit.h(range(qubits))
    for layer in range(layers):
        for qubit in range(qubits):
            circuit.rzz(0.1 + layer, qubit, (qubit + 1) % qubits)
        circuit.rx(0.3, range(qubits))
    return circuit


def carried(gate: Gate, gates: int) -> QuantumCircuit:
    circuit = QuantumCircuit(10)
    for place in range(gates):
        circuit.append(gate.copy(), [(place + i) % 10 for i in range(gate.num_qubits)])
    return circuit


def run_fenced(aer: Aer, circuit: QuantumCircuit, shots: int, memory_mb: int) -> None:
    request = {
        "backend": transfer.pack_backend(aer),
        "secrets": {},
        "circuits": transfer.pack_circuits([Batch(circuit)]),
        "shots": shots,
        "seed": 1,
    }
    sandbox.call("run", request, deadline_s=60, memory_mb=memory_mb)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("aer", "circuit", "shots", "tight"),
    [
        pytest.param(Aer(memory_mb=UNKNOWN_MB), uniform(19), 100, 0.7, id="state"),
        pytest.param(Aer(memory_mb=UNKNOWN_MB, precision="single"), uniform(20), 100, 0.7, id="single precision"),
        pytest.param(Aer(memory_mb=UNKNOWN_MB, method="density_matrix"), uniform(10), 100, 0.8, id="density matrix"),
        pytest.param(Aer(memory_mb=UNKNOWN_MB), uniform(3), 300_000, 0.8, id="shots"),
        pytest.param(Aer(memory_mb=UNKNOWN_MB), uniform(18), 60_000, 0.5, id="distinct strings"),
        pytest.param(Aer(memory_mb=UNKNOWN_MB), uniform(6, 400), 10, 0.8, id="gates"),
        pytest.param(Aer(memory_mb=UNKNOWN_MB), uniform(13, 600), 10, 0.1, id="fused gates"),
        pytest.param(Aer(memory_mb=UNKNOWN_MB), carried(UnitaryGate(np.eye(32)), 300), 10, 0.5, id="matrices"),
        pytest.param(Aer(memory_mb=UNKNOWN_MB), carried(DiagonalGate([1.0] * 256), 400), 10, 0.4, id="diagonals"),
    ],
)
def test_a_run_fits_its_estimate_and_not_much_less(
    aer: Aer, circuit: QuantumCircuit, shots: int, tight: float, end_children: Callable[[], None]
):
    """In a new child each time: one that ran before would use again what it has."""
    end_children()
    needed_mb = math.ceil(aer.bytes_needed([circuit], shots) / 2**20)
    run_fenced(aer, circuit, shots, needed_mb)
    end_children()
    # an allocation that fails deep in Aer may also crash it: contained all the same
    with pytest.raises(SolverFailed, match=r"out of memory|killed by signal|exit status"):
        run_fenced(aer, circuit, shots, int(tight * needed_mb))


@pytest.mark.parametrize("bond_dimension", [4, 16])
def test_a_matrix_product_state_fits_its_estimate(bond_dimension: int, end_children: Callable[[], None]):
    end_children()
    aer = Aer(memory_mb=UNKNOWN_MB, method="matrix_product_state", bond_dimension=bond_dimension)
    circuit = uniform(20, 3)
    run_fenced(aer, circuit, 200, math.ceil(aer.bytes_needed([circuit], 200) / 2**20))


def test_sizes_of_states():
    assert memory.statevector_bytes(20) == 2**24
    assert memory.statevector_bytes(20, "single") == 2**23
    assert memory.density_matrix_bytes(10) == 2**24
    # 4 qubits of a matrix product state with full bonds 1, 2, 4, 2, 1, and the widest pair beside them
    assert memory.mps_bytes(4, 100) == 32 * (2 + 8 + 8 + 2) + 96 * 64
    assert memory.mps_bytes(60, 64) < 10 * 2**20


def test_more_than_there_is_is_refused_and_named():
    memory.require(64 << 20, 64, "aer")
    with pytest.raises(TooLarge, match="aer: expected at most 64 MiB, needs 65 MiB"):
        memory.require((64 << 20) + 1, 64, "aer")
    with pytest.raises(TooLarge, match=r"needs 2\*\*\d+ MiB"):
        memory.require(memory.statevector_bytes(200), 64, "aer")
