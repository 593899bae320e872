"""Which circuit moves what matters of many vectors into few qubits, so that the others can be thrown away?

Romero, Olson and Aspuru-Guzik 2017, doi 10.1088/2058-9565/aa8072. A vector becomes amplitudes, its norm is kept beside
them; the circuit U is trained until the discarded ("trash") qubits read 0. The decoder sets those qubits to 0 and
undoes U. What is lost of a vector x is then ``|x - U' P U x|**2 = |x|**2 (1 - fidelity)``, P the projection on trash
of 0, so the trash fidelity weighted by squared norms *is* the reconstruction loss.

That loss depends on the vectors through their second moments alone: training takes at most ``2**qubits`` states, the
columns of a root of that matrix, whatever the number of vectors. It also shows the limit: U' P U is an orthogonal
projection, and of all projections of its rank the one on the leading principal directions loses least (Eckart and
Young 1936, doi 10.1007/BF02288367). No training of any circuit can beat that floor; a circuit is only shorter to write.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from qiskit_solvers.errors import TooLarge
from qiskit_solvers.variational.entangling_layers import MAX_QUBITS, applied, checked_angles, expectation
from qiskit_solvers.variational.kernels import Complexes, Floats

Rotations = Literal["all", "real"]
"""Which angles are trained: all three of a turn, or RY alone, which keeps real vectors real."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What training found.

    Args:
        angles: ``(layers, qubits, 3)``.
        loss: share of the vectors' energy that is lost, 0 to 1.
        floor: the least loss of any projection of the same rank.
        losses: after each evaluation of the loss and its slopes, all starts one after the other.
    """

    angles: Floats
    loss: float
    floor: float
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Training:
    """Quasi-Newton descent (Liu and Nocedal 1989, doi 10.1007/BF01589116) on adjoint slopes, from several starts.

    Args:
        layers: strongly entangling layers.
        rotations: which angles are trained.
        starts: random starts; the best end is kept.
        evaluations: of the loss and all its slopes, per start at most.
        spread: standard deviation of the angles at the start, radians.

    Raises:
        ValueError: a count or the spread is not positive, or rotations are none that there are.
    """

    layers: int = 4
    rotations: Rotations = "real"
    starts: int = 2
    evaluations: int = 200
    spread: float = 0.3

    def __post_init__(self) -> None:
        if min(self.layers, self.starts, self.evaluations) < 1 or not self.spread > 0.0:
            raise ValueError(f"expected counts and a spread above 0, got {self}")
        if self.rotations not in ("all", "real"):
            raise ValueError(f"rotations: expected 'all' or 'real', got {self.rotations!r}")

    def __call__(self, vectors: npt.ArrayLike, kept: int | None, rng: np.random.Generator) -> Trained:
        """Train the circuit.

        Args:
            vectors: ``(vectors, 2**qubits)``, real, finite, not all 0; their norms are their weights.
            kept: qubits ``0 .. kept - 1`` are kept, the others discarded. None orders them instead: the mean of the
                losses over every ``kept`` is trained, so that one circuit serves every width.
            rng: where the angles start.

        Raises:
            ValueError: the vectors are not that, or there is nothing to discard.
            TooLarge: more than ten qubits.
        """
        from scipy.optimize import minimize

        roots, spectrum = second_moments(vectors)
        qubits = roots.shape[0].bit_length() - 1
        widths = range(1, qubits) if kept is None else (kept,)
        if not widths or not 0 <= min(widths) <= max(widths) < qubits:
            raise ValueError(f"kept: expected 0 to {qubits - 1} of {qubits} qubits, got {kept}")
        diagonal = np.mean([_survives(qubits, range(width, qubits)) for width in widths], axis=0)
        free = np.ones((self.layers, qubits, 3), dtype=bool)
        free[..., (0, 2)] = self.rotations == "all"
        losses: list[float] = []

        def loss(trained: Floats) -> tuple[float, Floats]:
            angles = np.zeros(free.shape)
            angles[free] = trained
            value, slopes = expectation(angles, roots, diagonal)
            losses.append(1.0 - value)
            return 1.0 - value, -slopes[free]

        ends = [
            minimize(
                loss,
                rng.normal(0.0, self.spread, int(free.sum())),
                jac=True,
                method="L-BFGS-B",
                options={"maxfun": self.evaluations, "maxiter": self.evaluations},
            )
            for _start in range(self.starts)
        ]
        best = min(ends, key=lambda end: float(end.fun))
        angles = np.zeros(free.shape)
        angles[free] = best.x
        floor = float(np.mean([1.0 - spectrum[: 2**width].sum() for width in widths]))
        return Trained(angles, max(0.0, float(best.fun)), max(0.0, floor), tuple(losses))


@dataclass(frozen=True, slots=True, eq=False)
class Latent:
    """Vectors after the encoder.

    Args:
        amplitudes: of the kept qubits, ``(vectors, 2**kept)``; the first kept qubit is the least significant.
        norms: of the vectors, ``(vectors,)``, which amplitudes cannot hold.
        fidelities: how likely the discarded qubits of each vector read 0, ``(vectors,)``; 1 for a vector of zeros.
    """

    amplitudes: Complexes
    norms: Floats
    fidelities: Floats


def encode(angles: npt.ArrayLike, vectors: npt.ArrayLike, retained: Collection[int]) -> Latent:
    """Return what the retained qubits hold of each vector, ``(vectors, 2**qubits)``.

    Amplitudes are not normalised again: what is missing of 1 went with the discarded qubits.

    Raises:
        ValueError: a shape is wrong, or qubits are retained that there are not.
        TooLarge: more than ten qubits.
    """
    turned = checked_angles(angles)
    rows = _checked_vectors(vectors)
    norms = np.linalg.norm(rows, axis=1)
    units = rows / np.where(norms > 0.0, norms, 1.0)[:, None]
    places = kept_indices(turned.shape[1], retained)
    amplitudes = np.ascontiguousarray(applied(turned, units.T)[places].T)
    fidelities = np.where(norms > 0.0, (np.abs(amplitudes) ** 2).sum(axis=1), 1.0)
    return Latent(amplitudes, norms, fidelities)


def decode(
    angles: npt.ArrayLike, amplitudes: npt.ArrayLike, norms: npt.ArrayLike, retained: Collection[int]
) -> Complexes:
    """Return the vectors, ``(vectors, 2**qubits)``: discarded qubits set to 0, the circuit undone, norms given back.

    Raises:
        ValueError: a shape is wrong, or qubits are retained that there are not.
        TooLarge: more than ten qubits.
    """
    turned = checked_angles(angles)
    places = kept_indices(turned.shape[1], retained)
    latent = np.asarray(amplitudes, dtype=np.complex128)
    lengths = np.asarray(norms, dtype=np.float64)
    if latent.shape != (lengths.size, places.size) or lengths.ndim != 1:
        raise ValueError(f"amplitudes: expected shape {(lengths.size, places.size)}, got {latent.shape}")
    states = np.zeros((2 ** turned.shape[1], lengths.size), dtype=np.complex128)
    states[places] = latent.T
    return np.asarray(applied(turned, states, inverse=True).T * lengths[:, None])


def qubit_variances(angles: npt.ArrayLike, vectors: npt.ArrayLike) -> Floats:
    """Return the variance of each qubit's reading (+1 or -1) after the circuit, ``(qubits,)``, 0 to 1.

    Over all vectors, weighted by their squared norms. A qubit that always reads the same has 0, and holds nothing.

    Raises:
        ValueError: a shape is wrong, or all vectors are 0.
        TooLarge: more than ten qubits.
    """
    turned = checked_angles(angles)
    roots, _spectrum = second_moments(vectors)
    shares = (np.abs(applied(turned, roots)) ** 2).sum(axis=1)
    rows = np.arange(shares.size)
    excited = np.array([shares[rows >> qubit & 1 == 1].sum() for qubit in range(turned.shape[1])])
    return np.asarray(4.0 * excited * (1.0 - excited))


def pruned(angles: npt.ArrayLike, vectors: npt.ArrayLike, threshold: float) -> tuple[int, ...]:
    """Return the qubits to retain: those that vary by more than ``threshold``, or that mostly read 1.

    The decoder sets a discarded qubit to 0, so one that always reads 1 is not to be discarded, constant or not.

    Args:
        angles: ``(layers, qubits, 3)``.
        vectors: ``(vectors, 2**qubits)``.
        threshold: of the variance, 0 to 1.

    Raises:
        ValueError: a shape is wrong, all vectors are 0, or the threshold is no share.
        TooLarge: more than ten qubits.
    """
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"threshold: expected 0 to 1, got {threshold}")
    turned = checked_angles(angles)
    roots, _spectrum = second_moments(vectors)
    shares = (np.abs(applied(turned, roots)) ** 2).sum(axis=1)
    rows = np.arange(shares.size)
    variances = qubit_variances(turned, vectors)
    return tuple(
        qubit
        for qubit in range(turned.shape[1])
        if variances[qubit] > threshold or shares[rows >> qubit & 1 == 1].sum() > 0.5
    )


def kept_indices(qubits: int, retained: Collection[int]) -> npt.NDArray[np.intp]:
    """Return the entries of a state in which every discarded qubit is 0, in ascending order.

    Raises:
        ValueError: qubits are retained that there are not, or twice.
    """
    if len(set(retained)) != len(retained) or not all(0 <= qubit < qubits for qubit in retained):
        raise ValueError(f"retained: expected qubits of 0 to {qubits - 1}, each once, got {sorted(retained)}")
    return np.flatnonzero(_survives(qubits, set(range(qubits)) - set(retained)))


def second_moments(vectors: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Return a root R of the second moments, ``R R' = V' V / trace``, and their eigenvalues, the largest first.

    The columns of R, ``(2**qubits, 2**qubits)``, stand for all the vectors wherever only their squares are added up.

    Raises:
        ValueError: the vectors are not ``(vectors, 2**qubits)``, not finite, or all 0.
        TooLarge: more than ten qubits.
    """
    rows = _checked_vectors(vectors)
    largest = float(np.abs(rows).max(initial=0.0))
    if largest == 0.0:
        raise ValueError("vectors: expected an entry that is not zero, got only zeros")
    scaled = rows / largest  # squares neither overflow nor vanish
    moments = scaled.T @ scaled
    values, directions = np.linalg.eigh(moments / np.trace(moments))
    values = np.maximum(values[::-1], 0.0)
    return np.ascontiguousarray(directions[:, ::-1] * np.sqrt(values)), values


def _survives(qubits: int, discarded: Collection[int]) -> Floats:
    """Return 1 for each entry of a state in which every discarded qubit is 0, else 0."""
    mask = sum(1 << qubit for qubit in discarded)
    return np.asarray(np.arange(2**qubits) & mask == 0, dtype=np.float64)


def _checked_vectors(vectors: npt.ArrayLike) -> Floats:
    rows = np.asarray(vectors, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] < 2 or rows.shape[1] & (rows.shape[1] - 1):
        raise ValueError(f"vectors: expected shape (vectors, 2**qubits), got {rows.shape}")
    if rows.shape[1] > 2**MAX_QUBITS:
        raise TooLarge(f"vectors: expected at most {2**MAX_QUBITS} entries each, got {rows.shape[1]}")
    if not np.isfinite(rows).all():
        raise ValueError("vectors: expected finite numbers, got NaN or infinity")
    return rows
