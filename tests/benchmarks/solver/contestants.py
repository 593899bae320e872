"""Who competes in the quality table? One entry each: a model in, an outcome out.

Times are processor time of this process. On a simulator the state is computed once, whatever the number of
samples; whoever holds it also holds every energy and could read off the optimum, so times of a simulated QAOA say
what its samples cost, not that they are the way to the optimum.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from qiskit_solvers import Anneal, Qaoa, Solver, one_hot
from qiskit_solvers.angles.fixed import fixed
from qiskit_solvers.goemans_williamson import GoemansWilliamson
from qiskit_solvers.ising import Ising
from qiskit_solvers.path_integral import PathIntegral
from qiskit_solvers.rqaoa import Rqaoa
from qiskit_solvers.simulation.sampling import drawn
from qiskit_solvers.simulation.spaces import circuit_cost, space_of
from qiskit_solvers.solver import Spins
from tests.benchmarks.solver.judged import Judged, Outcome
from tests.benchmarks.solver.schedules import family_of
from tests.benchmarks.solver.stock import cp_sat, stock_qaoa
from tests.benchmarks.solver.warm_start import descended, warm_probabilities

Contest = Callable[[Judged, np.random.Generator], Outcome]

_DRAWS = 1000
_READS = 60
_EPSILON = 0.25
_PENALTY = 0.25
"""Share of the penalty that is proved to be enough. What breaks a group all the same is repaired; of the shares 1,
0.5 and 0.25 this one showed annealing the optimum most often."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A solver of the quality table.

    Args:
        contest: does it.
        most: on how many models of a family, where it is slow; 0: on all.
    """

    contest: Contest
    most: int = 0


def contestants(*, slow: bool) -> Mapping[str, Contestant]:
    """Return who competes, by name.

    Args:
        slow: also those that take seconds for a model.
    """
    found = {"exact": Contestant(_exact), "uniform": Contestant(_uniform)}
    found |= {f"QAOA fixed p={p}": Contestant(_qaoa(p)) for p in (1, 3, 5)}
    found |= {f"QAOA ramp p={p}": Contestant(_qaoa(p)) for p in (20, 30, 100)}
    found["warm start p=3"] = Contestant(_warm_start)
    found["COBYLA, random angles, p=3"] = Contestant(_random_angles, most=10 if slow else 2)
    found["SA, 100 sweeps"] = Contestant(_reads(lambda reads: Anneal(reads=reads)))
    found["path integral"] = Contestant(_reads(lambda reads: PathIntegral(reads=reads)))
    found["RQAOA p=1"] = Contestant(_called(Rqaoa()))
    found["Goemans-Williamson"] = Contestant(_called(GoemansWilliamson()))
    if slow:
        found["stock QAOA on Aer"] = Contestant(_stock, most=1)
        found["CP-SAT, proof"] = Contestant(_cp_sat, most=8)
    return found


def _exact(model: Judged, rng: np.random.Generator) -> Outcome:
    began = time.process_time()
    lowest = space_of(model.ising).costs.min()
    return Outcome(float(lowest <= model.lowest), 1.0, 0.0, 1e3 * (time.process_time() - began))


def _uniform(model: Judged, rng: np.random.Generator) -> Outcome:
    began = time.process_time()
    model.space.strings(rng.integers(0, model.space.size, _DRAWS))
    ms = 1e3 * (time.process_time() - began) / _DRAWS
    return Outcome(float(model.best.mean()), 0.0, 0.0, ms)


def _qaoa(layers: int) -> Contest:
    solver = Qaoa(layers=layers, on="simulator")

    def contest(model: Judged, rng: np.random.Generator) -> Outcome:
        began = time.process_time()
        cost = circuit_cost(model.ising)
        probabilities = solver.probabilities(solver.space(cost), solver.schedule(cost))
        return _from_state(model, probabilities, began, rng)

    return contest


def _warm_start(model: Judged, rng: np.random.Generator) -> Outcome:
    began = time.process_time()
    start = descended(model.ising, model.space.strings(rng.integers(0, model.space.size, 1))[0])
    cost = circuit_cost(model.ising)
    angles = fixed(3, family_of(cost))
    probabilities = warm_probabilities(cost, space_of(cost).costs, start, angles, _EPSILON)
    return _from_state(model, probabilities, began, rng)


def _random_angles(model: Judged, rng: np.random.Generator) -> Outcome:
    """Do what the stock QAOA does by default, with the exact expectation from our simulator in place of its shots."""
    began = time.process_time()
    space = space_of(model.ising)
    half = 3

    def energy(angles: np.ndarray) -> float:
        return space.energy(angles[:half], angles[half:])

    start = rng.uniform(-2.0 * np.pi, 2.0 * np.pi, 2 * half)
    found = minimize(energy, start, method="COBYLA", options={"maxiter": 200}).x
    return _from_state(model, space.probabilities(found[:half], found[half:]), began, rng)


def _stock(model: Judged, rng: np.random.Generator) -> Outcome:
    answer = stock_qaoa(_free(model.ising), evaluations=100, seed=int(rng.integers(2**31)))
    success, ratio = model.of_samples(answer.samples)
    return Outcome(success, ratio, answer.once_ms, answer.sample_ms)


def _cp_sat(model: Judged, rng: np.random.Generator) -> Outcome:
    began = time.process_time()
    string = cp_sat(model.ising, seed=int(rng.integers(2**31)))
    success, ratio = model.of_samples(string[None])
    return Outcome(success, ratio, 0.0, 1e3 * (time.process_time() - began))


def _reads(solver: Callable[[int], Solver]) -> Contest:
    """Judge single reads one by one, and time them in one call, as they would be used."""
    one, many = solver(1), solver(_READS)

    def contest(model: Judged, rng: np.random.Generator) -> Outcome:
        free = _free(model.ising)
        samples = np.concatenate([one(free, rng)[:1] for _ in range(_READS)])
        began = time.process_time()
        many(free, rng)
        ms = 1e3 * (time.process_time() - began) / _READS
        return Outcome(*model.of_samples(_repaired(model.ising, samples)), 0.0, ms)

    return contest


def _called(solver: Solver) -> Contest:
    """Judge the best string of one call, which is one sample."""

    def contest(model: Judged, rng: np.random.Generator) -> Outcome:
        began = time.process_time()
        best = solver(_free(model.ising), rng)[:1]
        ms = 1e3 * (time.process_time() - began)
        return Outcome(*model.of_samples(_repaired(model.ising, best)), 0.0, ms)

    return contest


def _from_state(model: Judged, probabilities: np.ndarray, began: float, rng: np.random.Generator) -> Outcome:
    once = time.process_time()
    model.space.strings(drawn(probabilities, _DRAWS, rng))
    ms = 1e3 * (time.process_time() - once) / _DRAWS
    return Outcome(*model.of_probabilities(probabilities), 1e3 * (once - began), ms)


def _free(ising: Ising) -> Ising:
    """Return the model for a solver without groups."""
    if not ising.groups:
        return ising
    return one_hot.penalised(ising, _PENALTY * float(one_hot.safe_weights(ising).max()))


def _repaired(ising: Ising, strings: Spins) -> Spins:
    return one_hot.repaired(ising, strings) if ising.groups else strings
