"""IBM's runtime gives what its fake devices measure; caps, queues and missing keys end in typed refusals."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from qiskit_solvers import Ising, SolverFailed
from qiskit_solvers.backends import transfer
from qiskit_solvers.backends.credentials import credential, without
from qiskit_solvers.backends.ibm import Ibm, wait_in_queue
from qiskit_solvers.backends.protocol import Batch, OverBudget, Unavailable
from qiskit_solvers.circuits.transverse import transverse_ansatz

MANILA = Ibm(fake="FakeManilaV2")
KEY = "not-a-real-key-0123456789"


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    return circuit


def test_a_fake_device_measures_about_what_the_circuit_says():
    ising = Ising(np.array([0.4, -0.3, 0.2]), np.triu(np.ones((3, 3)), 1))
    ansatz = transverse_ansatz(ising, 1)
    batch = Batch(ansatz.circuit, ansatz.bindings([[0.3], [0.6]], [[0.5], [0.2]])[0])
    run = MANILA.run([batch, bell(), QuantumCircuit(0)], shots=2_000, seed=4)
    assert len(run.counts) == 4
    assert run.counts[3] == {0: 2_000}
    wanted = [ansatz.bind([0.3], [0.5]), ansatz.bind([0.6], [0.2]), bell()]
    for counts, circuit in zip(run.counts, wanted, strict=False):
        assert list(counts) == sorted(counts)
        exact = Statevector(circuit).probabilities()
        seen = np.array([counts.get(index, 0) for index in range(exact.size)]) / 2_000
        assert np.abs(seen - exact).sum() / 2 < 0.15
    assert len(run.figures.two_qubit_gates) == len(run.figures.depth) == 2
    assert run.figures.two_qubit_gates[1] == 1


def test_the_same_seed_gives_the_same_counts():
    first, again, other = (MANILA.run([bell()], shots=500, seed=seed).counts for seed in (1, 1, 2))
    assert first == again != other


def test_the_qubits_that_are_named_are_used():
    run = Ibm(fake="FakeManilaV2", qubits=(4, 3)).run([bell()], shots=10, seed=1)
    assert run.figures.measured == ((4, 3),)


def test_bit_i_is_qubit_i():
    circuit = QuantumCircuit(3)
    circuit.x(2)
    (counts,) = MANILA.run([circuit], shots=500, seed=1).counts
    assert counts[0b100] > 400


def test_a_circuit_wider_than_the_device_is_a_solver_that_failed():
    with pytest.raises(SolverFailed, match=r"ibm: TranspilerError: .*More virtual qubits"):
        MANILA.run([QuantumCircuit(6)], shots=1, seed=0)


@pytest.mark.parametrize(
    ("backend", "shots", "message"),
    [
        (Ibm(max_shots=999), 500, "at most 999 shots, 2 circuits take 1000"),
        (Ibm(max_seconds=10.0), 50_000, "at most 10 s, 100000 shots take 32.0 s"),
    ],
)
def test_what_costs_too_much_is_refused_before_a_key_is_asked_for(backend: Ibm, shots: int, message: str):
    with pytest.raises(OverBudget, match=message):
        backend.run([bell(), bell()], shots=shots, seed=0)


@pytest.mark.parametrize("given", [{}, {"QISKIT_IBM_TOKEN": KEY}])
def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch, given: dict[str, str]):
    missing = "QISKIT_IBM_INSTANCE" if given else "QISKIT_IBM_TOKEN"
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Unavailable, match=f"{missing}: expected a key"):
        Ibm(secret=given.get).run([bell()], shots=1, seed=0)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unavailable, match=f"{missing}: expected a key"):
        Ibm().run([bell()], shots=1, seed=0)


def test_a_key_is_in_no_field_text_or_parcel():
    backend = Ibm(secret={"QISKIT_IBM_TOKEN": KEY}.get)
    assert KEY not in repr(backend)
    assert "secret" not in repr(backend)
    assert "secret" not in transfer.pack_backend(backend)
    assert credential("QISKIT_IBM_TOKEN", backend.secret) == KEY


def test_a_failing_client_does_not_tell_the_key(monkeypatch: pytest.MonkeyPatch):
    import qiskit_ibm_runtime

    def refuse(**options: str) -> None:
        raise OSError(f"401 for {options['token']} in {options['instance']}")

    monkeypatch.setattr(qiskit_ibm_runtime, "QiskitRuntimeService", refuse)
    keys = {"QISKIT_IBM_TOKEN": KEY, "QISKIT_IBM_INSTANCE": "crn:v1:secret-instance"}
    with pytest.raises(SolverFailed, match=r"ibm: OSError: 401 for \*\*\* in \*\*\*") as failed:
        Ibm(secret=keys.get).run([bell()], shots=1, seed=0)
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__


def test_secrets_are_blotted_out_of_messages():
    assert without("a key-1 b key-2", ["key-1", "", "key-2"]) == "a *** b ***"


class Job:
    """A job of the service that leaves the queue after some looks, or never."""

    def __init__(self, looks: int) -> None:
        self.looks = looks
        self.cancelled = False

    def status(self) -> str:
        self.looks -= 1
        return "QUEUED" if self.looks >= 0 else "RUNNING"

    def cancel(self) -> None:
        self.cancelled = True


def test_a_job_that_waits_too_long_is_cancelled():
    job = Job(looks=10**9)
    with pytest.raises(Unavailable, match=r"within 0\.05 s; the job was cancelled"):
        wait_in_queue(job, 0.05, poll_s=0.01)
    assert job.cancelled


def test_a_job_that_leaves_the_queue_is_not_cancelled():
    job = Job(looks=3)
    assert wait_in_queue(job, 5.0, poll_s=0.01) >= 0.03
    assert not job.cancelled


@pytest.mark.parametrize("options", [{"max_shots": 0}, {"max_seconds": 0.0}, {"queue_limit_s": 0.0}, {"level": 4}])
def test_options_that_make_no_sense_are_refused(options: dict[str, float]):
    with pytest.raises(ValueError, match="expected"):
        Ibm(**options)
