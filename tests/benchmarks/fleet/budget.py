"""What do annealing, QAOA and chance find of a budget's best levels, and what do the exact methods take for it?

Ten dimensions of four levels, 20 qubits. Every method that samples gets as many choices: moves of annealing, strings
of annealing on the 20 spins, shots of QAOA on the same 20 spins, random choices. Strings are brought within the budget
the same way for both. The exact methods need milliseconds here, so nothing else is needed: no advantage is claimed for
QAOA, whose state is simulated by arithmetic that could have looked at every choice. Then sizes, scales that are not
levels, laws that are uncertain, and Pareto frontiers beside their exact ones.

Run: ``python -m tests.benchmarks.fleet.budget [--instances 24] [--output runs/bench-fleet]``.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from qiskit_solvers.anneal import Anneal
from qiskit_solvers.ising import diagonal, energies
from qiskit_solvers.qaoa import Qaoa
from qiskit_solvers.simulation.spaces import circuit_cost
from qiskit_solvers.solver import Solver
from tasks.problems.budget import Allotted, Budget
from tasks.problems.budget_ising import CURVATURE, brought_within, coded
from tasks.refine import Effort, refine
from tasks.yardsticks.budget import at_random, at_the_price, dynamic_programme, exact, greedy, programme
from tests.benchmarks.checkpoint.bits import record
from tests.benchmarks.columns import interval
from tests.benchmarks.fleet.budget_fitted import fitted_table
from tests.benchmarks.fleet.budget_instances import FAMILIES, instances
from tests.benchmarks.fleet.budget_tables import scale_table, size_table, uncertain_table
from tests.benchmarks.fleet.frontiers import frontier_table

EVALUATIONS = 512
WINDOWS = Effort(evaluations=0, rounds=4, patience=4)
"""Four windows of 14 moves price about 105 choices each to be made, and 16 of the answer."""

TUNED_ON, SEED = 7_000, 61
"""Seeds of the instances that the curvature was chosen on, and of those that are told."""

SWEEPS, COLDER = 100, 0.3
"""Of annealing on the 20 spins: sweeps and curvature, by ``--tune``; QAOA takes the model's own curvature."""

TEMPERATURE = 0.05
"""Of drawing at the price, by ``--tune``."""

EXACT, ANNEALED, QAOA = "exact: what nothing dominates", "annealing, the 20 spins", "QAOA, the 20 spins"
PRICED = "at the price, brought within"
FOUND = 1e-9
"""Loss above the optimum's up to which the optimum counts as found."""

Method = Callable[[Budget, np.random.Generator], Allotted]


def main(argv: list[str] | None = None) -> None:
    """Print the tables, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=24, help="of each family")
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS, help="choices that each method may look at")
    parser.add_argument("--tune", action="store_true", help="only compare settings, on instances of their own")
    parser.add_argument("--output", type=Path, default=Path("runs/bench-fleet"))
    options = parser.parse_args(argv)
    if options.tune:
        print(tuning_table(options.instances, options.evaluations))
        return
    told: dict[str, object] = {"instances": options.instances, "evaluations": options.evaluations, "seed": SEED}
    for family in FAMILIES:
        problems = instances(family, options.instances, SEED)
        gaps, seconds = gaps_of(problems, options.evaluations)
        circuits = [circuit_of(problem) for problem in problems]
        print(method_table(family, gaps, seconds, options.evaluations), flush=True)
        print(circuit_line(circuits), flush=True)
        told[family] = {"given_up_percent": gaps, "seconds": seconds, "circuits": circuits}
    for table in (size_table, scale_table, uncertain_table, fitted_table, frontier_table):
        text, figures = table(SEED)
        print(text, flush=True)
        told[table.__name__] = figures
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "budget.json").write_text(json.dumps(told, indent=1) + "\n")


def methods_of(evaluations: int) -> dict[str, Method]:
    """Return the methods, by name; those from annealing on look at as many choices each."""
    return {
        EXACT: lambda problem, _: exact(problem),
        "dynamic programme, 6000 cells": lambda problem, _: dynamic_programme(problem).decision,
        "HiGHS": lambda problem, _: programme(problem, 20.0),
        "greedy on the hulls": lambda problem, _: greedy(problem),
        "annealing, moves": lambda problem, rng: problem.annealed(problem.incumbent(), evaluations, rng)[0],
        ANNEALED: lambda problem, rng: sampled(problem, annealing(evaluations), rng, COLDER),
        QAOA: lambda problem, rng: sampled(problem, qaoa(evaluations), rng, CURVATURE),
        PRICED: lambda problem, rng: _priced(evaluations, TEMPERATURE, problem, rng),
        "random, brought within": lambda problem, rng: chance(problem, evaluations, rng),
        f"search as it is used, {Effort().evaluations} moves": lambda problem, rng: searched(problem, rng),
        "random": lambda problem, rng: at_random(problem, evaluations, rng),
        "greedy, then annealing on windows": lambda problem, rng: windows(problem, Anneal(), rng),
        "greedy, then QAOA on windows": lambda problem, rng: windows(problem, Qaoa(on="simulator"), rng),
    }


def qaoa(shots: int) -> Qaoa:
    """Return QAOA on the simulator, whose state is the circuit's on Aer to rounding and comes 50 times as fast."""
    return Qaoa(on="simulator", shots=shots, strings=shots)


def annealing(reads: int, sweeps: int = SWEEPS) -> Anneal:
    """Return annealing on the same spins, with as many reads as QAOA has shots."""
    return Anneal(sweeps=sweeps, reads=reads, strings=reads)


def sampled(problem: Budget, solver: Solver, rng: np.random.Generator, curvature: float) -> Allotted:
    """Return the best of a solver's strings of the whole choice, brought within the budget."""
    model = coded(problem, curvature)
    return best_within(problem, [model.decode(string) for string in solver(model.ising, rng)])


def best_within(problem: Budget, choices: list[Allotted]) -> Allotted:
    """Return the best of some choices, each brought within the budget the same way."""
    return min((brought_within(problem, each) for each in choices), key=problem.cost)


def chance(problem: Budget, draws: int, rng: np.random.Generator) -> Allotted:
    """Return the best of random choices that are brought within the budget as strings are."""
    level_of = (rng.random((draws, problem.counts.size)) * problem.counts).astype(np.int64)
    return best_within(problem, [Allotted(one) for one in level_of])


def searched(problem: Budget, rng: np.random.Generator) -> Allotted:
    """Return what the noun's own search finds from the greedy choice in the loop's default effort."""
    return problem.search(problem.incumbent(), Effort().evaluations, rng).decision


def windows(problem: Budget, solver: Solver, rng: np.random.Generator) -> Allotted:
    """Return what the shared loop makes of the greedy choice by windows alone."""
    return refine(problem, solver, rng, effort=WINDOWS).decision


def gaps_of(problems: list[Budget], evaluations: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Return the percent of the best performance that each method gives up, by instance, and its median seconds."""
    gaps: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {}
    best = [problem.cost(exact(problem)) for problem in problems]
    for name, method in methods_of(evaluations).items():
        method(problems[0], np.random.default_rng(0))  # compiles what is compiled
        for number, problem in enumerate(problems):
            started = time.perf_counter()
            found = method(problem, np.random.default_rng([SEED, number]))
            seconds.setdefault(name, []).append(time.perf_counter() - started)
            if not problem.feasible(found):
                raise ValueError(f"{name}: over the budget on instance {number}")
            gap = problem.cost(found) - best[number]
            gaps.setdefault(name, []).append(0.0 if gap <= FOUND else -100.0 * float(np.expm1(-gap)))
    return gaps, {name: float(np.median(each)) for name, each in seconds.items()}


def circuit_of(problem: Budget) -> dict[str, float]:
    """Return where QAOA's expected energy lies between the worst string's, 0, and the best's, 1, and P(optimum)."""
    model, solver = coded(problem), qaoa(EVALUATIONS)
    cost = circuit_cost(model.ising)
    space = solver.space(cost)
    probabilities = space.probabilities(*(lambda s: (s.gammas, s.betas))(solver.schedule(cost)))
    energy = diagonal(model.ising)
    flat = float(energy.mean())
    low, high, mean = float(energy.min()), float(energy.max()), float(probabilities @ energy)
    best, optimum = exact(problem), 0.0
    strings = space.strings(np.argsort(-probabilities)[:4096])
    for string, chance in zip(strings, -np.sort(-probabilities)[:4096], strict=True):
        if problem.cost(brought_within(problem, model.decode(string))) <= problem.cost(best) + FOUND:
            optimum += float(chance)
    assert abs(float(energies(model.ising, strings[:1])[0]) - energy[int(np.argmax(probabilities))]) < 1e-6
    return {
        "expected": (high - mean) / (high - low),
        "random": (high - flat) / (high - low),
        "p_optimum_at_least": optimum,
    }


def method_table(family: str, gaps: dict[str, list[float]], seconds: dict[str, float], evaluations: int) -> str:
    """Return what each method gives up, how often it finds the optimum, and its seconds."""
    count = len(gaps[EXACT])
    lines = [
        f"\n{family}: {count} budgets over 10 dimensions x 4 levels; {evaluations} choices each from annealing on",
        f"{'method':36}{'performance given up, %':>30}{'optimum found':>15}{'seconds':>10}",
    ]
    for name, each in gaps.items():
        found = f"{sum(gap == 0.0 for gap in each)} of {count}"
        lines.append(f"{name:36}{interval(each)!s:>30}{found:>15}{seconds[name]:10.4f}")
    for other in (EXACT, ANNEALED, PRICED):
        better, tied, worse = record(gaps[QAOA], gaps[other])
        told = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
        lines.append(f"QAOA beside {other}: {better} better, {tied} tied, {worse} worse (sign test: p = {told:.3f})")
    lines.append(
        "No advantage is claimed: the exact answer takes less time, and it looks at no more than draws at the price do."
    )
    return "\n".join(lines)


def circuit_line(circuits: list[dict[str, float]]) -> str:
    """Return what the circuit itself reaches, before any string is chosen."""
    expected, flat, optimum = (
        interval([each[name] for each in circuits]) for name in ("expected", "random", "p_optimum_at_least")
    )
    return (
        f"QAOA's circuit, {qaoa(1).layers} layers, shipped angles: expected energy {expected} of the way from the "
        f"worst string to the best ({flat} for a random one); optimum after repair with probability {optimum} or more"
    )


def tuning_table(count: int, evaluations: int) -> str:
    """Return what samplers give up by their settings, on instances that nothing else uses."""
    settings: dict[str, Method] = {}
    for curvature in (0.0, 0.03, 0.1, 0.3, 1.0):
        settings[f"QAOA, curvature {curvature}"] = partial(_sampled, qaoa(evaluations), curvature)
        for sweeps in (10, 100):
            settings[f"annealing, {sweeps} sweeps, curvature {curvature}"] = partial(
                _sampled, annealing(evaluations, sweeps), curvature
            )
    for temperature in (0.02, 0.05, 0.1, 0.2, 0.5):
        settings[f"at the price, temperature {temperature}"] = partial(_priced, evaluations, temperature)
    problems = {family: instances(family, count, TUNED_ON) for family in FAMILIES}
    lines = [f"{'performance given up, %':42}" + "".join(f"{family:>30}" for family in FAMILIES)]
    for name, method in settings.items():
        cells = []
        for some in problems.values():
            lost = [
                problem.cost(method(problem, np.random.default_rng(number))) - problem.cost(exact(problem))
                for number, problem in enumerate(some)
            ]
            cells.append(interval(-100.0 * np.expm1(-np.array(lost))))
        lines.append(f"{name:42}" + "".join(f"{each!s:>30}" for each in cells))
    return "\n".join(lines)


def _sampled(solver: Solver, curvature: float, problem: Budget, rng: np.random.Generator) -> Allotted:
    return sampled(problem, solver, rng, curvature)


def _priced(draws: int, temperature: float, problem: Budget, rng: np.random.Generator) -> Allotted:
    return best_within(problem, at_the_price(problem, draws, temperature, rng))


if __name__ == "__main__":
    main()
