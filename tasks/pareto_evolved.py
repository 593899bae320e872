"""Which choices does hardly any other beat, where there are too many to list? NSGA-II, by pymoo.

Choices are told by keys between 0 and 1, which the caller decodes: the largest few keys are a subset (random keys; Bean
1994, doi 10.1287/ijoc.6.2.154), a key times the number of levels is a level. Nothing is proved.
"""

from collections.abc import Callable

import numpy as np

from tasks.pareto import Floats, Frontier, Indices, non_dominated

Evaluate = Callable[[Floats], Floats]
"""Objectives of some choices, lower is better: ``(choices, keys) -> (choices, objectives)``."""

LARGEST_SEED = 2**31


def evolved(
    evaluate: Evaluate, keys: int, rng: np.random.Generator, *, population: int = 100, generations: int = 200
) -> Frontier:
    """Return what nothing dominates among all choices that NSGA-II looked at.

    Deb, Pratap, Agarwal and Meyarivan 2002, doi 10.1109/4235.996017. ``population * generations`` choices are
    evaluated; all of them count, not only the last population.

    Args:
        evaluate: gives the objectives of choices.
        keys: of a choice.
        rng: all chance.
        population: choices in a generation.
        generations: how many.

    Raises:
        ValueError: a count is below 1.
    """
    if min(keys, population, generations) < 1:
        raise ValueError(f"expected counts of at least 1, got {keys} keys, {population} in {generations} generations")
    # over a second, which only those who need it should wait
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.evaluator import Evaluator
    from pymoo.core.problem import Problem
    from pymoo.core.termination import NoTermination
    from pymoo.problems.static import StaticProblem

    start = rng.random((population, keys))
    values = np.asarray(evaluate(start), np.float64)
    problem = Problem(n_var=keys, n_obj=values.shape[1], xl=0.0, xu=1.0)
    algorithm = NSGA2(pop_size=population, sampling=start)
    algorithm.setup(problem, termination=NoTermination(), seed=int(rng.integers(LARGEST_SEED)), verbose=False)
    best, chosen = np.zeros((0, values.shape[1])), np.zeros((0, keys))
    for _ in range(generations):
        asked = algorithm.ask()
        tried = np.asarray(asked.get("X"), np.float64)
        values = np.asarray(evaluate(tried), np.float64)
        Evaluator().eval(StaticProblem(problem, F=values), asked)
        algorithm.tell(infills=asked)
        best, chosen = np.concatenate([best, values]), np.concatenate([chosen, tried])
        kept = non_dominated(best)
        best, chosen = best[kept], chosen[kept]
    method = f"NSGA-II, {population} choices in {generations} generations"
    return Frontier(best, chosen, method, exact=False)


def subsets_of(keys: Floats, size: int) -> Indices:
    """Return the members with the largest keys, ``(choices, members) -> (choices, size)``, rising."""
    return np.sort(np.argpartition(-keys, size - 1, axis=1)[:, :size], axis=1).astype(np.int64)


def levels_of(keys: Floats, counts: Indices) -> Indices:
    """Return the level that each key stands for, ``(choices, dimensions) -> (choices, dimensions)``."""
    return np.minimum((keys * counts).astype(np.int64), counts - 1)
