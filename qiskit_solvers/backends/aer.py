"""How are circuits run on Qiskit Aer, with or without noise? Meant for the sandboxed child.

Aer holds the interpreter lock for a whole run, cannot be cancelled, and may exhaust the memory of
its process; :class:`~qiskit_solvers.backends.sandboxed.Sandboxed` keeps it in a process that can be killed.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from qiskit_solvers import memory
from qiskit_solvers.backends.noise import BASIS_GATES, FakeDevice, Noise, fake_device, noise_model
from qiskit_solvers.backends.protocol import Batch, Circuit, Counts, Figures, Run, as_batches, check_request
from qiskit_solvers.backends.transpiled import is_native, measured, pass_manager, physical_qubits
from qiskit_solvers.errors import SolverFailed
from qiskit_solvers.ising import Ising

Method = Literal["statevector", "density_matrix", "matrix_product_state"]

# circuits/cost.py orders gates so that neighbours act on two groups of 3 qubits, which Aer fuses into one pass
_FUSED_QUBITS = 6
_FUSE_ABOVE_QUBITS = 12  # up to here fusing costs more than it saves; at 14 it saves 1.5 x, at 18 3.8 x
_ONE_QUBIT_GATES = ("h", "x", "y", "z", "s", "sdg", "t", "tdg", "sx", "sxdg", "rx", "ry", "rz", "p", "u")
_CARRIERS = {"unitary", "diagonal", "initialize", "state_preparation"}
_WIDER_GATES = ("cx", "cy", "cz", "cp", "swap", "rzz", "rxx", "ryy", "ccx", "unitary", "diagonal")
# what every method runs as it is; other gates may load the translator
_WELL_KNOWN_GATES = frozenset((*_ONE_QUBIT_GATES, *_WIDER_GATES, "measure", "reset"))
_TRANSLATOR_BYTES = 64 << 20  # of addresses, once in a process: Qiskit's transpiler with its plug-ins
_FAKE_DEVICE_BYTES = 384 << 20  # likewise, with the largest fake devices
_DENSITY_QUBITS = 9  # up to here the whole density matrix costs less than a state per noisy shot


@dataclass(frozen=True, slots=True)
class Aer:
    """The simulator Qiskit Aer on this machine's processor, one circuit after another.

    Args:
        kind: name in reports.
        method: ``automatic`` takes the state where it fits into ``memory_mb`` and a matrix product state
            beyond (Vidal 2003, doi 10.1103/PhysRevLett.91.147902); few noisy qubits get a density matrix.
        precision: of an amplitude.
        bond_dimension: terms that a matrix product state keeps between neighbours. What it cuts is lost: sparse
            circuits with a matching order of qubits lose little, a circuit with random couplings much.
        noise: errors to simulate; without, circuits run as they are where Aer knows their gates.
        qubits: with a fake device, the physical qubit of each qubit; empty leaves the choice to the transpiler.
        fusion: let Aer join neighbouring gates before it runs them.
        threads: of one circuit. More than one helps from 18 qubits on, on a quiet machine only.
        memory_mb: largest run, MiB.

    Raises:
        ValueError: there is no such method or precision, a count is not positive, or qubits are chosen without a
            device.
    """

    kind: Literal["aer"] = "aer"
    method: Literal["automatic"] | Method = "statevector"
    precision: memory.Precision = "double"
    bond_dimension: int = 64
    noise: Noise | None = None
    qubits: tuple[int, ...] = ()
    fusion: bool = True
    threads: int = 1
    memory_mb: int = 1024

    def __post_init__(self) -> None:
        if self.method not in ("automatic", *get_args(Method)):
            raise ValueError(f"method: expected 'automatic' or one of {get_args(Method)}, got {self.method!r}")
        if self.precision not in get_args(memory.Precision):
            raise ValueError(f"precision: expected one of {get_args(memory.Precision)}, got {self.precision!r}")
        if min(self.bond_dimension, self.threads, self.memory_mb) < 1:
            raise ValueError(f"expected counts of at least 1, got {self}")
        if self.qubits and not isinstance(self.noise, FakeDevice):
            raise ValueError(f"qubits: expected none without a fake device, got {self.qubits}")

    def run(self, circuits: Sequence[Circuit | Batch], *, shots: int, seed: int) -> Run:
        """Run all circuits as one job; see :meth:`~qiskit_solvers.backends.protocol.Backend.run`."""
        from qiskit.exceptions import QiskitError

        check_request(shots, seed)
        batches = as_batches(circuits)
        memory.require(self.bytes_needed(batches, shots), self.memory_mb, "aer")
        try:
            return _run(self, batches, shots, seed)
        except MemoryError as error:
            raise SolverFailed(f"aer: out of memory: {error}") from error
        except (QiskitError, RuntimeError) as error:
            raise SolverFailed(f"aer: {error}") from error

    def bytes_needed(self, circuits: Sequence[Circuit | Batch], shots: int) -> int:
        """Return the memory that the run will take, at most; a fake device may add qubits on the way."""
        return _bytes_needed(self, [(batch.circuit.num_qubits, batch) for batch in as_batches(circuits)], shots)

    def method_for(self, qubits: int) -> Method:
        """Return the method for a circuit of so many qubits."""
        if self.method != "automatic":
            return self.method
        if self.noise is not None and qubits <= _DENSITY_QUBITS:
            return "density_matrix"
        fits = memory.statevector_bytes(qubits, self.precision) <= (self.memory_mb << 20) // 2
        return "statevector" if fits else "matrix_product_state"


def sample(
    ising: Ising, gammas: Sequence[float], betas: Sequence[float], *, shots: int, seed: int, memory_mb: int
) -> Counts:
    """Run a model's QAOA circuit in the form that Aer runs fastest; nothing is transpiled.

    Args:
        ising: the cost; with groups the mixer is the complete one.
        gammas: cost angles, one per layer.
        betas: mixer angles, one per layer.
        shots: number of measurements.
        seed: of the simulator.
        memory_mb: largest state that Aer may allocate, MiB.

    Raises:
        MemoryError: the state, or what Aer needs beside it, does not fit.
        RuntimeError: Aer reports another failure, with its reason.
    """
    from qiskit_solvers.circuits.aer_form import complete_for_aer, transverse_for_aer

    build = complete_for_aer if ising.groups else transverse_for_aer
    aer = Aer(memory_mb=memory_mb, fusion=bool(ising.groups))  # its diagonals are as wide as pays already
    return _run(aer, (Batch(build(ising, gammas, betas)),), shots, seed).counts[0]


def sample_bytes(qubits: int, shots: int) -> int:
    """Return what :func:`sample` takes for its state and its counts; the circuit comes on top."""
    return memory.statevector_bytes(qubits) + memory.samples_bytes(qubits, shots) + memory.counts_bytes(qubits, shots)


def state(ising: Ising, gammas: Sequence[float], betas: Sequence[float]) -> npt.NDArray[np.complex128]:
    """Return Aer's statevector, ``(2**spins,)``, of the same circuit."""
    from qiskit_solvers.circuits.transverse import transverse_circuit

    circuit = transverse_circuit(ising, gammas, betas)
    circuit.save_statevector()
    result = _simulator(Aer(), "statevector").run(circuit).result()
    _check(result)
    return np.asarray(result.get_statevector(), dtype=np.complex128)


def _run(aer: Aer, batches: Sequence[Batch], shots: int, seed: int) -> Run:
    translated = [_translated(aer, batch) for batch in batches]
    counts: list[list[Counts]] = [[{0: shots}] * batch.sets for batch in translated]  # of a circuit without bits
    seconds = 0.0
    for method in dict.fromkeys(aer.method_for(batch.circuit.num_qubits) for batch in batches):
        places = [
            place
            for place, batch in enumerate(translated)
            if batch.circuit.num_clbits and batch.sets and aer.method_for(batches[place].circuit.num_qubits) == method
        ]
        if not places:
            continue
        bindings = [{angle: list(values) for angle, values in translated[place].bindings.items()} for place in places]
        result = (
            _simulator(aer, method)
            .run(
                [translated[place].circuit for place in places],
                parameter_binds=bindings if any(bindings) else None,
                runtime_parameter_bind_enable=any(bindings),
                shots=shots,
                seed_simulator=seed,
            )
            .result()
        )
        _check(result)
        seconds += float(result.time_taken)
        answers = iter(range(len(result.results)))
        for place in places:
            counts[place] = [_counts(result, next(answers)) for _ in range(translated[place].sets)]
    device = isinstance(aer.noise, FakeDevice)
    figures = Figures(
        run_s=seconds,
        two_qubit_gates=tuple(batch.circuit.num_nonlocal_gates() for batch in translated),
        depth=tuple(batch.circuit.depth() for batch in translated) if aer.noise else (),
        measured=tuple(physical_qubits(batch.circuit) for batch in translated) if device else (),
    )
    return Run(tuple(one for sets in counts for one in sets), figures)


def _translated(aer: Aer, batch: Batch) -> Batch:
    """Return the batch with its circuit measured, in gates that the simulator knows."""
    circuit = measured(batch.circuit)
    method = aer.method_for(circuit.num_qubits)
    if circuit.num_qubits and not (aer.noise is None and is_native(circuit, _native_gates(method))):
        circuit = _pass_manager(aer.noise, method, aer.qubits[: circuit.num_qubits]).run(circuit)
    return Batch(circuit, batch.bindings)


def _bytes_needed(aer: Aer, sized: Sequence[tuple[int, Batch]], shots: int) -> int:
    """Return the memory of a run of batches whose circuits use so many qubits."""
    passing = [0]  # with the circuit that runs
    kept = 0
    for qubits, batch in sized:
        method = aer.method_for(qubits)
        product = method == "matrix_product_state"
        if product:
            state = memory.mps_bytes(qubits, aer.bond_dimension)
        elif method == "density_matrix":
            state = memory.density_matrix_bytes(qubits, aer.precision)
        else:
            state = memory.statevector_bytes(qubits, aer.precision)
        fused = (
            memory.fusion_bytes(len(batch.circuit.data))
            if aer.fusion and not product and qubits > _FUSE_ABOVE_QUBITS
            else 0
        )
        passing.append(state + fused + memory.samples_bytes(qubits, shots, matrix_product_state=product))
        kept += _carried_bytes(batch.circuit)
        kept += memory.gates_bytes(len(batch.circuit.data)) + batch.sets * memory.counts_bytes(qubits, shots)
    if isinstance(aer.noise, FakeDevice):
        return max(passing) + kept + _FAKE_DEVICE_BYTES
    plain = aer.noise is None and all(is_native(batch.circuit, _WELL_KNOWN_GATES) for _, batch in sized)
    return max(passing) + kept + (0 if plain else _TRANSLATOR_BYTES)


def _carried_bytes(circuit: Circuit) -> int:
    """Return what the matrices and diagonals take that a circuit carries."""
    if not _CARRIERS & circuit.count_ops().keys():
        return 0
    carriers = (one.operation for one in circuit.data if one.operation.name in _CARRIERS)
    return sum(
        memory.matrix_bytes(gate.num_qubits) if gate.name == "unitary" else memory.diagonal_bytes(gate.num_qubits)
        for gate in carriers
    )


def _check(result: Any) -> None:
    """Raise what a failed result means: Aer returns one instead of raising, even when the state does not fit."""
    if result.success:
        return
    reasons = {str(one.status) for one in result.results if not one.success}
    reason = "; ".join(sorted({result.status, *reasons}))
    if any(words in reason for words in ("Insufficient memory", "bad_alloc", "allocate memory")):
        raise MemoryError(f"Aer: {reason}")
    raise RuntimeError(f"Aer: {reason}")


def _counts(result: Any, place: int) -> Counts:
    # data() has the raw hexadecimal keys; get_counts() would format each one
    counts = {int(key, 16): int(count) for key, count in result.data(place)["counts"].items()}
    return dict(sorted(counts.items()))


@functools.lru_cache(maxsize=16)
def _simulator(aer: Aer, method: Method) -> Any:
    from qiskit_aer import AerSimulator

    return AerSimulator(
        method=method,
        precision=aer.precision,
        noise_model=None if aer.noise is None else noise_model(aer.noise),
        max_parallel_threads=aer.threads,  # spinning OpenMP barriers collapse on a busy machine
        max_memory_mb=aer.memory_mb,  # the default is the host's whole memory, whatever the container may use
        fusion_enable=aer.fusion,
        fusion_max_qubit=_FUSED_QUBITS,
        fusion_threshold=_FUSE_ABOVE_QUBITS,
        matrix_product_state_max_bond_dimension=aer.bond_dimension,
    )


@functools.lru_cache(maxsize=4)
def _native_gates(method: Method) -> frozenset[str]:
    from qiskit_aer import AerSimulator

    return frozenset(AerSimulator(method=method).target.operation_names)


@functools.lru_cache(maxsize=16)
def _pass_manager(noise: Noise | None, method: Method, qubits: tuple[int, ...]) -> Any:
    from qiskit.transpiler import Target
    from qiskit_aer import AerSimulator

    if isinstance(noise, FakeDevice):
        return pass_manager(fake_device(noise.name).target, level=2, qubits=qubits)
    if noise is not None:
        return pass_manager(Target.from_configuration(basis_gates=[*BASIS_GATES, "measure", "reset"]), level=1)
    return pass_manager(AerSimulator(method=method).target, level=1)
