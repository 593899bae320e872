"""Which strings does a quantum system in thermal equilibrium show? The quantum Boltzmann distribution.

Amin, Andriyash, Rolfe, Kulchytskyy and Melko 2018, doi 10.1103/PhysRevX.8.021050: the state ``exp(-b H) / Z`` of the
transverse-field Ising Hamiltonian ``H = E - field sum X``, measured string by string. A one-hot group of ``k`` spins
is one system of ``k`` levels, whose X is ``(2 / k) (J_k - I)``, J_k the all-ones matrix: a free spin's X where
``k = 2``. So only feasible strings occur.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from qiskit_solvers.errors import SolverFailed, TooLarge
from qiskit_solvers.ising import Floats, Ising
from qiskit_solvers.one_hot import factors
from qiskit_solvers.simulation.sampling import drawn
from qiskit_solvers.simulation.spaces import circuit_cost
from qiskit_solvers.simulation.subspace import Subspace
from qiskit_solvers.solver import Spins, best_first

Method = Literal["exact", "krylov", "paths"]

EXACT_STATES = 1 << 9
"""Largest Hamiltonian that is diagonalised; twice as many states take 8 x as long."""

KRYLOV_STATES = 1 << 16
"""Largest that random states are cooled under."""

_KRYLOV = 48  # vectors of one Krylov space
_KRYLOV_TO = 1e-10
_JOINT = 64  # levels that the mixer treats together, as one matrix


@dataclass(frozen=True, slots=True)
class Boltzmann:
    """Samples of the quantum Boltzmann distribution.

    A sampler of strings in proportion to a temperature, not an optimiser: the lower the temperature and the weaker the
    field, the likelier the optimum. Units are those of the standardised cost (deviation 1 over all strings that count),
    in which conflicts are eased. At the default 16 and 0.1 a sample was the optimum with a median probability of 0.62
    on ten normal models of 9 spins, 0.53 on ten windows of moves and 0.40 on 5 items in 3 bins; without a field 0.85 on
    the first and 0.63 on the last.

    Args:
        kind: name in reports.
        inverse_temperature: in 1 / standard deviation of the energy.
        field: transverse field, in standard deviations of the energy; 0 is the classical distribution.
        samples: strings drawn.
        method: ``exact`` diagonalises, to 512 strings; ``krylov`` cools random states in imaginary time, to 65,536;
            ``paths`` is Monte Carlo over world lines of ``slices`` slices, for any size. By default the first that
            fits.
        vectors: random states of ``krylov``.
        slices: of a world line; its error falls with the square.
        reads: independent world lines.
        sweeps: of each from high to final temperature, before its first sample.
        max_bytes: of memory for the states or world lines.
        strings: how many strings to return at most.

    Raises:
        ValueError: an option is not positive (the field: negative).
    """

    kind: Literal["boltzmann"] = "boltzmann"
    inverse_temperature: float = 16.0
    field: float = 0.1
    samples: int = 512
    method: Method | None = None
    vectors: int = 8
    slices: int = 16
    reads: int = 16
    sweeps: int = 200
    max_bytes: int = 1 << 30
    strings: int = 32

    def __post_init__(self) -> None:
        counts = (self.samples, self.vectors, self.slices, self.reads, self.sweeps, self.max_bytes, self.strings)
        if min(counts) < 1:
            raise ValueError(f"expected counts of at least 1, got {self}")
        if not (0.0 < self.inverse_temperature < np.inf and 0.0 <= self.field < np.inf):
            raise ValueError(f"expected a positive inverse temperature and a field of at least 0, got {self}")
        if self.method not in (None, "exact", "krylov", "paths"):
            raise ValueError(f"method: expected 'exact', 'krylov' or 'paths', got {self.method!r}")

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
        """Return the distinct strings among the samples, best first.

        Raises:
            TooLarge: the model does not fit the method, or ``max_bytes``.
        """
        return best_first(ising, self.drawn(circuit_cost(ising), rng), self.strings)

    def drawn(self, ising: Ising, rng: np.random.Generator) -> npt.NDArray[np.int8]:
        """Return all samples, ``(samples, spins)``, in no order; the model is taken as it is, in units of its energy.

        Raises:
            TooLarge: the model does not fit the method, or ``max_bytes``.
        """
        states = _states(ising)
        method = self.method or (
            "exact" if states <= EXACT_STATES else "krylov" if states <= KRYLOV_STATES else "paths"
        )
        if method == "paths":
            from qiskit_solvers.boltzmann_paths import sampled  # compiles

            return sampled(
                ising,
                self.inverse_temperature,
                self.field,
                samples=self.samples,
                slices=self.slices,
                reads=self.reads,
                sweeps=self.sweeps,
                max_bytes=self.max_bytes,
                rng=rng,
            )
        # the Hamiltonian, its eigenvectors and their squares; or one Krylov space, its products and the random states
        held = 4 * states if method == "exact" else 2 * _KRYLOV + self.vectors
        needed = 8 * states * held
        most = EXACT_STATES if method == "exact" else KRYLOV_STATES
        if states <= most and needed > self.max_bytes:
            raise TooLarge(f"boltzmann: expected at most {self.max_bytes} bytes, {states} strings need {needed}")
        chances = thermal_probabilities(
            ising, self.inverse_temperature, self.field, rng=rng if method == "krylov" else None, vectors=self.vectors
        )
        space = Subspace(ising, max_bytes=self.max_bytes)
        return space.strings(drawn(chances, self.samples, rng))


def thermal_probabilities(
    ising: Ising,
    inverse_temperature: float,
    field: float,
    *,
    rng: np.random.Generator | None = None,
    vectors: int = 8,
) -> Floats:
    """Return how likely each string is, in the order of :class:`~qiskit_solvers.simulation.subspace.Subspace`.

    Args:
        ising: the model.
        inverse_temperature: in 1 / energy.
        field: in units of energy.
        rng: without, the Hamiltonian is diagonalised. With, ``vectors`` random states are cooled to
            ``exp(-b H / 2) |r>``; their measured distributions, weighted by their norms, add up to the thermal one
            (Jaklic and Prelovsek 1994, doi 10.1103/PhysRevB.49.5065). Exact without a field, and at low and high
            temperatures; in between the probabilities of single strings scatter by about ``vectors**-0.5`` of
            themselves, expectation values by far less.
        vectors: number of random states, entries +1 and -1.

    Raises:
        TooLarge: more than :data:`EXACT_STATES` strings without ``rng``, :data:`KRYLOV_STATES` with.
        ValueError: the inverse temperature or the field is negative or not finite, or there are no vectors.
    """
    if not (0.0 <= inverse_temperature < np.inf and 0.0 <= field < np.inf):
        raise ValueError(
            f"expected an inverse temperature and a field of at least 0, got {inverse_temperature} and {field}"
        )
    if vectors < 1:
        raise ValueError(f"vectors: expected at least 1, got {vectors}")
    states, most = _states(ising), EXACT_STATES if rng is None else KRYLOV_STATES
    if states > most:
        raise TooLarge(f"thermal state: expected at most {most} strings, got {states}")
    costs = Subspace(ising).costs
    sizes = [factor.levels for factor in factors(ising)]
    costs = costs - costs.min()
    if field == 0.0 or inverse_temperature == 0.0:
        weights = np.exp(-inverse_temperature * costs)
    elif rng is None:
        mixer = _mixer(sizes)
        hamiltonian = np.diag(costs) - field * np.array([_mixed(row, mixer) for row in np.eye(states)])
        weights, _partition = thermal_diagonal(inverse_temperature * hamiltonian)
    else:
        weights = _cooled(costs, sizes, inverse_temperature, field, rng, vectors)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def thermal_diagonal(hamiltonian: Floats) -> tuple[Floats, Floats]:
    """Return the diagonal of ``exp(-H) / Z``, ``(.., states)``, and ``log Z``, of ``H``, ``(.., states, states)``."""
    levels, vectors = np.linalg.eigh(hamiltonian)
    lowest = levels[..., :1]
    weights = np.exp(lowest - levels)
    partition = weights.sum(axis=-1)
    diagonal = np.einsum("...sk,...k->...s", vectors**2, weights / partition[..., None])
    return diagonal, np.log(partition) - lowest[..., 0]


def _states(ising: Ising) -> int:
    """Return the number of strings that count; exact, however many."""
    states = 1
    for factor in factors(ising):
        states *= factor.levels
    return states


def _mixer(sizes: list[int]) -> tuple[Floats, ...]:
    """Return the sum of all X as matrices of neighbouring factors together, factor 0 the least significant."""
    blocks = [np.zeros((1, 1))]
    for size in sizes:
        one = (2.0 / size) * (np.ones((size, size)) - np.eye(size))
        if blocks[-1].shape[0] * size > _JOINT:
            blocks.append(np.zeros((1, 1)))
        blocks[-1] = np.kron(np.eye(size), blocks[-1]) + np.kron(one, np.eye(blocks[-1].shape[0]))
    return tuple(blocks)


def _mixed(state: Floats, mixer: tuple[Floats, ...]) -> Floats:
    """Return the sum of all X applied to a state, ``(states,)``."""
    out = np.zeros_like(state)
    stride = 1
    for block in mixer:
        out += (block @ state.reshape(-1, block.shape[0], stride)).reshape(-1)
        stride *= block.shape[0]
    return out


def _cooled(
    costs: Floats,
    sizes: list[int],
    inverse_temperature: float,
    field: float,
    rng: np.random.Generator,
    vectors: int,
) -> Floats:
    """Return the summed weights of random states after half the inverse temperature of imaginary time."""
    mixer = _mixer(sizes)
    measured = np.empty((vectors, costs.size))
    logs = np.zeros(vectors)
    for row in range(vectors):
        state: Floats = 1.0 - 2.0 * rng.integers(0, 2, costs.size).astype(np.float64)
        left = inverse_temperature / 2.0
        while left > 0.0:
            state, done, log = _imaginary_step(state, left, costs, mixer, field)
            left = left - done if done < left else 0.0
            logs[row] += log
        measured[row] = state**2
    return np.asarray(np.exp(2.0 * (logs - logs.max())) @ measured, dtype=np.float64)


def _imaginary_step(
    state: Floats, time: float, costs: Floats, mixer: tuple[Floats, ...], field: float
) -> tuple[Floats, float, float]:
    """Return ``exp(-t H) state`` normalised, the ``t <= time`` that one Krylov space reaches, and the log of the norm.

    Lanczos with full orthogonalisation. While the last vector of the space still has weight, the space is too small
    for ``t``: it grows, and once it is full ``t`` is halved.
    """
    norm = float(np.linalg.norm(state))
    most = min(_KRYLOV, state.size)
    basis = np.empty((most, state.size))
    basis[0] = state / norm
    diagonal, beside = np.zeros(most), np.zeros(most)
    for size in range(1, most + 1):
        image = costs * basis[size - 1] - field * _mixed(basis[size - 1], mixer)
        scale = float(np.linalg.norm(image))
        diagonal[size - 1] = image @ basis[size - 1]
        for _ in range(2):  # once is not enough: what is left may be small
            image -= (basis[:size] @ image) @ basis[:size]
        beside[size - 1] = np.linalg.norm(image)
        whole = bool(beside[size - 1] <= 1e-12 * scale) or size == state.size
        if whole or size == most or size % 8 == 0:
            inner = beside[: size - 1]
            levels, rotations = np.linalg.eigh(np.diag(diagonal[:size]) + np.diag(inner, 1) + np.diag(inner, -1))
            done = time
            while True:
                parts = rotations @ (np.exp(-done * (levels - levels[0])) * rotations[0])
                length = float(np.linalg.norm(parts))
                if whole or abs(parts[-1]) <= _KRYLOV_TO * length:
                    return (parts / length) @ basis[:size], done, float(np.log(norm * length) - done * levels[0])
                if size < most:
                    break
                done /= 2.0
        if size < most:
            basis[size] = image / beside[size - 1]
    raise SolverFailed("boltzmann: the Krylov space did not close")  # the last pass returns: t gets small enough
