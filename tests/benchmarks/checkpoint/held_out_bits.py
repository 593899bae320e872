"""How small does MiniLM become at equal function, seen on sentences that no choice was made with?

Per sentence set: embeddings before and after, and of them three measures. *similarity* is the mean squared change of
the cosine between two sentences, *drift* one minus the mean cosine of a sentence before and after, *order* one minus
Spearman's rank correlation of all pairs' cosines. Choices are made on the calibration set until all three are no worse
than the reference's there; the table shows the other set. Sizes are whole archives, restored before they are measured.
"""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata

from data.schemas.sensitivity import Sensitivities
from qiskit_solvers.solver import Solver
from tasks.allocate_bits import Tables, allocation, measured_steps, posed, uniform_losses
from tasks.codecs.archive import open_archive
from tasks.codecs.index import Source
from tasks.codecs.lossy import SMALLEST, by_tensor, policy
from tasks.codecs.sensitivity import measure_sensitivities
from tasks.codecs.treatment import Policy
from tasks.codecs.writer import write_archive
from tasks.refine import Effort, refine
from tests.benchmarks.checkpoint import minilm

SENTENCES = (64, 128)
"""To calibrate with, and held out."""

PROBED = (0.04, 0.08)
"""Relative RMS errors with which each tensor's sensitivity is measured."""

GRID = 0.03
"""Error around which steps are measured: from an eighth of it to 0.5."""

CALIBRATIONS = 7
"""Archives at most that are made and measured for a line."""

MARGIN, NEAR = 0.97, 0.97
"""Part of the reference's loss on the calibration set that a choice may have there, and from what part of that on it is
near enough."""

REFERENCES = ("int8", "rms:0.02", "rms:0.05", "rms:0.1", "int4")
PLAIN = "reference, codes as they are"
"""Without an entropy coder, as other formats have it."""

Weights = dict[str, npt.NDArray[np.float32]]
Floats = npt.NDArray[np.float64]
MEASURES = ("similarity", "drift", "order")

Proposal = Callable[[float], Mapping[str, float]]
"""Given a share of the limits that may be lost: a bound for each tensor."""


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A tensor in memory (:class:`data.schemas.tensor.Tensor`)."""

    name: str
    values: npt.NDArray[np.float32]
    dtype: str = "F32"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def pieces(self, piece_bytes: int):
        octets = memoryview(np.ascontiguousarray(self.values)).cast("B")
        for start in range(0, len(octets), piece_bytes):
            yield octets[start : start + piece_bytes]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: an archive, and what is lost on the held-out sentences."""

    reference: str
    method: str
    bits_per_weight: float
    lost: dict[str, float]
    calibration: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """What was measured of the model, once.

    Args:
        weights: all that its embeddings depend on; the pooler, which they do not, is left out.
        names: of the tensors that may be quantised.
        sensitivities: by the three measures, on the calibration set.
        probes: embeddings of the calibration set with one tensor quantised, ``(sentences, 384)``, by name, for each
            error; with them any part of the set can be calibrated with again.
        before: embeddings of both sets as they were.
        sets: sentences to calibrate with, and held-out ones.
        tables: bytes and error of each step.
    """

    weights: Weights
    names: tuple[str, ...]
    sensitivities: Sensitivities
    probes: Mapping[str, Sequence[Floats]]
    before: tuple[Floats, Floats]
    sets: tuple[list[str], list[str]]
    tables: Tables


def calibrated() -> Calibrated:
    """Measure what each tensor counts for, with two evaluations each, and what its steps cost."""
    every = {name: value.numpy() for name, value in minilm.weights().items() if not name.startswith("pooler")}
    names = tuple(name for name, value in every.items() if value.ndim == 2 and value.size >= SMALLEST)
    sets = tuple(texts[:count] for texts, count in zip(minilm.texts(), SENTENCES, strict=True))
    before = tuple(embedded(every, texts) for texts in sets)
    probes: dict[str, list[Floats]] = {name: [] for name in names}

    def losses(changed: Mapping[str, npt.NDArray[np.floating]]) -> dict[str, float]:
        name = next(name for name in names if changed[name] is not every[name])
        after = embedded(changed, sets[0])
        probes[name].append(after)
        return lost(before[0], after)

    sensitivities = measure_sensitivities(every, losses, names, PROBED)
    tables = measured_steps([Held(name, every[name]) for name in names], sensitivities, GRID, workers=2)
    return Calibrated(every, names, sensitivities, probes, before, sets, tables)


def embedded(weights: Mapping[str, npt.NDArray[np.floating]], texts: Sequence[str]) -> Floats:
    """Return the embeddings with these weights; the pooler's own are of no account."""
    return minilm.embed(_pooler() | {name: torch.from_numpy(value) for name, value in weights.items()}, texts)


@cache
def _pooler() -> dict[str, torch.Tensor]:
    return {name: value for name, value in minilm.weights().items() if name.startswith("pooler")}


def lost(before: Floats, after: Floats) -> dict[str, float]:
    """Return the three measures between embeddings, ``(sentences, 384)`` both."""
    above = np.triu_indices(len(before), 1)
    one, other = (before @ before.T)[above], (after @ after.T)[above]
    ranks = np.corrcoef(rankdata(one), rankdata(other))[0, 1]
    drift = 1.0 - (before * after).sum(axis=1).mean()
    return dict(zip(MEASURES, (float(np.square(one - other).mean()), float(drift), float(1.0 - ranks)), strict=True))


def held_out(model: Calibrated, reference: str, solver: Solver) -> list[Row]:
    """Return lines for a reference, and for uniform and allocated steps that lose no more on the calibration set.

    Args:
        model: as measured.
        reference: of :data:`REFERENCES`; one that is uniform itself is not compared with another uniform one.
        solver: answers the windows.
    """
    rows = [row(model, reference, "reference", *archived(model, policy(reference, keep=kept(model))))]
    limits = rows[0].calibration
    proposals: dict[str, Proposal] = {"allocated": lambda share: allocated(model, limits, share, solver)}
    if reference in ("int8", "int4"):
        rows.insert(0, replace(rows[0], method=PLAIN, bits_per_weight=size_of_plain(model, reference)))
        proposals = {"uniform": lambda share: uniform(model, limits, share), **proposals}
    rows += [within(model, reference, method, limits, propose) for method, propose in proposals.items()]
    return rows


def within(model: Calibrated, reference: str, method: str, limits: Mapping[str, float], propose: Proposal) -> Row:
    """Return the line of the smallest archive found whose loss on the calibration set, measured, is below the limits.

    Losses add up to first order only, and the same step loses more or less by chance: so the share of the limits that
    is proposed is halved in, between the greatest that kept them and the least that did not.

    Raises:
        ValueError: none of :data:`CALIBRATIONS` proposals kept the limits.
    """
    share, keeps, breaks = MARGIN, 0.0, math.inf
    best: Row | None = None
    for _ in range(CALIBRATIONS):
        made = row(model, reference, method, *archived(model, by_tensor(propose(share))))
        worst = max(made.calibration[name] / (MARGIN * limits[name]) for name in MEASURES)
        if worst <= 1.0 and (best is None or made.bits_per_weight < best.bits_per_weight):
            best = made
        if NEAR <= worst <= 1.0:
            break
        keeps, breaks = (max(keeps, share), breaks) if worst <= 1.0 else (keeps, min(breaks, share))
        found_both = 0.0 < keeps < breaks < math.inf
        share = math.sqrt(keeps * breaks) if found_both else 0.995 * share * min(1.5, 1.0 / worst)
    if best is None:
        raise ValueError(f"expected a choice that loses at most {limits}, found none in {CALIBRATIONS} trials")
    return best


def allocated(model: Calibrated, limits: Mapping[str, float], share: float, solver: Solver) -> Mapping[str, float]:
    """Return the bounds of the smallest choice found that loses a share of the limits, to first order."""
    allowed = {measure: share * limit for measure, limit in limits.items()}
    problem = posed(model.tables, model.sensitivities, allowed)
    refined = refine(problem, solver, np.random.default_rng(0), effort=Effort(rounds=4))
    return allocation(model.tables, problem, refined, allowed).relative_rms


def uniform(model: Calibrated, limits: Mapping[str, float], share: float) -> Mapping[str, float]:
    """Return the same bound for all tensors, the one that loses a share of the limits, to first order."""
    losses = uniform_losses(model.sensitivities, model.tables, 1.0)
    error = math.sqrt(share * min(limits[measure] / losses[measure] for measure in MEASURES))
    return dict.fromkeys(model.names, error)


def kept(model: Calibrated) -> tuple[str, ...]:
    """Return the names of what no method quantises."""
    return tuple(name for name in model.weights if name not in model.names)


def archived(model: Calibrated, how: Policy) -> tuple[float, Weights]:
    """Return the bits per weight of an archive, everything in it counted, and the weights that it restores."""
    file = io.BytesIO()
    tensors = [Held(name, value) for name, value in model.weights.items()]
    write_archive(file, Source("arrays", "0" * 64, 0), b"", tensors, policy=how)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.qfz"
        path.write_bytes(file.getvalue())
        with open_archive(path) as archive:
            back = {
                stored.name: np.frombuffer(archive.read(stored), np.float32).reshape(stored.shape).copy()
                for stored in archive.index.tensors
            }
    return 8.0 * file.tell() / elements(model), back


def size_of_plain(model: Calibrated, reference: str) -> float:
    """Return the bits per weight of codes that are not entropy coded, with an fp32 scale for each of their groups."""
    bits = 0.0
    for name, value in model.weights.items():
        if name not in model.names:
            bits += 32.0 * value.size
        elif reference == "int8":
            bits += 8.0 * value.size + 32.0 * len(value)
        else:
            bits += 4.0 * value.size + 16.0 * value.size / 64  # their scales are fp16 by custom
    return bits / elements(model)


def elements(model: Calibrated) -> int:
    """Return how many weights there are."""
    return sum(value.size for value in model.weights.values())


def row(model: Calibrated, reference: str, method: str, size: float, back: Weights) -> Row:
    """Return a line: what the restored weights lose on both sets."""
    calibration, other = (
        lost(before, embedded(back, texts)) for before, texts in zip(model.before, model.sets, strict=True)
    )
    return Row(reference, method, size, other, calibration)
