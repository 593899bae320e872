"""In which form does a machine take a circuit? Measured, in its own gates, on chosen qubits."""

from collections.abc import Collection
from typing import Any

from qiskit_solvers.backends.protocol import Circuit

TRANSPILER_SEED = 0  # a seed of a run draws shots; the circuit that runs does not depend on it


def measured(circuit: Circuit) -> Circuit:
    """Return the circuit with all its qubits measured, or as it is if it has classical bits."""
    return circuit if circuit.num_clbits else circuit.measure_all(inplace=False)


def is_native(circuit: Circuit, gates: Collection[str]) -> bool:
    """Return whether the circuit holds these instructions only."""
    return all(name in gates or name == "barrier" for name in circuit.count_ops())


def pass_manager(target: Any, *, level: int, qubits: tuple[int, ...] = ()) -> Any:
    """Return what translates circuits for this target; seeded, so that the same circuit becomes the same.

    Args:
        target: ``qiskit.transpiler.Target``.
        level: of optimisation, 0 to 3.
        qubits: the physical qubit of each qubit; empty leaves the choice to the transpiler.
    """
    from qiskit.transpiler import generate_preset_pass_manager

    return generate_preset_pass_manager(
        optimization_level=level,
        target=target,
        initial_layout=list(qubits) or None,
        seed_transpiler=TRANSPILER_SEED,
    )


def physical_qubits(circuit: Circuit) -> tuple[int, ...]:
    """Return which physical qubit each classical bit of a translated circuit is measured from, -1 for none."""
    found = [-1] * circuit.num_clbits
    for instruction in circuit.data:
        if instruction.operation.name == "measure":
            bit = circuit.find_bit(instruction.clbits[0]).index
            found[bit] = circuit.find_bit(instruction.qubits[0]).index
    return tuple(found)
