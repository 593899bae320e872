"""What is a backend? Circuits, shots and a seed go in, counts come out, whoever counts.

Circuits are Qiskit's; every qubit of a circuit without classical bits is measured at its end. Annealing
machines take the model itself instead: :class:`AnnealingBackend`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from qiskit_solvers.errors import SolverFailed
from qiskit_solvers.ising import Floats, Indices, Ising
from qiskit_solvers.solver import Spins

Counts = dict[int, int]
"""How often each index was measured, ascending; bit ``i`` of the index is qubit ``i`` (classical bit ``i``)."""

Circuit = Any
"""A ``qiskit.QuantumCircuit``; not imported here, so that naming a backend does not load Qiskit."""


class Unavailable(SolverFailed):
    """The machine cannot be asked: a package, a key or the machine itself is missing, or the queue is too long."""


class OverBudget(SolverFailed):
    """The run would cost more than was allowed; nothing was submitted."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A circuit with open angles and the sets of values to run it with: transpiled once, bound many times.

    Args:
        circuit: the circuit.
        bindings: for each of its parameters one value per set; empty for a circuit without parameters.

    Raises:
        ValueError: a parameter has no values, or the numbers of values differ.
    """

    circuit: Circuit
    bindings: Mapping[Any, Sequence[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = set(self.circuit.parameters) ^ set(self.bindings)
        if missing:
            names = sorted(str(parameter) for parameter in missing)
            raise ValueError(f"bindings: expected values for the circuit's parameters and no others, see {names}")
        if len({len(values) for values in self.bindings.values()}) > 1:
            raise ValueError("bindings: expected as many values for every parameter")

    @property
    def sets(self) -> int:
        """Number of runs: one for a circuit without parameters."""
        return len(next(iter(self.bindings.values()))) if self.bindings else 1


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run took.

    Args:
        queue_s: seconds before it began; 0 where nothing queues.
        run_s: seconds of the simulator, or of the quantum processor.
        two_qubit_gates: of each circuit as it ran.
        depth: of each circuit as it ran; empty where circuits ran as they were given.
        measured: the physical qubit behind each classical bit, per circuit; empty where qubits are all alike.
    """

    queue_s: float = 0.0
    run_s: float = 0.0
    two_qubit_gates: tuple[int, ...] = ()
    depth: tuple[int, ...] = ()
    measured: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """The answer of a backend.

    Args:
        counts: circuit by circuit, of a :class:`Batch` set by set.
        figures: what it took.
    """

    counts: tuple[Counts, ...]
    figures: Figures = Figures()


class Backend(Protocol):
    """The contract of every machine and simulator of circuits; each is a frozen dataclass, tagged by ``kind``."""

    @property
    def kind(self) -> str:
        """Name of the backend, as it stands in reports."""
        ...

    def run(self, circuits: Sequence[Circuit | Batch], *, shots: int, seed: int) -> Run:
        """Measure each circuit ``shots`` times. The same seed gives the same counts on every simulator.

        Raises:
            ValueError: shots or the seed are not what a backend takes.
            TooLarge: the circuits do not fit; nothing was allocated.
            SolverFailed: the machine is :class:`Unavailable`, the run is :class:`OverBudget`, or it failed.
        """
        ...

    def bytes_needed(self, circuits: Sequence[Circuit | Batch], shots: int) -> int:
        """Return the memory that the run will take in its process, at most."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Reads:
    """The answer of an annealing machine.

    Args:
        strings: distinct strings, the lowest energy first, ``(strings, spins)``.
        energies: theirs, offset included, ``(strings,)``.
        counts: how often each was read, ``(strings,)``.
        figures: what it took.
    """

    strings: Spins
    energies: Floats
    counts: Indices
    figures: Figures = Figures()


class AnnealingBackend(Protocol):
    """The contract of every annealing machine; each is a frozen dataclass, tagged by ``kind``."""

    @property
    def kind(self) -> str:
        """Name of the backend, as it stands in reports."""
        ...

    def read(self, ising: Ising, *, reads: int, seed: int) -> Reads:
        """Anneal the model ``reads`` times; one-hot groups are kept.

        Raises:
            ValueError: the number of reads or the seed are not what a backend takes.
            TooLarge: the model finds no place on the machine.
            SolverFailed: the machine is :class:`Unavailable`, the run is :class:`OverBudget`, or it failed.
        """
        ...


def as_batches(circuits: Sequence[Circuit | Batch]) -> tuple[Batch, ...]:
    """Return every circuit as a batch; a plain circuit has one set, of nothing.

    Raises:
        ValueError: a plain circuit has open parameters.
    """
    return tuple(circuit if isinstance(circuit, Batch) else Batch(circuit) for circuit in circuits)


def check_request(shots: int, seed: int, what: str = "shots") -> None:
    """Refuse a number of shots or a seed that no backend takes.

    Args:
        shots: how often to measure.
        seed: of the draws.
        what: the shots are called where the request comes from.

    Raises:
        ValueError: it is not at least one shot, or the seed is not in ``0 .. 2**31 - 1``.
    """
    if shots < 1:
        raise ValueError(f"{what}: expected at least 1, got {shots}")
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed: expected 0 to {2**31 - 1}, got {seed}")
