"""How are levels annealed? Changes of one dimension and exchanges between two, all within the budget."""

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

PAIRS = 0.7
"""Share of changes that take two dimensions: where the budget is spent, one can only gain what another gives up."""

AGAIN = 4096
"""Changes after which what is spent is summed again, so that rounding does not pile up."""


@njit(cache=True, nogil=True)  # heartbeats and logs leave while it runs
def anneal(
    start: Integers,
    loss: Floats,
    spend: Floats,
    counts: Integers,
    budget: float,
    evaluations: int,
    hot: float,
    cold: float,
    rng: np.random.Generator,
) -> tuple[Integers, int]:
    """Anneal from ``start`` (Kirkpatrick et al. 1983, doi 10.1126/science.220.4598.671).

    Args:
        start: level of each dimension, within the budget, ``(dimensions,)``.
        loss: ``(dimensions, levels)``.
        spend: ``(dimensions, levels)``.
        counts: levels of each dimension, ``(dimensions,)``.
        budget: what all may spend.
        evaluations: changes that are priced.
        hot: first temperature, in units of loss.
        cold: last temperature.
        rng: all chance.

    Returns:
        The best choice seen, and how often it was improved.
    """
    dimensions = counts.size
    current, best = start.copy(), start.copy()
    spent, change, lowest, improved = 0.0, 0.0, 0.0, 0
    cooling = (cold / hot) ** (1.0 / max(1, evaluations))
    temperature = hot
    for number in range(evaluations):
        if number % AGAIN == 0:
            spent = 0.0
            for dimension in range(dimensions):
                spent += spend[dimension, current[dimension]]
        temperature *= cooling
        one = int(rng.random() * dimensions)
        first = int(rng.random() * counts[one])
        other, second = one, first
        worse = loss[one, first] - loss[one, current[one]]
        more = spend[one, first] - spend[one, current[one]]
        if dimensions > 1 and rng.random() < PAIRS:
            other = int(rng.random() * (dimensions - 1))
            other += other >= one
            second = int(rng.random() * counts[other])
            worse += loss[other, second] - loss[other, current[other]]
            more += spend[other, second] - spend[other, current[other]]
        if spent + more > budget or (worse > 0.0 and rng.random() >= np.exp(-worse / temperature)):
            continue
        current[one] = first
        current[other] = second
        spent += more
        change += worse
        if change < lowest - 1e-12:
            lowest = change
            improved += 1
            best[:] = current
    return best, improved
