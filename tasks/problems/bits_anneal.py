"""How are steps annealed? Changes of one tensor and exchanges between two, with exact differences, within limits."""

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

SKEW = 2.0
"""Above 1: the better steps of a tensor are tried more often."""

AGAIN = 4096
"""Changes after which what is used is summed again, so that rounding does not pile up."""


@njit(cache=True, nogil=True)  # heartbeats and logs leave while it runs
def anneal(
    start: Integers,
    size_bytes: Floats,
    share: Floats,
    near: Integers,
    evaluations: int,
    hot: float,
    cold: float,
    rng: np.random.Generator,
) -> tuple[Integers, int]:
    """Anneal from ``start`` (Kirkpatrick et al. 1983, doi 10.1126/science.220.4598.671).

    Args:
        start: feasible step of each tensor, ``(tensors,)``.
        size_bytes: ``(tensors, steps)``.
        share: of what each measure may lose, ``(measures, tensors, steps)``; the sum of each stays at most 1.
        near: steps of each tensor that are worth a try, ``(tensors, tries)``.
        evaluations: changes that are priced.
        hot: first temperature, in bytes.
        cold: last temperature.
        rng: all chance.

    Returns:
        The smallest choice seen, and how often it was improved.
    """
    tensors, tries = near.shape
    measures = share.shape[0]
    current, best = start.copy(), start.copy()
    used = np.zeros(measures)
    change, lowest, improved = 0.0, 0.0, 0
    cooling = (cold / hot) ** (1.0 / max(1, evaluations))
    temperature = hot
    for number in range(evaluations):
        if number % AGAIN == 0:
            used[:] = 0.0
            for tensor in range(tensors):
                used += share[:, tensor, current[tensor]]
        temperature *= cooling
        one = int(rng.random() * tensors)
        first = near[one, int(rng.random() ** SKEW * tries)]
        other, second = one, first
        more = size_bytes[one, first] - size_bytes[one, current[one]]
        if tensors > 1 and rng.random() < 0.7:
            other = int(rng.random() * (tensors - 1))
            other += other >= one
            second = near[other, int(rng.random() ** SKEW * tries)]
            more += size_bytes[other, second] - size_bytes[other, current[other]]
        if not more < np.inf or (more > 0.0 and rng.random() >= np.exp(-more / temperature)):
            continue
        fits = True
        for measure in range(measures):
            after = used[measure] + share[measure, one, first] - share[measure, one, current[one]]
            if other != one:
                after += share[measure, other, second] - share[measure, other, current[other]]
            fits = fits and after <= 1.0
        if not fits:
            continue
        for measure in range(measures):
            used[measure] += share[measure, one, first] - share[measure, one, current[one]]
            if other != one:
                used[measure] += share[measure, other, second] - share[measure, other, current[other]]
        current[one] = first
        current[other] = second
        change += more
        if change < lowest - 1e-6:
            lowest = change
            improved += 1
            best[:] = current
    return best, improved
