"""Which fields and couplings make a quantum Boltzmann distribution resemble data?

Amin, Andriyash, Rolfe, Kulchytskyy and Melko 2018, doi 10.1103/PhysRevX.8.021050. The likelihood of data under
``exp(-H) / Z`` has no simple gradient, because its terms do not commute; a bound on it has (Golden and Thompson):
clamp the visible spins to a data string, which drops the field on them, and compare the free energies. All
expectations are exact here, so machines are small.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from qiskit_solvers.boltzmann import thermal_diagonal
from qiskit_solvers.errors import TooLarge
from qiskit_solvers.ising import Floats, Indices, Ising, diagonal, strings_of

MAX_SPINS = 8
"""Visible and hidden: a gradient diagonalises a matrix of 256 x 256, 10 ms."""

_START = 0.1  # scale of a random start; all-zero couplings to hidden spins would stay zero


@dataclass(frozen=True, slots=True, eq=False)
class BoltzmannMachine:
    """The thermal state of ``H = E - field sum X`` at temperature 1; the first spins are seen, the others hidden.

    Args:
        ising: ``E``, in units of the temperature.
        field: transverse field, in units of the temperature.
        visible: number of visible spins.

    Raises:
        ValueError: no visible spin or more than there are, groups, or a field that is negative or not finite.
        TooLarge: more than :data:`MAX_SPINS` spins.
    """

    ising: Ising
    field: float
    visible: int

    def __post_init__(self) -> None:
        if not 1 <= self.visible <= self.ising.spins:
            raise ValueError(f"visible: expected 1 to {self.ising.spins} spins, got {self.visible}")
        if self.ising.spins > MAX_SPINS:
            raise TooLarge(f"boltzmann machine: expected at most {MAX_SPINS} spins, got {self.ising.spins}")
        if self.ising.groups:
            raise ValueError("ising: expected a model without groups, got some")
        if not 0.0 <= self.field < np.inf:
            raise ValueError(f"field: expected at least 0, got {self.field}")

    def probabilities(self) -> Floats:
        """Return how likely each visible string is, ``(2**visible,)``, in the order of ``diagonal``."""
        chances, _partition = thermal_diagonal(_hamiltonian(diagonal(self.ising), self.field))
        return np.asarray(chances.reshape(-1, 2**self.visible).sum(axis=0), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A machine that was trained.

    Args:
        machine: the machine.
        bounds: on the divergence of the data from the machine, in nats, before and after each iteration; falling,
            but for the penalty.
        divergence: Kullback-Leibler, of the data from the machine, in nats; at most the last bound.
    """

    machine: BoltzmannMachine
    bounds: tuple[float, ...]
    divergence: float


def fitted(
    strings: npt.NDArray[np.int8],
    *,
    field: float,
    rng: np.random.Generator,
    weights: Floats | None = None,
    hidden: int = 0,
    penalty: float = 1e-4,
    max_iterations: int = 200,
) -> Fitted:
    """Return the machine whose bound on the divergence from the data is lowest, by L-BFGS on its exact gradient.

    Without hidden spins the bound is convex, and without a field it is the divergence itself; with either, what is
    found is a minimum of the bound near a random start, and the best machine for the data may be another.

    Args:
        strings: data, ``(strings, visible)``, +1 or -1; repeated ones count repeatedly.
        field: transverse field on all spins, in units of the temperature; not trained, since the bound leads it
            to 0 (Amin et al.).
        rng: of the start.
        weights: of the strings, ``(strings,)``, not negative; equal by default.
        hidden: spins that are not in the data.
        penalty: times half the sum of squared fields and couplings, so that data which lack a string do not drive
            them to infinity.
        max_iterations: of L-BFGS.

    Raises:
        ValueError: no data, other entries than +1 and -1, weights that do not fit or sum to zero, or an option below
            its least.
        TooLarge: more than :data:`MAX_SPINS` spins.
    """
    data = _distribution(strings, weights)
    visible = strings.shape[1]
    if hidden < 0 or max_iterations < 1 or not 0.0 <= penalty < np.inf or not 0.0 <= field < np.inf:
        raise ValueError(
            f"expected hidden, penalty and field of at least 0 and an iteration, got {hidden}, {penalty}, {field} "
            f"and {max_iterations}"
        )
    spins = visible + hidden
    if spins > MAX_SPINS:
        raise TooLarge(f"boltzmann machine: expected at most {MAX_SPINS} spins, got {spins}")
    rows, columns = np.triu_indices(spins, 1)
    every = strings_of(np.arange(2**spins), spins).astype(np.float64)
    features = np.concatenate([every, every[:, rows] * every[:, columns]], axis=1)
    entropy = -float(data[data > 0.0] @ np.log(data[data > 0.0]))

    def bound(parameters: Floats) -> tuple[float, Floats]:
        energy = features @ parameters
        free, log_partition = thermal_diagonal(_hamiltonian(energy, field))
        # visible spins are the low bits, so a column of this holds all hidden strings of one visible string
        clamped, log_clamped = thermal_diagonal(_hamiltonian(energy.reshape(-1, 2**visible).T, field))
        seen = (data[:, None] * clamped).T.reshape(-1)
        value = float(log_partition - data @ log_clamped) - entropy
        return value, np.asarray((seen - free) @ features, dtype=np.float64)

    def penalised(parameters: Floats) -> tuple[float, Floats]:
        value, slope = bound(parameters)
        return value + penalty / 2.0 * float(parameters @ parameters), slope + penalty * parameters

    start: Floats = np.asarray(rng.normal(scale=_START, size=features.shape[1]), dtype=np.float64)
    path: list[Floats] = [start]
    result = minimize(
        penalised,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iterations},
        callback=lambda at: path.append(at.copy()),
    )
    found = np.asarray(result.x, dtype=np.float64)
    J = np.zeros((spins, spins))
    J[rows, columns] = found[spins:]
    machine = BoltzmannMachine(Ising(found[:spins], J), field, visible)
    bounds = tuple(bound(at)[0] for at in path)
    return Fitted(machine, bounds, divergence(data, machine.probabilities()))


def divergence(data: Floats, model: Floats) -> float:
    """Return the Kullback-Leibler divergence of ``data`` from ``model``, both ``(strings,)``, in nats.

    ``sum p log(p / q)``; infinite where the model excludes what the data have.

    Raises:
        ValueError: the shapes differ.
    """
    if data.shape != model.shape:
        raise ValueError(f"expected equal shapes, got {data.shape} and {model.shape}")
    seen = data > 0.0
    with np.errstate(divide="ignore"):  # a string that the model excludes: infinite
        return float(data[seen] @ (np.log(data[seen]) - np.log(model[seen])))


def _hamiltonian(energies: Floats, field: float) -> Floats:
    """Return ``E - field sum X`` for diagonals ``(.., 2**spins)``, ``(.., 2**spins, 2**spins)``."""
    size = energies.shape[-1]
    index: Indices = np.arange(size)
    hamiltonian = np.zeros((*energies.shape, size))
    hamiltonian[..., index, index] = energies
    bit = 1
    while bit < size:
        hamiltonian[..., index, index ^ bit] -= field
        bit *= 2
    return hamiltonian


def _distribution(strings: npt.NDArray[np.int8], weights: Floats | None) -> Floats:
    """Return the share of each visible string in the data, ``(2**visible,)``."""
    if strings.ndim != 2 or 0 in strings.shape:
        raise ValueError(f"strings: expected shape (strings, visible), at least one of each, got {strings.shape}")
    if strings.shape[1] > MAX_SPINS:
        raise TooLarge(f"boltzmann machine: expected at most {MAX_SPINS} spins, got {strings.shape[1]}")
    if not (np.abs(strings) == 1).all():
        raise ValueError("strings: expected entries of +1 and -1, got others")
    shares = np.ones(len(strings)) if weights is None else np.asarray(weights, dtype=np.float64)
    if shares.shape != (len(strings),) or not (np.isfinite(shares).all() and (shares >= 0).all() and shares.any()):
        raise ValueError(f"weights: expected {len(strings)} numbers of at least 0, not all 0, got {shares}")
    index = (strings < 0) @ (1 << np.arange(strings.shape[1]))
    counts = np.bincount(index, weights=shares / shares.max(), minlength=2 ** strings.shape[1])
    return np.asarray(counts / counts.sum(), dtype=np.float64)
