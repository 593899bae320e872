"""Where do the shipped angles come from? Trained on one family of models, judged on others, written as JSON.

Fixed schedules: one layer from a grid, then layer by layer INTERP and L-BFGS (:mod:`.optimize`) on the mean over
the training instances, all with standardised costs. Ramps: the best end angles of a grid. Schedules of 10 to 30
layers: the ramp, trained angle by angle in the same way. No instance that judges was trained on, and most are of
other families or sizes; but the training sources and the objective were chosen by looking at other instances of
these families.

The mean of log P(optimum) is what is maximised. Trained on the mean energy instead (``--objective energy``), the
expected energies are lower, but the optimum is seen more rarely, and a sampler is asked for its best string.

Figures of a schedule are medians over instances: the probability of the optimum (all optima together), and the
approximation ratio, 0 for uniform samples and 1 for the optimum.

Run: ``python -m qiskit_solvers.angles.derive --seed 1 --out qiskit_solvers/angles/schedules.json``.
"""

import argparse
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from qiskit_solvers.angles.optimize import descended
from qiskit_solvers.angles.ramp import ramp
from qiskit_solvers.angles.schedule import Family, Schedule, as_json, interpolated
from qiskit_solvers.conflicts import ease_conflicts
from qiskit_solvers.ising import Floats, Ising
from qiskit_solvers.one_hot import moments
from qiskit_solvers.simulation.full import FullSpace
from qiskit_solvers.simulation.space import Slope, StateSpace
from qiskit_solvers.simulation.subspace import Subspace

DECIMALS = 4  # of shipped angles and figures


def moves(spins: int, rng: np.random.Generator) -> Ising:
    """Return moves from a local optimum: ``sum d_i x_i + sum W_ij x_i x_j``, d half-normal, W normal."""
    return _of_moves(np.abs(rng.normal(size=spins)), np.triu(rng.normal(size=(spins, spins)), 1))


def window(spins: int, rng: np.random.Generator, *, conflicts: float) -> Ising:
    """Return moves that are coupled weakly, some with a gain, a share of the pairs excluding one another.

    The conflicts are eased, as a solver eases them.
    """
    d = np.abs(rng.normal(size=spins)) - 0.3
    W = rng.normal(size=(spins, spins)) / np.sqrt(spins)
    barred = rng.random((spins, spins)) < conflicts
    W = np.where(barred, 4.0 + 8.0 * np.abs(rng.normal(size=W.shape)), W)
    return ease_conflicts(_of_moves(d, np.triu(W, 1)))


def glass(spins: int, rng: np.random.Generator) -> Ising:
    """Return a Sherrington-Kirkpatrick model: normal couplings between all spins, no fields."""
    return Ising(np.zeros(spins), np.triu(rng.normal(size=(spins, spins)), 1))


def cut(spins: int, rng: np.random.Generator, *, weighted: bool) -> Ising:
    """Return MaxCut on a random 3-regular graph, weights one or exponential; drawn by the pairing model.

    Bollobas 1980, doi 10.1016/S0195-6698(80)80030-8: pair three stubs per vertex until no loop or double edge is left.
    """
    while True:
        ends = np.sort(rng.permutation(np.repeat(np.arange(spins), 3)).reshape(-1, 2), axis=1)
        if (ends[:, 0] < ends[:, 1]).all() and len(np.unique(ends, axis=0)) == len(ends):
            break
    J = np.zeros((spins, spins))
    J[ends[:, 0], ends[:, 1]] = rng.exponential(size=len(ends)) if weighted else 1.0
    return Ising(np.zeros(spins), J)


def assignment(items: int, bins: int, rng: np.random.Generator) -> Ising:
    """Return the placement of items in bins: gamma-distributed traffic between bins, balance, and own costs.

    The cost is the traffic of the pairs that are apart, plus the squared load of each bin, plus a
    gamma-distributed cost of each item in each bin; loads have mean 1.
    """
    load, traffic = rng.gamma(4.0, 0.25, size=items), rng.gamma(1.0, size=(items, items))
    own = rng.gamma(1.0, size=(items, bins))
    together = 2.0 * np.outer(load, load) - traffic  # cost of a pair in one bin, beside that of the pair apart
    W = np.kron(np.triu(together, 1), np.eye(bins))
    groups = tuple(tuple(range(item * bins, (item + 1) * bins)) for item in range(items))
    return Ising(-own.ravel() / 2 - (W + W.T).sum(axis=1) / 4, W / 4, groups=groups)


@dataclass(frozen=True, slots=True)
class Source:
    """Where models of one kind come from.

    Args:
        name: in the file.
        draw: gives one.
        instances: how many.
    """

    name: str
    draw: Callable[[np.random.Generator], Ising]
    instances: int

    def spaces(self, seed: np.random.SeedSequence) -> list[StateSpace]:
        """Return simulators of the models, each divided by the standard deviation of its energy."""
        return [_standardised(self.draw(np.random.default_rng(child))) for child in seed.spawn(self.instances)]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to train on and to judge by.

    Args:
        family: the mixer.
        training: one source.
        held_out: the others.
        objective: of the fixed schedules: ``chance``, the mean logarithm of the optimum's probability, or ``energy``.
        layers: deepest of the schedules that are trained layer by layer.
        ramps: depths to tune ramps for.
        curves: those of them to train a schedule for, angle by angle, from the tuned ramp.
        cost_angles: of the ramps' grid.
        mixer_angles: of the ramps' grid.
    """

    family: Family
    training: Source
    held_out: tuple[Source, ...]
    objective: Literal["chance", "energy"] = "chance"
    layers: int = 5
    ramps: tuple[int, ...] = (10, 20, 30, 60, 100)
    curves: tuple[int, ...] = (10, 20, 30)
    cost_angles: tuple[float, ...] = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5)
    mixer_angles: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


PLANS = (
    Plan(
        family="transverse",
        training=Source("moves of 10 spins", partial(moves, 10), 96),
        held_out=(
            Source("moves of 16 spins", partial(moves, 16), 20),
            Source("window of 12 spins", partial(window, 12, conflicts=0.0), 40),
            Source("window of 14 spins, one pair in ten in conflict", partial(window, 14, conflicts=0.1), 40),
            Source("3-regular MaxCut of 14 vertices", partial(cut, 14, weighted=False), 40),
            Source("3-regular MaxCut of 14 vertices, exponential weights", partial(cut, 14, weighted=True), 40),
            Source("Sherrington-Kirkpatrick of 14 spins", partial(glass, 14), 40),
        ),
    ),
    Plan(
        family="one_hot",
        training=Source("6 items in 3 bins", partial(assignment, 6, 3), 48),
        held_out=(
            Source("5 items in 4 bins", partial(assignment, 5, 4), 40),
            Source("4 items in 5 bins", partial(assignment, 4, 5), 40),
            Source("8 items in 3 bins", partial(assignment, 8, 3), 40),
            Source("6 items in 4 bins", partial(assignment, 6, 4), 40),
            Source("4 items in 8 bins", partial(assignment, 4, 8), 40),
        ),
    ),
)


def drawn(plan: Plan, seed: int) -> tuple[list[StateSpace], dict[str, list[StateSpace]]]:
    """Return the training instances, and those that judge by the name of their source: the training one comes first.

    The judges from the training source are fresh instances.
    """
    sources = (plan.training, *plan.held_out)
    seeds = np.random.SeedSequence(seed).spawn(1 + len(sources))
    judges = {source.name: source.spaces(own) for source, own in zip(sources, seeds[1:], strict=True)}
    return plan.training.spaces(seeds[0]), judges


def derived(plan: Plan, seed: int) -> dict[str, Any]:
    """Return the part of the shipped file that a plan gives, with all its figures."""
    training, judges = drawn(plan, seed)

    def figures(schedule: Schedule) -> dict[str, dict[str, float]]:
        return {name: judged(spaces, schedule) for name, spaces in judges.items()}

    ramps = [(layers, *best_ramp(training, layers, plan.cost_angles, plan.mixer_angles)) for layers in plan.ramps]
    schedules = trained(training, plan.objective, plan.layers)
    schedules += [bent(training, plan.objective, ramp(*ends)) for ends in ramps if ends[0] in plan.curves]
    return {
        "objective": plan.objective,
        "training": {"source": plan.training.name, "instances": plan.training.instances, "seed": seed},
        "schedules": [
            {**as_json(schedule), "layers": schedule.layers, "figures": figures(schedule)}
            for schedule in map(_rounded, schedules)
        ],
        "ramps": [
            {"layers": layers, "cost_angle": cost, "mixer_angle": mixer, "figures": figures(ramp(layers, cost, mixer))}
            for layers, cost, mixer in ramps
        ],
    }


def trained(spaces: Sequence[StateSpace], objective: Literal["chance", "energy"], layers: int) -> list[Schedule]:
    """Return the schedules of 1 to ``layers`` layers that are best on average over ``spaces``.

    The objective is that of :class:`Plan`.
    """
    mean = partial(mean_energy if objective == "energy" else mean_log_chance, spaces)
    grid = itertools.product(np.linspace(0.2, 2.0, 7), np.linspace(0.15, 0.7, 6))
    start = min((Schedule(np.array([g]), np.array([b])) for g, b in grid), key=lambda one: mean(one).value)
    found: list[Schedule] = []
    while len(found) < layers:
        found.append(descended(mean, start, unit=1.0, max_iterations=200).schedule)
        start = interpolated(found[-1])
    return found


def bent(spaces: Sequence[StateSpace], objective: Literal["chance", "energy"], start: Schedule) -> Schedule:
    """Return the schedule that training makes of a ramp: betas fall fast at first, gammas rise fast at first."""
    return descended(_mean_of(spaces, objective), start, unit=1.0, max_iterations=100).schedule


def mean_energy(spaces: Sequence[StateSpace], schedule: Schedule) -> Slope:
    """Return the mean expected energy and its derivatives."""
    return _mean([space.slope(schedule.gammas, schedule.betas) for space in spaces])


def mean_log_chance(spaces: Sequence[StateSpace], schedule: Schedule) -> Slope:
    """Return the mean of ``-log P(optimum)`` and its derivatives."""
    slopes = []
    for space in spaces:
        chance = space.slope(schedule.gammas, schedule.betas, optima(space))
        safe = max(chance.value, np.finfo(np.float64).tiny)
        slopes.append(Slope(-float(np.log(safe)), -chance.gammas / safe, -chance.betas / safe))
    return _mean(slopes)


def best_ramp(
    spaces: Sequence[StateSpace], layers: int, cost_angles: Sequence[float], mixer_angles: Sequence[float]
) -> tuple[float, float]:
    """Return the end angles of the grid whose mean log P(optimum) is highest."""

    def mean_log(ends: tuple[float, float]) -> float:
        schedule = ramp(layers, *ends)
        chances = [space.probabilities(schedule.gammas, schedule.betas) @ optima(space) for space in spaces]
        return float(np.log(np.maximum(chances, np.finfo(np.float64).tiny)).mean())

    return max(itertools.product(cost_angles, mixer_angles), key=mean_log)


def judged(spaces: Sequence[StateSpace], schedule: Schedule) -> dict[str, float]:
    """Return the median probability of the optimum and the median approximation ratio."""
    chances, ratios = [], []
    for space in spaces:
        probabilities = space.probabilities(schedule.gammas, schedule.betas)
        mean = space.costs.mean()
        chances.append(probabilities @ optima(space))
        ratios.append((mean - probabilities @ space.costs) / (mean - space.costs.min()))
    medians = {"optimum_probability": np.median(chances), "approximation_ratio": np.median(ratios)}
    return {name: round(float(value), DECIMALS) for name, value in medians.items()}


def optima(space: StateSpace) -> Floats:
    """Return 1 at every string of lowest energy and 0 elsewhere, ``(size,)``; energies are standardised."""
    return np.asarray(space.costs <= space.costs.min() + 1e-9, dtype=np.float64)


def _standardised(ising: Ising) -> StateSpace:
    _, deviation = moments(ising)
    model = Ising(ising.h / deviation, ising.J / deviation, groups=ising.groups)
    return cast("StateSpace", Subspace(model) if model.groups else FullSpace(model))


def _of_moves(d: Floats, W: Floats) -> Ising:
    return Ising(-d / 2 - (W + W.T).sum(axis=1) / 4, W / 4)


def _mean_of(spaces: Sequence[StateSpace], objective: Literal["chance", "energy"]) -> Callable[[Schedule], Slope]:
    return partial(mean_energy if objective == "energy" else mean_log_chance, spaces)


def _mean(slopes: Sequence[Slope]) -> Slope:
    return Slope(
        float(np.mean([slope.value for slope in slopes])),
        np.mean([slope.gammas for slope in slopes], axis=0),
        np.mean([slope.betas for slope in slopes], axis=0),
    )


def _rounded(schedule: Schedule) -> Schedule:
    return Schedule(np.round(schedule.gammas, DECIMALS), np.round(schedule.betas, DECIMALS))


def write(path: Path, plans: Sequence[Plan], seed: int) -> None:
    """Write what the plans give, as :func:`~qiskit_solvers.angles.fixed.read` reads it."""
    shipped = {plan.family: derived(plan, seed) for plan in plans}
    path.write_text(json.dumps(shipped, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Train, judge and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--objective", choices=("chance", "energy"), default="chance")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    write(options.out, [replace(plan, objective=options.objective) for plan in PLANS], options.seed)


if __name__ == "__main__":
    main()
