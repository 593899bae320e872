"""How many bits shall each tensor of a checkpoint get, so that its model loses no more than it may?

Sensitivities say what a relative error costs in each tensor (:mod:`tasks.codecs.sensitivity`), a table what each step
takes in bytes (:mod:`tasks.codecs.step_table`); which step each tensor gets is then a choice that the shared loop
makes. In force is the same error for all tensors, which is what one would ask for without sensitivities.
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.schemas.sensitivity import Sensitivities
from data.schemas.tensor import Tensor
from qiskit_solvers.solver import Solver
from tasks.codecs.lossy import SMALLEST, by_tensor
from tasks.codecs.quantise_chunk import QUANTISABLE
from tasks.codecs.step_table import StepTable, step_table
from tasks.codecs.treatment import Policy
from tasks.problems.bits import Bits, Chosen
from tasks.refine import Effort, Refined, refine

FINER, COARSER, PER_OCTAVE = 3, 4, 3
"""Octaves below and above the error in force in which steps are offered, and how many in each."""

COARSEST = 0.5
"""Relative RMS error above which a tensor is hardly itself, and losses do not add up any more."""

LEAST = 1e-9
"""Bound of a tensor that a step happens to hold exactly, e.g. one of three values."""

EXACT = 0
"""The first choice of each tensor loses nothing."""


@dataclass(frozen=True, slots=True)
class TensorBits:
    """What was chosen for a tensor.

    Args:
        name: of the tensor.
        elements: how many it has.
        relative_rms: its bound; None where it stays exact.
        size_bytes: measured with the codec; estimated from some of its chunks where it is larger than 3 MB.
        before_bytes: with the error in force.
        share: of the allowed loss of the measure that it costs most of.
    """

    name: str
    elements: int
    relative_rms: float | None
    size_bytes: float
    before_bytes: float
    share: float


@dataclass(frozen=True, slots=True, eq=False)
class Allocation:
    """A policy for an archive, and how it was found.

    Args:
        policy: gives each tensor its bound; tensors without a choice stay exact.
        relative_rms: bound of each tensor that is quantised.
        rows: of all tensors with a choice, largest saving first.
        refined: the loop's outcome.
        allowed: loss by each measure that the choice keeps to, to first order.
        notes: tensors that have no choice, and why.
    """

    policy: Policy
    relative_rms: Mapping[str, float]
    rows: tuple[TensorBits, ...]
    refined: Refined[Chosen]
    allowed: Mapping[str, float]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """The tables of the tensors that have a choice.

    Args:
        names: of the tensors.
        elements: of each.
        tables: of each.
        errors: relative RMS errors that the steps were chosen for, rising.
        relative_rms: the one that all tensors would have otherwise.
        notes: tensors that have no choice, and why.
    """

    names: tuple[str, ...]
    elements: tuple[int, ...]
    tables: tuple[StepTable, ...]
    errors: tuple[float, ...]
    relative_rms: float
    notes: tuple[str, ...]


def allocate_bits(
    tensors: Sequence[Tensor],
    sensitivities: Sensitivities,
    relative_rms: float,
    solver: Solver,
    *,
    seed: int,
    effort: Effort | None = None,
    twins: tuple[Solver, ...] = (),
    workers: int = 1,
) -> Allocation:
    """Return the smallest choice found that loses no more than if each tensor had the same relative RMS error.

    Args:
        tensors: of the checkpoint.
        sensitivities: of those that may be quantised; the others stay exact.
        relative_rms: the error that all of them would have otherwise, between 0 and 0.5.
        solver: answers the windows of the shared loop.
        seed: of all chance.
        effort: of the loop; None is its default.
        twins: solvers to compare with.
        workers: threads that measure sizes; they do not change a number.

    Raises:
        ValueError: the error is out of range, or none of the tensors with sensitivities can be quantised.
    """
    tables = measured_steps(tensors, sensitivities, relative_rms, workers)
    allowed = uniform_losses(sensitivities, tables)
    problem = posed(tables, sensitivities, allowed)
    rng = np.random.default_rng(seed)
    refined = refine(problem, solver, rng, effort=effort or Effort(), twins=twins)
    return allocation(tables, problem, refined, allowed)


def measured_steps(
    tensors: Sequence[Tensor], sensitivities: Sensitivities, relative_rms: float, workers: int = 1
) -> Tables:
    """Measure what the steps around an error cost in each tensor.

    Args:
        tensors: of the checkpoint.
        sensitivities: of those that may be quantised.
        relative_rms: the error in the midst of the steps.
        workers: threads; they do not change a number.

    Raises:
        ValueError: the error is out of range, a sensitivity has no tensor, or no tensor can be quantised.
    """
    if not 0.0 < relative_rms < COARSEST:
        raise ValueError(f"relative_rms: expected an error between 0 and {COARSEST}, got {relative_rms}")
    by_name = {tensor.name: tensor for tensor in tensors}
    unknown = [name for name in sensitivities.of if name not in by_name]
    if unknown:
        raise ValueError(f"sensitivities: expected names of the checkpoint's tensors, found {', '.join(unknown[:5])}")
    errors = relative_rms * 2.0 ** (np.arange(-FINER * PER_OCTAVE, COARSER * PER_OCTAVE + 1) / PER_OCTAVE)
    errors = errors[errors <= COARSEST]
    steps = math.sqrt(12.0) * errors * (1.0 - 5e-3)  # a hair finer, so that equal errors are within their bound
    chosen = [by_name[name] for name in sensitivities.of]
    with ThreadPoolExecutor(workers) as pool:
        measured = list(pool.map(lambda tensor: step_table(tensor, steps) if _fits(tensor) else None, chosen))
    found = {tensor.name: table for tensor, table in zip(chosen, measured, strict=True) if table is not None}
    notes = [f"{tensor.name} stays exact: {_why_exact(tensor)}" for tensor in chosen if tensor.name not in found]
    if not found:
        raise ValueError(f"sensitivities: expected a tensor that can be quantised, found none; {'; '.join(notes[:3])}")
    elements = tuple(math.prod(by_name[name].shape) for name in found)
    return Tables(tuple(found), elements, tuple(found.values()), tuple(errors.tolist()), relative_rms, tuple(notes))


def uniform_losses(sensitivities: Sensitivities, tables: Tables, relative_rms: float | None = None) -> dict[str, float]:
    """Return what each measure loses, to first order, if every tensor has the same error; None: the one in force."""
    error = tables.relative_rms if relative_rms is None else relative_rms
    sums = np.array([sensitivities.of[name] for name in tables.names]).sum(axis=0)
    return dict(zip(sensitivities.measures, (sums * error**2).tolist(), strict=True))


def posed(tables: Tables, sensitivities: Sensitivities, allowed: Mapping[str, float]) -> Bits:
    """Return the choice of steps as a problem.

    In force is the same error for all tensors, the greatest of the tables' that is allowed, or else none at all.

    Args:
        tables: of the tensors.
        sensitivities: of the same.
        allowed: loss by each measure; measures that no tensor is sensitive to are left out.

    Raises:
        ValueError: nothing is sensitive, or a measure may lose nothing.
    """
    weight = np.array([sensitivities.of[name] for name in tables.names]).T
    limit = np.array([allowed[measure] for measure in sensitivities.measures])
    told = weight.sum(axis=1) > 0.0
    if not told.any():
        raise ValueError("sensitivities: expected at least one above 0, found none")
    if not (limit[told] > 0.0).all():
        raise ValueError(f"allowed: expected losses above 0, got {dict(allowed)}")
    size = np.array([[table.exact_bytes, *table.size_bytes] for table in tables.tables])
    error = np.array([[0.0, *table.relative_rms] for table in tables.tables])
    share = (weight[told] / limit[told, None])[:, :, None] * np.square(error)
    in_force = np.zeros(len(size), np.int64)
    for asked in tables.errors:
        step_of = np.where(error <= asked, np.arange(error.shape[1]), EXACT).max(axis=1)
        if (np.take_along_axis(share, step_of[None, :, None], axis=2).sum(axis=(1, 2)) <= 1.0).all():
            in_force = step_of
    return Bits(size, share, Chosen(in_force), sum(tables.elements), notes=tables.notes)


def allocation(tables: Tables, problem: Bits, refined: Refined[Chosen], allowed: Mapping[str, float]) -> Allocation:
    """Return what a decision means for an archive."""
    rows, bounds = [], {}
    for number, (name, table) in enumerate(zip(tables.names, tables.tables, strict=True)):
        step, before = int(refined.decision.step_of[number]), int(problem.in_force.step_of[number])
        bound = None if step == EXACT else max(LEAST, float(table.relative_rms[step - 1]))
        if bound is not None:
            bounds[name] = bound
        size, was = (float(problem.size_bytes[number, one]) for one in (step, before))
        share = float(problem.share[:, number, step].max())
        rows.append(TensorBits(name, tables.elements[number], bound, size, was, share))
    rows.sort(key=lambda row: (row.size_bytes - row.before_bytes, row.name))
    return Allocation(by_tensor(bounds), bounds, tuple(rows), refined, dict(allowed), tables.notes)


def _fits(tensor: Tensor) -> bool:
    return tensor.dtype in QUANTISABLE and math.prod(tensor.shape) >= SMALLEST


def _why_exact(tensor: Tensor) -> str:
    if _fits(tensor):
        return "its elements are all 0, or not all finite"
    return f"it is of {tensor.dtype}" if tensor.dtype not in QUANTISABLE else f"it has fewer than {SMALLEST} elements"


@task(name="allocate-bits", cache_policy=NO_CACHE)
def allocate_steps(
    tensors: Sequence[Tensor],
    sensitivities: Sensitivities,
    relative_rms: float,
    solver: Solver,
    *,
    seed: int,
    effort: Effort,
    twins: tuple[Solver, ...],
    workers: int,
) -> Allocation:
    """Run :func:`allocate_bits` as a Prefect task."""
    return allocate_bits(
        tensors, sensitivities, relative_rms, solver, seed=seed, effort=effort, twins=twins, workers=workers
    )
