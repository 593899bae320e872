"""How do Qiskit's circuits run on Google's Cirq? Gate by gate, from a small set that both know."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qiskit_solvers import memory
from qiskit_solvers.backends.protocol import (
    Batch,
    Circuit,
    Counts,
    Figures,
    Run,
    Unavailable,
    as_batches,
    check_request,
)
from qiskit_solvers.backends.transpiled import is_native, measured, pass_manager

_BASIS = ("h", "x", "y", "z", "s", "sdg", "t", "tdg", "sx", "rx", "ry", "rz", "p", "cx", "cz", "swap", "rzz")
_COPIES = 3  # states that Cirq's simulator holds at a time


@dataclass(frozen=True, slots=True)
class Google:
    """Cirq's state simulator, single precision; exact, without noise. Access to Google's processors is by invitation.

    Args:
        kind: name in reports.
        memory_mb: largest run, MiB.

    Raises:
        ValueError: the memory is not positive.
    """

    kind: Literal["google"] = "google"
    memory_mb: int = 1024

    def __post_init__(self) -> None:
        if self.memory_mb < 1:
            raise ValueError(f"memory_mb: expected at least 1, got {self.memory_mb}")

    def run(self, circuits: Sequence[Circuit | Batch], *, shots: int, seed: int) -> Run:
        """Run circuit after circuit; see :meth:`~qiskit_solvers.backends.protocol.Backend.run`."""
        check_request(shots, seed)
        batches = as_batches(circuits)
        memory.require(self.bytes_needed(batches, shots), self.memory_mb, "google")
        try:
            import cirq
        except ImportError as error:
            raise Unavailable(
                "cirq-core is not installed: in the project's folder, "
                "pip install --constraint constraints.txt --editable '.[google]'"
            ) from error
        simulator = cirq.Simulator(seed=seed)
        counts: list[Counts] = []
        gates: list[int] = []
        for batch in batches:
            circuit = measured(batch.circuit)
            if not is_native(circuit, (*_BASIS, "measure")):
                circuit = _pass_manager().run(circuit)
            gates.append(circuit.num_nonlocal_gates())
            for place in range(batch.sets):
                values = {angle: float(column[place]) for angle, column in batch.bindings.items()}
                counts.append(_measure(simulator, circuit.assign_parameters(values), shots))
        return Run(tuple(counts), Figures(two_qubit_gates=tuple(gates)))

    def bytes_needed(self, circuits: Sequence[Circuit | Batch], shots: int) -> int:
        """Return the memory that the run will take, at most."""
        batches = as_batches(circuits)
        qubits = max((batch.circuit.num_qubits for batch in batches), default=0)
        kept = sum(batch.sets * memory.counts_bytes(qubits, shots) for batch in batches)
        # samples: a byte for each bit, twice
        state = _COPIES * memory.statevector_bytes(qubits, "single")
        return state + kept + 2 * qubits * shots + sum(memory.gates_bytes(len(one.circuit.data)) for one in batches)


def to_cirq(circuit: Circuit) -> Any:
    """Return a Qiskit circuit as a ``cirq.Circuit`` on line qubits, equal up to a global phase.

    Qubit ``i`` is ``LineQubit(i)``; the measurement of classical bit ``c`` has the key ``c``, as text.

    Raises:
        ValueError: an instruction is not among those that :mod:`qiskit_solvers.backends.google` translates.
        Unavailable: cirq-core is not installed.
    """
    try:
        import cirq
    except ImportError as error:
        raise Unavailable(
            "cirq-core is not installed: in the project's folder, "
            "pip install --constraint constraints.txt --editable '.[google]'"
        ) from error
    made = _gates()
    line = cirq.LineQubit.range(circuit.num_qubits)
    operations = []
    for instruction in circuit.data:
        name = instruction.operation.name
        qubits = [line[circuit.find_bit(qubit).index] for qubit in instruction.qubits]
        if name == "measure":
            operations.append(cirq.measure(*qubits, key=str(circuit.find_bit(instruction.clbits[0]).index)))
        elif name in made:
            operations.append(made[name](*map(float, instruction.operation.params)).on(*qubits))
        elif name != "barrier":
            raise ValueError(f"expected instructions among {', '.join(_BASIS)}, got {name}")
    return cirq.Circuit(operations)


@functools.cache
def _gates() -> dict[str, Callable[..., Any]]:
    """Return what makes Cirq's gate from the angles of Qiskit's."""
    import cirq

    fixed = {
        "h": cirq.H,
        "x": cirq.X,
        "y": cirq.Y,
        "z": cirq.Z,
        "s": cirq.S,
        "sdg": cirq.S**-1,
        "t": cirq.T,
        "tdg": cirq.T**-1,
        "sx": cirq.X**0.5,
        "cx": cirq.CNOT,
        "cz": cirq.CZ,
        "swap": cirq.SWAP,
    }
    turned = {
        "rx": cirq.rx,
        "ry": cirq.ry,
        "rz": cirq.rz,
        "p": lambda angle: cirq.ZPowGate(exponent=angle / math.pi),
        # exp(-i angle ZZ / 2), the global shift being Cirq's way to say so
        "rzz": lambda angle: cirq.ZZPowGate(exponent=angle / math.pi, global_shift=-0.5),
    }
    return {**{name: functools.partial(_itself, gate) for name, gate in fixed.items()}, **turned}


def _itself(gate: Any) -> Any:
    return gate


@functools.cache
def _pass_manager() -> Any:
    from qiskit.transpiler import Target

    return pass_manager(Target.from_configuration(basis_gates=[*_BASIS, "measure"]), level=1)


def _measure(simulator: Any, circuit: Circuit, shots: int) -> Counts:
    if not circuit.num_clbits:
        return {0: shots}
    read = simulator.run(to_cirq(circuit), repetitions=shots).measurements
    bits = np.zeros((shots, circuit.num_clbits), dtype=np.uint8)
    for key, values in read.items():
        bits[:, int(key)] = values[:, -1]
    return _counted(bits)


def _counted(bits: npt.NDArray[np.uint8]) -> Counts:
    """Return the counts of bits ``(shots, bits)``, bit 0 the least significant."""
    rows, counts = np.unique(np.packbits(bits, axis=1, bitorder="little"), axis=0, return_counts=True)
    indices = [int.from_bytes(row.tobytes(), "little") for row in rows]
    return dict(sorted(zip(indices, counts.tolist(), strict=True)))
