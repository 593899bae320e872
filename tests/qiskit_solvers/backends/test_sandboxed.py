"""A boxed backend gives what it gives unboxed; whatever happens to its process, the caller gets a typed error."""

import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from qiskit import QuantumCircuit

from qiskit_solvers import Ising, SolverFailed, TooLarge, sandbox
from qiskit_solvers.backends import transfer
from qiskit_solvers.backends.aer import Aer
from qiskit_solvers.backends.dwave import DWave
from qiskit_solvers.backends.ibm import Ibm
from qiskit_solvers.backends.noise import FakeDevice, GateNoise
from qiskit_solvers.backends.protocol import Backend, Batch, OverBudget, Unavailable
from qiskit_solvers.backends.sandboxed import Sandboxed, SandboxedAnnealing
from qiskit_solvers.circuits.transverse import transverse_ansatz, transverse_circuit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and the fence and the kill are Linux's")

BOXED = Sandboxed(Aer())


def model(spins: int, seed: int = 3) -> Ising:
    rng = np.random.default_rng(seed)
    return Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)), 1))


def tiny() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    return circuit


def endless() -> QuantumCircuit:
    """A minute of work."""
    return transverse_circuit(model(16), np.full(300, 0.1), np.full(300, 0.1))


@pytest.fixture(autouse=True)
def one_child_at_most(end_children: Callable[[], None]):
    """Start without the idle children of an earlier test; afterwards, the next call must work."""
    end_children()
    yield
    assert set(BOXED.run([tiny()], shots=50, seed=1).counts[0]) == {0, 3}


@pytest.mark.parametrize(
    "backend",
    [
        Aer(),
        Aer(method="matrix_product_state", bond_dimension=4),
        Aer(method="automatic", noise=GateNoise(two_qubit=0.02, read_1_for_0=0.03, t1_us=90.0, t2_us=80.0)),
        Aer(noise=FakeDevice("FakeManilaV2"), qubits=(3, 2, 1), method="automatic"),
        Ibm(fake="FakeManilaV2"),
    ],
    ids=["aer", "mps", "noise", "fake", "ibm"],
)
def test_a_boxed_backend_counts_as_it_does_unboxed(backend: Backend):
    ansatz = transverse_ansatz(model(3), 2)
    batch = Batch(ansatz.circuit, ansatz.bindings(np.full((2, 2), 0.3), [[0.5, 0.4], [0.2, 0.1]])[0])
    circuits = [batch, QuantumCircuit(0), ansatz.bind([0.1, 0.2], [0.3, 0.4])]
    boxed = Sandboxed(backend).run(circuits, shots=200, seed=7)
    alone = backend.run(circuits, shots=200, seed=7)
    assert boxed.counts == alone.counts
    assert [list(counts) for counts in boxed.counts] == [sorted(counts) for counts in alone.counts]
    assert replace(boxed.figures, run_s=0.0, queue_s=0.0) == replace(alone.figures, run_s=0.0, queue_s=0.0)
    assert Sandboxed(backend).kind == backend.kind


def test_a_boxed_annealer_reads_as_it_does_unboxed():
    ising = replace(model(6), groups=((0, 1, 2),), offset=2.5)
    backend = DWave(offline="simulated")
    boxed, alone = (one.read(ising, reads=30, seed=4) for one in (SandboxedAnnealing(backend), backend))
    assert np.array_equal(boxed.strings, alone.strings)
    assert np.array_equal(boxed.energies, alone.energies)
    assert np.array_equal(boxed.counts, alone.counts)


def test_seventy_bits_come_back_whole():
    circuit = QuantumCircuit(70)
    circuit.x([0, 69])
    boxed = Sandboxed(Aer(method="automatic", bond_dimension=2))
    assert boxed.run([circuit], shots=3, seed=1).counts == ({1 | 1 << 69: 3},)


def test_no_circuits_give_no_counts():
    assert BOXED.run([], shots=1, seed=0).counts == ()


def test_what_does_not_fit_is_refused_without_asking_a_child():
    with pytest.raises(TooLarge, match="aer: expected at most 256 MiB, needs"):
        Sandboxed(Aer(memory_mb=1 << 20), memory_mb=256).run([QuantumCircuit(26)], shots=1, seed=0)
    with pytest.raises(TooLarge):
        Sandboxed(Aer(), memory_mb=64).run([QuantumCircuit(2)], shots=10**9, seed=0)


def test_what_the_backend_refuses_keeps_its_type():
    """It fits the box and not the backend, which finds out in the child."""
    with pytest.raises(TooLarge, match="run: aer: expected at most 8 MiB"):
        Sandboxed(Aer(memory_mb=8), memory_mb=512).run([QuantumCircuit(20)], shots=1, seed=0)
    with pytest.raises(OverBudget, match="at most 100 shots, 1 circuits take 200"):
        Sandboxed(Ibm(fake="FakeManilaV2", max_shots=100)).run([tiny()], shots=200, seed=0)


def test_a_backend_that_outgrows_its_estimate_meets_the_fence():
    request = {
        "backend": transfer.pack_backend(Aer(memory_mb=1 << 20)),
        "secrets": {},
        "circuits": transfer.pack_circuits([Batch(QuantumCircuit(25))]),
        "shots": 1,
        "seed": 0,
    }
    with pytest.raises(SolverFailed, match="out of memory"):
        sandbox.call("run", request, deadline_s=30, memory_mb=64)


def test_a_run_that_takes_too_long_is_killed_at_the_deadline():
    Sandboxed(Aer()).run([tiny()], shots=1, seed=0)  # a child's start does not count, and takes seconds
    start_s = time.monotonic()
    with pytest.raises(SolverFailed, match=r"run: no answer within 0\.5 s; its process was killed"):
        Sandboxed(Aer(), deadline_s=0.5).run([endless()], shots=1, seed=0)
    assert time.monotonic() - start_s < 30  # on a machine with other work


@pytest.mark.parametrize(("number", "name"), [(signal.SIGKILL, "SIGKILL"), (signal.SIGSEGV, "SIGSEGV")])
def test_a_killed_run_is_named_with_its_signal(number: int, name: str):
    BOXED.run([tiny()], shots=1, seed=0)
    (pid,) = sandbox.children()
    circuit = endless()
    with ThreadPoolExecutor(1) as threads:
        before_s = processor_seconds(pid)
        run = threads.submit(BOXED.run, [circuit], shots=1, seed=0)
        while processor_seconds(pid) < before_s + 0.2:
            time.sleep(0.01)
        os.kill(pid, number)
        with pytest.raises(SolverFailed, match=rf"run: its process was killed by signal {int(number)} \({name}\)"):
            run.result(timeout=30)


@pytest.mark.parametrize("options", [{"deadline_s": 0.0}, {"deadline_s": float("nan")}, {"memory_mb": 0}])
def test_boxes_that_hold_nothing_are_refused(options: dict[str, float]):
    with pytest.raises(ValueError, match="expected a positive deadline and memory"):
        Sandboxed(Aer(), **options)
    with pytest.raises(ValueError, match="expected"):
        sandbox.call("run", {}, **{"deadline_s": 1.0, "memory_mb": 1, **options})


@dataclass(frozen=True, slots=True)
class Homemade:
    """A backend of nobody's."""

    kind: str = "homemade"


def test_backends_that_no_child_knows_are_refused():
    with pytest.raises(ValueError, match="expected one of Aer, DWave, Google, Ibm, got Homemade of kind homemade"):
        Sandboxed(Homemade())
    with pytest.raises(ValueError, match="got Sandboxed of kind aer"):
        Sandboxed(BOXED)


def test_a_backend_of_the_other_kind_is_refused_and_its_box_named():
    with pytest.raises(ValueError, match="expected a backend of circuits, got dwave: SandboxedAnnealing takes it"):
        Sandboxed(DWave())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected an annealing backend, got aer: Sandboxed takes it"):
        SandboxedAnnealing(Aer())  # type: ignore[arg-type]


def test_a_boxed_annealer_refuses_no_reads_by_their_name():
    with pytest.raises(ValueError, match="reads: expected at least 1, got 0"):
        SandboxedAnnealing(DWave(offline="simulated")).read(Ising(np.zeros(1), np.zeros((1, 1))), reads=0, seed=0)


@pytest.mark.parametrize("backend", [Ibm(), Ibm(secret={}.get)], ids=["environment", "getter"])
def test_a_missing_key_is_named_before_a_child_is_asked(monkeypatch: pytest.MonkeyPatch, backend: Ibm):
    monkeypatch.delenv("QISKIT_IBM_TOKEN", raising=False)
    with pytest.raises(Unavailable, match="QISKIT_IBM_TOKEN"):
        Sandboxed(backend).run([tiny()], shots=1, seed=0)


def test_five_hundred_calls_leak_nothing(capsys: pytest.CaptureFixture[str]):
    calls_leak_nothing(500, capsys)


@pytest.mark.system
def test_ten_thousand_calls_leak_nothing(capsys: pytest.CaptureFixture[str]):
    calls_leak_nothing(10_000, capsys)


def calls_leak_nothing(calls: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Open files stay as many, and memory within 4 MB, of caller, fork server and child, from the 100th call on."""
    circuit = tiny()
    for seed in range(100):
        BOXED.run([circuit], shots=10, seed=seed)
    (child,) = sandbox.children()
    processes = {"caller": os.getpid(), "fork server": parent_of(child), "child": child}
    before = {name: footprint(pid) for name, pid in processes.items()}
    taken_s = []
    for seed in range(calls):
        start_s = time.perf_counter()
        BOXED.run([circuit], shots=10, seed=seed)
        taken_s.append(time.perf_counter() - start_s)
    after = {name: footprint(pid) for name, pid in processes.items()}
    with capsys.disabled():
        growth = ", ".join(f"{name} {(after[name][1] - before[name][1]) / 1024:+.1f} MB" for name in processes)
        print(f"\n{calls} calls, {1e3 * float(np.median(taken_s)):.2f} ms median; memory: {growth}")
    assert sandbox.children() == (child,)
    for name in processes:
        assert after[name][0] == before[name][0], f"open files of the {name}"
        assert after[name][1] - before[name][1] < 4096, f"memory of the {name}, kB"


def footprint(pid: int) -> tuple[int, int]:
    """Return the number of open files and the resident memory, kB."""
    status = Path(f"/proc/{pid}/status").read_text()
    (resident,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), resident


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
