"""Which strings does a quantum circuit propose? QAOA with angles that need no search, simulated or on a backend."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from qiskit_solvers import memory, sandbox
from qiskit_solvers.angles.fixed import fixed, shipped
from qiskit_solvers.angles.optimize import Cvar, optimised
from qiskit_solvers.angles.ramp import tuned_ramp
from qiskit_solvers.angles.schedule import Family, Schedule
from qiskit_solvers.errors import TooLarge
from qiskit_solvers.ising import Floats, Ising
from qiskit_solvers.one_hot import factors, repaired
from qiskit_solvers.simulation.sampling import drawn
from qiskit_solvers.simulation.space import StateSpace
from qiskit_solvers.simulation.spaces import circuit_cost, space_of
from qiskit_solvers.solver import Spins, best_first

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from qiskit_solvers.backends.protocol import Backend, Counts

_LARGEST_TURN = 1.5  # radians, root mean square over the other spins


@dataclass(frozen=True, slots=True)
class Qaoa:
    """The quantum approximate optimisation algorithm.

    The circuit is that of Farhi, Goldstone and Gutmann 2014, arXiv:1411.4028. Without one-hot groups its mixer is
    the transverse field, over all strings; with them it is the XY mixer on each group's complete graph from W
    states (Wang, Rubin, Dominy and Rieffel 2020, doi 10.1103/PhysRevA.101.012320), over the feasible strings.

    Angles are not searched for: the cost is divided by its standard deviation, so that one schedule serves all
    models. It is a trained one that ships with the package (1 to 5, 10, 20 and 30 layers), else a linear ramp
    (Montanez-Barrera and Michielsen 2025, arXiv:2405.09169); ``angles/schedules.json`` holds both with their figures.

    Args:
        kind: name in reports.
        layers: of the circuit.
        on: ``aer`` runs the circuit on Qiskit Aer in the sandbox; ``simulator`` draws from the same state, computed
            without gates, many times faster.
        angles: ``shipped``, or ``optimised`` from there by L-BFGS on the simulator.
        tail: of the strings, the share with the lowest energies whose mean is optimised (CVaR); 1 is the mean, and
            all that shipped angles take.
        shots: measurements.
        max_spins: largest model; time and memory double with each spin. On the simulator, one-hot groups count by
            their feasible strings: as many spins as would have as many strings.
        strings: how many strings to return at most.
        deadline_s: guard against a stalled Aer, far above any honest run.
        memory_mb: how far Aer's process may grow, or what the simulator may take, MiB.

    Raises:
        ValueError: an option is not one of those listed or out of range.
    """

    kind: Literal["qaoa"] = "qaoa"
    layers: int = 20
    on: Literal["aer", "simulator"] = "aer"
    angles: Literal["shipped", "optimised"] = "shipped"
    tail: float = 1.0
    shots: int = 512
    max_spins: int = 20
    strings: int = 32
    deadline_s: float = 60.0
    memory_mb: int = 512

    def __post_init__(self) -> None:
        if min(self.layers, self.shots, self.max_spins, self.strings, self.memory_mb) < 1:
            raise ValueError(f"expected counts of at least 1, got {self}")
        if not (0 < self.deadline_s < math.inf and 0 < self.tail <= 1):
            raise ValueError(f"expected a positive deadline and a tail in 0..1, got {self}")
        if self.on not in ("aer", "simulator") or self.angles not in ("shipped", "optimised"):
            raise ValueError(f"expected on 'aer' or 'simulator' and angles 'shipped' or 'optimised', got {self}")
        if self.tail < 1 and self.angles == "shipped":
            raise ValueError(f"tail: expected 1 unless angles are optimised for it, got {self.tail}")

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
        """Return the distinct sampled strings, best first by their exact energy.

        Raises:
            TooLarge: the model has more than ``max_spins`` spins, or needs more than ``memory_mb``.
            SolverFailed: Aer died, passed the deadline or ran out of memory.
        """
        self.require(ising)
        cost = circuit_cost(ising)
        if self.on == "aer":
            seed = int(rng.integers(2**31))
            return mended(ising, self.counts(cost, self.schedule(cost), seed), self.strings)
        space = self.space(cost)
        return self.measured(ising, space, self.probabilities(space, self.schedule(cost)), rng)

    def counts(self, cost: Ising, schedule: Schedule, seed: int) -> "Counts":
        """Return how often each string was measured on Aer, in the sandbox.

        The circuit is built there, in the form that Aer runs fastest.

        Raises:
            TooLarge: the state needs more than ``memory_mb``.
            SolverFailed: Aer died, passed the deadline or ran out of memory.
        """
        from qiskit_solvers.backends.aer import sample_bytes
        from qiskit_solvers.backends.transfer import pack_ising

        memory.require(sample_bytes(cost.spins, self.shots), self.memory_mb, "qaoa on aer")
        if cost.spins == 0:
            return {0: self.shots}
        request = {
            "ising": pack_ising(cost),
            "gammas": schedule.gammas.tolist(),
            "betas": schedule.betas.tolist(),
            "shots": self.shots,
            "seed": seed,
        }
        answer = sandbox.call("sample", request, deadline_s=self.deadline_s, memory_mb=self.memory_mb)
        return {index: count for index, count in answer}  # noqa: C416 - JSON has lists

    def space(self, cost: Ising) -> StateSpace:
        """Return the simulator of the circuit with this cost.

        Raises:
            TooLarge: it needs more than ``memory_mb``.
        """
        return space_of(cost, max_bytes=self.memory_mb << 20)

    def probabilities(self, space: StateSpace, schedule: Schedule) -> Floats:
        """Return how likely a measurement finds each string of the simulator, ``(size,)``."""
        return space.probabilities(schedule.gammas, schedule.betas)

    def measured(self, ising: Ising, space: StateSpace, probabilities: Floats, rng: np.random.Generator) -> Spins:
        """Return the distinct strings of as many shots as asked for, best first."""
        return best_first(ising, space.strings(np.unique(drawn(probabilities, self.shots, rng))), self.strings)

    def schedule(self, cost: Ising) -> Schedule:
        """Return the angles for a cost that :func:`~qiskit_solvers.simulation.spaces.circuit_cost` made.

        Raises:
            TooLarge: angles are to be optimised, and the state needs more than ``memory_mb``.
        """
        family: Family = "one_hot" if cost.groups else "transverse"
        trained = self.layers in shipped(family).schedules
        start = fixed(self.layers, family) if trained else tuned_ramp(self.layers, family)
        if not cost.groups:
            start = _gentler(start, cost)
        if self.angles == "shipped":
            return start
        return optimised(space_of(cost, max_bytes=self.memory_mb << 20), start, Cvar(self.tail)).schedule

    def require(self, ising: Ising) -> None:
        """Refuse a model with more than ``max_spins`` spins; on the simulator, groups count by their strings.

        Raises:
            TooLarge: it has more.
        """
        spins = float(ising.spins)
        if self.on == "simulator":
            spins = sum(math.log2(factor.levels) for factor in factors(ising))
        if spins > self.max_spins:
            raise TooLarge(f"qaoa: expected at most {self.max_spins} spins, got {spins:g}")


def _gentler(schedule: Schedule, cost: Ising) -> Schedule:
    """Return the schedule with gammas that turn no spin too far in one layer.

    A cost of deviation 1 over few spins has strong fields on each, and the schedules come from 10 spins: on 5 they
    gave expectations worse than a random string's. With the limit, 20 layers found the optimum of normal models of 5,
    8 and 12 spins with 0.78, 0.54 and 0.46 (medians of 24), without it 0.47, 0.38 and 0.46; of windows of 10 moves
    with 0.68 and 0.73. From 12 spins on it hardly ever binds.
    """
    pairs = cost.pairs
    fields = cost.h**2
    for ends in (pairs.rows, pairs.columns):
        fields = fields + np.bincount(ends, pairs.values**2, minlength=cost.spins)
    turn = float(np.sqrt(fields.max(initial=0.0)) * schedule.gammas.max(initial=0.0))
    if turn <= _LARGEST_TURN:
        return schedule
    return Schedule(np.asarray(schedule.gammas * (_LARGEST_TURN / turn)), schedule.betas)


@dataclass(frozen=True, slots=True)
class QaoaOn:
    """The same circuits on any backend: another method of Aer, noise, or hardware.

    Args:
        backend: runs them.
        qaoa: what to run. Of its limits only ``memory_mb`` counts, where angles are optimised on the simulator first.
        mixer: of one-hot groups. ``ring`` takes about half the gates of ``complete`` and is what hardware wants; its
            angles are those of ``complete``, which is right for groups of two and three and a start beyond.

    Strings that break a group, which only noise brings about, are repaired greedily. ``Aer()`` holds a state of all
    spins; for more than 25 or so take ``Aer(method="matrix_product_state")``.

    Raises:
        ValueError: there is no such mixer.
    """

    backend: "Backend"
    qaoa: Qaoa = field(default_factory=lambda: Qaoa(layers=3))
    mixer: Literal["complete", "ring", "grover"] = "complete"

    def __post_init__(self) -> None:
        if self.mixer not in ("complete", "ring", "grover"):
            raise ValueError(f"mixer: expected complete, ring or grover, got {self.mixer!r}")

    @property
    def kind(self) -> str:
        """Name in reports: the method's and the backend's."""
        return f"{self.qaoa.kind}-{self.backend.kind}"

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
        """Return the distinct measured strings, best first by their exact energy.

        Raises:
            TooLarge: the circuit does not fit the backend.
            SolverFailed: the backend failed.
        """
        seed = int(rng.integers(2**31))
        cost = circuit_cost(ising)
        return mended(ising, self.counts(cost, self.qaoa.schedule(cost), seed), self.qaoa.strings)

    def counts(self, cost: Ising, schedule: Schedule, seed: int) -> "Counts":
        """Return how often each string was measured; errors as for a call."""
        if cost.spins == 0:
            return {0: self.qaoa.shots}
        return self.backend.run([self.circuit(cost, schedule)], shots=self.qaoa.shots, seed=seed).counts[0]

    def circuit(self, cost: Ising, schedule: Schedule) -> "QuantumCircuit":
        """Return the circuit for a cost that ``circuit_cost`` made, without measurements."""
        from qiskit_solvers.circuits.grover import grover_circuit
        from qiskit_solvers.circuits.one_hot import complete_circuit, ring_circuit
        from qiskit_solvers.circuits.transverse import transverse_circuit

        builders = {"complete": complete_circuit, "ring": ring_circuit, "grover": grover_circuit}
        build = builders[self.mixer] if cost.groups else transverse_circuit
        return build(cost, schedule.gammas, schedule.betas)


def mended(ising: Ising, counts: "Counts", keep: int) -> Spins:
    """Return the distinct strings of some counts, repaired where they break a group, best first."""
    strings = strings_measured(counts, ising.spins)
    return best_first(ising, repaired(ising, strings) if ising.groups else strings, keep)


def strings_measured(counts: dict[int, int], spins: int) -> npt.NDArray[np.int8]:
    """Return the distinct strings of some counts, ``(strings, spins)``; any number of spins."""
    if spins == 0:
        return np.ones((1, 0), dtype=np.int8)
    width = (spins + 7) // 8
    packed = np.frombuffer(b"".join(index.to_bytes(width, "little") for index in counts), dtype=np.uint8)
    bits = np.unpackbits(packed.reshape(len(counts), width), axis=1, count=spins, bitorder="little")
    return (1 - 2 * bits.astype(np.int8)).astype(np.int8)
