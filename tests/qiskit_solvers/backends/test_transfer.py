"""What crosses to another process as JSON comes back equal, and naming a backend loads no quantum library."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import UnitaryGate, XXPlusYYGate
from scipy import sparse

import qiskit_solvers
from qiskit_solvers import Ising
from qiskit_solvers.backends import transfer
from qiskit_solvers.backends.aer import Aer
from qiskit_solvers.backends.dwave import DWave
from qiskit_solvers.backends.google import Google
from qiskit_solvers.backends.ibm import Ibm
from qiskit_solvers.backends.noise import FakeDevice, GateNoise
from qiskit_solvers.backends.protocol import Batch, Figures, Reads, Run
from qiskit_solvers.circuits.one_hot import complete_ansatz
from qiskit_solvers.circuits.transverse import transverse_ansatz

KEY = "not-a-real-key-0123456789"


def across(value: Any) -> Any:
    return json.loads(json.dumps(value))


@pytest.mark.parametrize(
    "backend",
    [
        Aer(),
        Aer(method="matrix_product_state", bond_dimension=7, threads=2, precision="single", memory_mb=77),
        Aer(noise=GateNoise(one_qubit=0.1, t1_us=3.0, t2_us=2.0)),
        Aer(noise=FakeDevice("FakeTorino"), qubits=(5, 6)),
        Ibm(device="ibm_somewhere", qubits=(1, 2), max_seconds=3.5),
        Google(memory_mb=12),
    ],
)
def test_backends_cross_with_all_their_options(backend: Any):
    assert transfer.unpack_backend(across(transfer.pack_backend(backend)), {}) == backend


def test_an_annealing_backend_crosses_with_all_its_options():
    backend = DWave(device="somewhere", chain_strength=2.0, annealing_us=5.0)
    assert transfer.unpack_annealing_backend(across(transfer.pack_backend(backend)), {}) == backend


def test_keys_cross_beside_the_options_and_are_found_again():
    packed = transfer.pack_backend(Ibm(secret={"QISKIT_IBM_TOKEN": KEY}.get))
    assert KEY not in json.dumps(packed)
    backend = transfer.unpack_backend(across(packed), {"QISKIT_IBM_TOKEN": KEY})
    assert isinstance(backend, Ibm)
    assert backend.secret is not None
    assert backend.secret("QISKIT_IBM_TOKEN") == KEY
    assert backend.secret("QISKIT_IBM_INSTANCE") is None


def test_circuits_cross_with_any_gates_and_their_angles():
    rng = np.random.default_rng(4)
    ising = Ising(rng.normal(size=5), np.triu(rng.normal(size=(5, 5)), 1), groups=((0, 1, 2),))
    ansatz, ring = transverse_ansatz(ising, 2), complete_ansatz(ising, 1)
    odd = QuantumCircuit(3, 1)
    odd.append(UnitaryGate(np.linalg.qr(rng.normal(size=(4, 4)))[0]), [0, 2])
    odd.append(XXPlusYYGate(0.3), [1, 2])
    odd.measure(1, 0)
    batches = (
        Batch(ansatz.circuit, ansatz.bindings(rng.normal(size=(3, 2)), rng.normal(size=(3, 2)))[0]),
        Batch(odd),
        Batch(ring.circuit, ring.bindings(rng.normal(size=(1, 1)), rng.normal(size=(1, 1)))[0]),
        Batch(QuantumCircuit(0)),
    )
    back = transfer.unpack_circuits(across(transfer.pack_circuits(batches)))
    for before, after in zip(batches, back, strict=True):
        assert after.circuit == before.circuit
        assert after.sets == before.sets
        assert {a.name: list(v) for a, v in after.bindings.items()} == {
            a.name: list(v) for a, v in before.bindings.items()
        }


def test_angles_keep_their_values_whatever_they_are_called():
    second, first = Parameter("b"), Parameter("a")
    circuit = QuantumCircuit(2)
    circuit.rx(second, 0)
    circuit.ry(first, 1)
    (back,) = transfer.unpack_circuits(across(transfer.pack_circuits([Batch(circuit, {second: [2.0], first: [1.0]})])))
    assert {angle.name: values for angle, values in back.bindings.items()} == {"a": [1.0], "b": [2.0]}


def test_no_circuits_cross_as_none():
    assert transfer.unpack_circuits(across(transfer.pack_circuits([]))) == ()


@pytest.mark.parametrize("thin", [False, True], ids=["dense", "sparse"])
def test_a_model_crosses_without_its_names(thin: bool):
    rng = np.random.default_rng(4)
    J = np.triu(rng.normal(size=(4, 4)), 1)
    ising = Ising(rng.normal(size=4), sparse.csr_array(J) if thin else J, 1.25, ((0, 2),), ("a", "b", "c", "d"))
    back = transfer.unpack_ising(across(transfer.pack_ising(ising)))
    assert np.array_equal(back.h, ising.h)
    assert np.array_equal(back.couplings, J)
    assert (back.offset, back.groups, back.names) == (1.25, ((0, 2),), ())


def test_answers_cross_whole():
    figures = Figures(1.5, 2.5, (3, 4), (5, 6), ((1, 0), ()))
    run = transfer.unpack_run(across(transfer.pack_run(Run(({1: 2, 1 << 80: 3}, {}), figures))))
    assert run.counts == ({1: 2, 1 << 80: 3}, {})
    assert run.figures == figures
    reads = Reads(np.ones((1, 0), np.int8), np.array([0.1]), np.array([4]), replace(figures, depth=()))
    back = transfer.unpack_reads(across(transfer.pack_reads(reads)))
    assert back.strings.shape == (1, 0)
    assert back.strings.dtype == np.int8
    assert (back.energies[0], back.counts[0], back.figures) == (0.1, 4, reads.figures)


def test_naming_a_backend_loads_no_quantum_library():
    script = """
import sys
import qiskit_solvers.sandbox
from qiskit_solvers.backends import aer, credentials, dwave, google, ibm, noise, protocol, readout, sandboxed, transfer
box = sandboxed.Sandboxed(aer.Aer(noise=noise.FakeDevice()))
heavy = {"qiskit", "qiskit_aer", "qiskit_ibm_runtime", "dimod", "dwave", "cirq"} & set(sys.modules)
sys.exit(f"loaded {sorted(heavy)}" if heavy else 0)
"""
    root = Path(qiskit_solvers.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
