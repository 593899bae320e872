"""Is a tensor smaller as the latent entries of a trained quantum circuit than by the classical chain?

A small circuit is trained on the blocks of the tensor (:mod:`qiskit_solvers.variational.autoencoder`), so that few
qubits hold what matters; qubits that hardly vary are pruned, the entries of the others quantised and coded. Both ways
must keep the same bound on the error, both are packed, and the smaller one is used. On trained weights that is the
classical chain: their blocks are white, so no rotation gathers anything. Only tensors that repeat a few shapes gain.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from data.schemas.tensor import ELEMENT_TYPES, Tensor
from tasks.codecs.alone import archive_bytes
from tasks.codecs.autoencoder_recipe import EntangledBlocks, Floats, Integers, written_runs
from tasks.codecs.channel_dropout import Dropout, qubit_error
from tasks.codecs.index import CHUNK_BYTES
from tasks.codecs.quantise_chunk import values_of
from tasks.codecs.quantise_integers import REACH
from tasks.codecs.treatment import BaseTensor, Loss, Policy, Treatment, Whole

ELEMENTS_MAX = 1 << 22
"""Largest tensor that is tried: its states take 64 MB."""

_FLOATS = ("F16", "BF16", "F32", "F64")
_STEPS = 8  # corrections of the step


@dataclass(frozen=True, slots=True, eq=False)
class Circuit:
    """A tensor after a trained circuit.

    Args:
        whole: as it goes into an archive.
        lost_to_pruning: share of the tensor's energy that went with the discarded qubits.
        pruned_floor: the least that any projection of that rank loses.
        evaluations: of the training loss and its slopes.
    """

    whole: Whole
    lost_to_pruning: float
    pruned_floor: float
    evaluations: int


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Both ways to write a tensor, under the same bound.

    Args:
        classical_bytes: of an archive that holds the tensor by the classical chain, and nothing else.
        circuit_bytes: of one that holds it by the circuit; 0 where that was not possible.
        circuit: the tensor after the circuit.
        note: why there is no circuit; else empty.
        treatment: the circuit where it is smaller by the margin, else the classical chain.
    """

    classical_bytes: int
    circuit_bytes: int
    circuit: Circuit | None
    note: str
    treatment: Treatment

    @property
    def circuit_wins(self) -> bool:
        """Whether the circuit's archive is smaller by the margin."""
        return self.circuit is not None and self.treatment.form is self.circuit.whole

    def sentence(self) -> str:
        """Return the outcome, in words."""
        if self.circuit is None:
            return f"classical chain: {self.note}"
        winner, loser = ("circuit", "classical chain") if self.circuit_wins else ("classical chain", "circuit")
        sizes = {"circuit": self.circuit_bytes, "classical chain": self.classical_bytes}
        return f"{winner} wins: {sizes[winner]} bytes, {loser} {sizes[loser]}"


@dataclass(frozen=True, slots=True)
class AutoencoderTrial:
    """A policy: the quantum autoencoder where it is smaller than the classical chain, else that chain.

    Off unless asked for: training takes seconds per tensor, and on trained weights never wins.

    Args:
        classical: what it competes with, under the same bound.
        bound: greatest RMS of the error over the RMS of the tensor; more than 0.
        qubits: of the circuit; blocks have ``2**qubits`` elements.
        layers: of the circuit.
        starts: random starts of its training.
        evaluations: of the training loss and its slopes, per start at most.
        width_by: in which order qubits are pruned: by the variance of their readings, or by how sensitive the
            reconstruction is to their loss, as :class:`tasks.codecs.channel_dropout.Dropout` measures it.
        margin: share by which the circuit's archive must be smaller, since a tensor in that form is read as a whole
            or not at all.
        seed: of the random starts and the dropout; each tensor begins anew.

    Raises:
        ValueError: the bound or a count is out of range.
    """

    classical: Policy
    bound: float
    qubits: int = 4
    layers: int = 12
    starts: int = 2
    evaluations: int = 200
    width_by: Literal["variance", "dropout"] = "variance"
    margin: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if self.width_by not in ("variance", "dropout") or not 0.0 <= self.margin < 1.0:
            raise ValueError(f"expected a width by variance or dropout, and a margin of 0 to 1, got {self}")
        if not 0.0 < self.bound < math.inf:
            raise ValueError(f"bound: expected a number above 0, got {self.bound}")
        if not (2 <= self.qubits <= 10 and 1 <= self.layers <= 32 and self.starts >= 1 and self.evaluations >= 1):
            raise ValueError(f"expected 2 to 10 qubits, 1 to 32 layers, and counts of at least 1, got {self}")

    def __call__(self, tensor: Tensor, base: BaseTensor | None) -> Treatment:
        """Return the treatment of a tensor."""
        return self.tried(tensor, base).treatment

    def tried(self, tensor: Tensor, base: BaseTensor | None = None) -> Trial:
        """Write a tensor both ways, and say which is smaller."""
        treatment = self.classical(tensor, base)
        if treatment.delta:
            return Trial(0, 0, None, "it is stored as a difference to the base", treatment)
        classical_bytes = archive_bytes(tensor, treatment)
        rng = np.random.default_rng(self.seed)
        made = in_circuit(tensor, self, rng)
        if isinstance(made, str):
            return Trial(classical_bytes, 0, None, made, treatment)
        ours = Treatment(made.whole, bound=("relative_rms", self.bound))
        circuit_bytes = archive_bytes(tensor, ours)
        smaller = ours if circuit_bytes < (1.0 - self.margin) * classical_bytes else treatment
        return Trial(classical_bytes, circuit_bytes, made, "", smaller)


def in_circuit(tensor: Tensor, options: AutoencoderTrial, rng: np.random.Generator) -> Circuit | str:
    """Return a tensor after a trained circuit, within the bound; or why that cannot be.

    Args:
        tensor: to compress.
        options: bound, circuit and training.
        rng: where the training starts.
    """
    elements = math.prod(tensor.shape)
    if tensor.dtype not in _FLOATS:
        return f"elements of {tensor.dtype} are no floats that a circuit takes"
    if not 2**options.qubits <= elements <= ELEMENTS_MAX:
        return f"{elements} elements: expected {2**options.qubits} to {ELEMENTS_MAX}"
    raw = b"".join(tensor.pieces(CHUNK_BYTES))
    values = values_of(raw, tensor.dtype)
    if not np.isfinite(values).all():
        return "it has elements that are not finite"
    with np.errstate(over="ignore"):
        energy = float((values.astype(np.float64) ** 2).sum())
    if not 0.0 < energy < math.inf:
        return "it has no energy, or too much to add up"
    blocks = np.zeros((-(-elements // 2**options.qubits), 2**options.qubits))
    blocks.reshape(-1)[:elements] = values
    found = list(_candidates(blocks, values, tensor.dtype, options, rng))
    if not found:
        return "no step keeps the bound in this element type"
    return min(found, key=lambda made: made.whole.content.nbytes)


def _candidates(
    blocks: Floats, values: npt.NDArray[np.floating], dtype: str, options: AutoencoderTrial, rng: np.random.Generator
) -> Iterator[Circuit]:
    """Yield the tensor after the circuit with ever fewer qubits, while the bound has room for what they take along."""
    from qiskit_solvers.variational.autoencoder import Training, kept_indices
    from qiskit_solvers.variational.entangling_layers import applied, of_real_turns

    trained = Training(layers=options.layers, starts=options.starts, evaluations=options.evaluations)(blocks, None, rng)
    turns = trained.angles[..., 1].astype(np.float32)
    angles = of_real_turns(turns)
    entries = applied(angles, blocks.T).real
    energies = (entries**2).sum(axis=1)
    spectrum = np.linalg.eigvalsh(blocks.T @ blocks)[::-1]
    total, allowed = float(energies.sum()), options.bound**2
    for retained in _widths(angles, blocks, options, rng):
        places = kept_indices(options.qubits, retained)
        lost = max(0.0, 1.0 - float(energies[places].sum()) / total)
        if lost >= allowed:
            return
        for share in (0.9999, 0.97):  # the second where rounding to the element type takes a part
            integers, step = _on_steps(entries[places], share * (allowed - lost) * total)
            if integers is None:
                continue
            made = _written(turns, retained, integers, step, values, dtype, options)
            if math.sqrt(made.loss.squares / made.loss.energy) <= options.bound:
                floor = max(0.0, 1.0 - float(spectrum[: len(places)].sum() / spectrum.sum()))
                yield Circuit(made, lost, floor, len(trained.losses))
                break


def _widths(
    angles: Floats, blocks: Floats, options: AutoencoderTrial, rng: np.random.Generator
) -> Iterator[tuple[int, ...]]:
    """Yield ever fewer qubits to retain, ascending."""
    from qiskit_solvers.variational.autoencoder import pruned, qubit_variances

    if options.width_by == "variance":
        for threshold in (0.0, *np.sort(qubit_variances(angles, blocks))[:-1].tolist()):
            yield pruned(angles, blocks, threshold)
        return
    dropout = Dropout(rate=0.5, samples=32 * options.qubits)
    order = np.argsort(dropout(qubit_error(angles, blocks), options.qubits, rng).high, kind="stable").tolist()
    for count in range(options.qubits):
        yield tuple(sorted(order[count:]))


def _on_steps(entries: Floats, squares: float) -> tuple[Integers | None, float]:
    """Return entries as multiples of the greatest step found whose squared errors add up to at most ``squares``."""
    step = math.sqrt(12.0 * squares / entries.size)
    best: tuple[Integers | None, float] = (None, 0.0)
    for _correction in range(_STEPS):
        multiples = np.rint(entries / step)
        if np.abs(multiples).max() < REACH:
            found = float(((entries - step * multiples) ** 2).sum())
            if found <= squares and step > best[1]:
                best = (multiples.astype(np.int32), step)
            ratio = squares / found if found else 4.0
        else:
            ratio = 4.0
        step *= math.sqrt(min(4.0, ratio)) * (1.0 if ratio > 1.0 else 0.9999)
    return best


def _written(
    turns: npt.NDArray[np.float32],
    retained: tuple[int, ...],
    integers: Integers,
    step: float,
    values: npt.NDArray[np.floating],
    dtype: str,
    options: AutoencoderTrial,
) -> Whole:
    """Return the tensor in its shorter form, with the loss measured after it was decoded."""
    runs = {each: written_runs(integers, each=each) for each in (False, True)}
    each = len(runs[True]) < len(runs[False])
    content = np.frombuffer(turns.astype("<f4").tobytes() + runs[each], dtype=np.uint8)
    recipe = EntangledBlocks(dtype, options.qubits, options.layers, retained, step, each, len(content))  # type: ignore[arg-type]  # one of _FLOATS
    restored = recipe.rebuild(content, values.size * ELEMENT_TYPES[dtype].word_bytes)
    back = values_of(restored.tobytes(), dtype)
    return Whole(recipe, content, _loss(values, back))


def _loss(values: npt.NDArray[np.floating], back: npt.NDArray[np.floating]) -> Loss:
    wide = values.astype(np.float64)
    with np.errstate(over="ignore"):  # an infinity by rounding to 16 bits is over any bound
        differences = wide - back
        greatest, squares = float(np.abs(differences).max()), float((differences**2).sum())
    return Loss(greatest, squares, float((wide**2).sum()), len(values), 0)
