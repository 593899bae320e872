"""Where does QAOA lose most? Coefficients are changed at random, and a change stays if it widens the gap to SA.

The loss of a model is log10 of P(opt) of one annealing read over P(opt) of one QAOA sample: 100 sweeps against a
ramp of 20 layers. It is counted, not timed, so that the same seed finds the same model. Each family starts from
its own models; what is changed is a few coefficients at a time, by a factor or in sign.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from qiskit_solvers.angles.ramp import tuned_ramp
from qiskit_solvers.conflicts import ease_conflicts
from qiskit_solvers.convert import to_bqm
from qiskit_solvers.ising import Ising, strings_of
from qiskit_solvers.simulation.full import FullSpace
from tests.benchmarks.solver.families import dense_qubo, move_window, regular_maxcut, sherrington_kirkpatrick
from tests.benchmarks.solver.intervals import Floats
from tests.benchmarks.solver.printing import brief, show
from tests.benchmarks.solver.schedules import TIE, on, optimal

SPINS, LAYERS, SWEEPS, READS = 10, 20, 100, 200

_FAMILIES: Mapping[str, Callable[[np.random.Generator], Ising]] = {
    "3-regular MaxCut": lambda rng: regular_maxcut(SPINS, rng, weighted=True),
    "SK": lambda rng: sherrington_kirkpatrick(SPINS, rng),
    "dense QUBO": lambda rng: dense_qubo(SPINS, rng),
    "move windows": lambda rng: move_window(SPINS, rng),
}


@dataclass(frozen=True, slots=True)
class Found:
    """The worst model of a family, and what it is like.

    Args:
        family: its name.
        start: median loss of the models that the search starts from.
        loss: log10 of P(SA) / P(QAOA) at the worst one.
        qaoa: P(opt) of a QAOA sample.
        anneal: P(opt) of an annealing read.
        gap: from the optimum to the next energy, in standard deviations of the energy.
        optima: strings with the lowest energy.
        minima: strings that no single flip improves.
        spread: largest coefficient over the median one.
        tail: standard deviations from the mean energy down to the optimum.
        h: fields of the model.
        pairs: its couplings as ``(row, column, value)``.
    """

    family: str
    start: float
    loss: float
    qaoa: float
    anneal: float
    gap: float
    optima: int
    minima: int
    spread: float
    tail: float
    h: tuple[float, ...]
    pairs: tuple[tuple[int, int, float], ...]


def hard_models(*, starts: int, steps: int) -> list[Found]:
    """Search each family and print what was found.

    Args:
        starts: models drawn per family; the worst one is climbed from.
        steps: changes that are tried.
    """
    found = []
    for number, (family, draw) in enumerate(_FAMILIES.items()):
        rng = np.random.default_rng(np.random.SeedSequence([13, number]))
        drawn = [draw(rng) for _ in range(starts)]
        losses = [loss(ising)[0] for ising in drawn]
        worst, most = drawn[int(np.argmax(losses))], max(losses)
        for _ in range(steps):
            changed = _changed(worst, rng)
            reached = loss(changed)[0]
            if reached >= most:
                worst, most = changed, reached
        found.append(_described(family, float(np.median(losses)), worst))
    show(
        f"where QAOA (ramp p={LAYERS}) loses most to SA ({SWEEPS} sweeps a read), {SPINS} spins, "
        f"{starts} models and {steps} changes per family",
        ("", "loss at start", "worst loss", "P(QAOA)", "P(SA)", "gap/std", "optima", "minima", "spread", "optimum/std"),
        [_printed(each) for each in found],
    )
    print("loss: log10 of P(SA) / P(QAOA); spread: largest coefficient / median; optimum: below the mean energy")
    return found


def loss(ising: Ising) -> tuple[float, float, float]:
    """Return log10 of P(SA) / P(QAOA), P(QAOA) and P(SA); a P(SA) never seen counts as half a read."""
    from dwave.samplers import SimulatedAnnealingSampler

    space = FullSpace(ease_conflicts(ising))
    costs = FullSpace(ising).costs
    best = optimal(costs)
    angles = on(space, tuned_ramp(LAYERS, "transverse"))
    quantum = float(space.probabilities(angles.gammas, angles.betas) @ best)
    samples = SimulatedAnnealingSampler().sample(to_bqm(ising), num_reads=READS, num_sweeps=SWEEPS, seed=1)
    order = np.argsort(np.asarray(samples.variables))
    bits = samples.record.sample[:, order] < 0
    hits = best[(bits << np.arange(ising.spins)).sum(axis=1)].sum()
    classical = max(float(hits), 0.5) / READS
    return math.log10(classical / max(quantum, 1e-300)), quantum, classical


def _changed(ising: Ising, rng: np.random.Generator) -> Ising:
    """Return the model with a few of its coefficients scaled, one in ten of them turned in sign."""

    def changed(values: Floats) -> Floats:
        touched = (values != 0.0) & (rng.random(values.shape) < 0.15)
        factors = np.exp(rng.normal(0.0, 0.7, values.shape)) * np.where(rng.random(values.shape) < 0.1, -1.0, 1.0)
        return np.where(touched, values * factors, values)

    return Ising(changed(ising.h), changed(ising.couplings), ising.offset)


def _described(family: str, start: float, ising: Ising) -> Found:
    amount, quantum, classical = loss(ising)
    costs = FullSpace(ising).costs
    deviation = float(costs.std())
    levels = np.sort(costs)
    above = levels[levels > levels[0] + TIE * deviation]
    flips = np.stack([costs[np.arange(costs.size) ^ (1 << i)] for i in range(ising.spins)])
    sizes = np.abs(np.concatenate([ising.h, ising.pairs.values]))
    sizes = sizes[sizes > 0.0]
    pairs = ising.pairs
    return Found(
        family=family,
        start=start,
        loss=amount,
        qaoa=quantum,
        anneal=classical,
        gap=float(above[0] - levels[0]) / deviation if above.size else 0.0,
        optima=int(optimal(costs).sum()),
        minima=int((flips >= costs).all(axis=0).sum()),
        spread=float(sizes.max() / np.median(sizes)),
        tail=float(costs.mean() - levels[0]) / deviation,
        h=tuple(ising.h.tolist()),
        pairs=tuple(zip(pairs.rows.tolist(), pairs.columns.tolist(), pairs.values.tolist(), strict=True)),
    )


def best_string(found: Found) -> str:
    """Return one optimum of a found model, ``-`` for the spins that are -1."""
    J = np.zeros((len(found.h), len(found.h)))
    for i, j, value in found.pairs:
        J[i, j] = value
    costs = FullSpace(Ising(np.array(found.h), J)).costs
    return "".join("+" if spin > 0 else "-" for spin in strings_of(np.array([costs.argmin()]), len(found.h))[0])


def _printed(found: Found) -> tuple[str, ...]:
    figures = (found.start, found.loss, found.qaoa, found.anneal, found.gap)
    tail = (str(found.optima), str(found.minima), brief(found.spread), brief(found.tail))
    return (found.family, *(brief(each) for each in figures), *tail)
