"""A problem made for windows: 64 experts on 8 GPUs, 8 on each, whose moves are swaps.

The cost is the traffic between GPUs plus the squared loads, weighted. Swaps that share no expert are independent
choices, so a window of them is a dense quadratic model without a penalty, exact for every string, and each of its
strings is feasible (the idea of Q-Match, Benkner et al. 2021, arXiv:2105.02878).
"""

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from tasks.problems.protocol import Found, Window
from tests.benchmarks.solver.families import from_qubo
from tests.benchmarks.solver.intervals import Floats

Integers = npt.NDArray[np.int64]

EXPERTS, GPUS = 64, 8
_LOAD_WEIGHT = 0.5
_TEMPERATURE = 0.3
"""Of the chance with which swaps are offered, in standard deviations of their gains."""


@numba.njit(cache=True)
def _annealed(
    traffic: Floats,
    load: Floats,
    weight: float,
    start: Integers,
    evaluations: int,
    hot: float,
    cold: float,
    rng: np.random.Generator,
) -> tuple[Integers, int]:
    """Return the best map that annealing over swaps meets, and how often the best one improved."""
    experts, gpus = start.size, start.max() + 1
    at = start.copy()
    near, filled = np.zeros((experts, gpus)), np.zeros(gpus)
    for i in range(experts):
        filled[at[i]] += load[i]
        for j in range(experts):
            near[i, at[j]] += traffic[i, j]
    best, here, lowest, improved = at.copy(), 0.0, 0.0, 0
    for step in range(evaluations):
        heat = hot * (cold / hot) ** (step / evaluations)
        i, j = int(rng.random() * experts), int(rng.random() * experts)
        a, b = at[i], at[j]
        if a == b:
            continue
        pull = near[i, b] - near[i, a] - near[j, b] + near[j, a] - 2.0 * traffic[i, j]
        shift = load[i] - load[j]
        delta = 2.0 * weight * shift * (filled[b] - filled[a] + shift) - pull
        if delta <= 0.0 or rng.random() < np.exp(-delta / heat):
            here += delta
            at[i], at[j] = b, a
            filled[a] -= shift
            filled[b] += shift
            for k in range(experts):
                near[k, a] += traffic[k, j] - traffic[k, i]
                near[k, b] += traffic[k, i] - traffic[k, j]
            if here < lowest - 1e-9:
                best[:], lowest = at, here
                improved += 1
    return best, improved


@dataclass(frozen=True, slots=True, eq=False)
class Swaps:
    """The problem; it has what the refine loop needs of a problem, and no actions.

    Args:
        traffic: between experts, symmetric, ``(64, 64)``.
        load: of each expert, ``(64,)``.
        name: in reports.
    """

    traffic: Floats
    load: Floats
    name: str = "64 experts on 8 GPUs"

    def incumbent(self) -> Integers:
        """Return the map in order of the experts."""
        return np.repeat(np.arange(GPUS), EXPERTS // GPUS)

    def cost(self, decision: Integers) -> float:
        """Return the traffic between GPUs plus the weighted squared loads."""
        apart = decision[:, None] != decision
        filled = np.bincount(decision, self.load, GPUS)
        return float(self.traffic[apart].sum() / 2.0 + _LOAD_WEIGHT * (filled @ filled))

    def search(self, decision: Integers, evaluations: int, rng: np.random.Generator) -> Found[Integers]:
        """Anneal over swaps, and return the best map met."""
        hot = 0.3 * float(self._gains(decision).std())
        best, improved = _annealed(self.traffic, self.load, _LOAD_WEIGHT, decision, evaluations, hot, 0.1 * hot, rng)
        return Found(best, evaluations, improved)

    def descended(self, decision: Integers) -> Integers:
        """Return the local optimum that the steepest swaps reach."""
        here = decision
        while True:
            gains = self._gains(here)
            i, j = np.unravel_index(int(gains.argmin()), gains.shape)
            if gains[i, j] >= -1e-9:
                return here
            here = _swapped(here, [(int(i), int(j))])

    def window(self, decision: Integers, size: int, rng: np.random.Generator) -> Window[Integers]:
        """Return ``size`` swaps that share no expert, drawn with a preference for those that cost least."""
        gains = self._gains(decision)
        noise = rng.gumbel(0.0, _TEMPERATURE * float(gains.std()), gains.shape)
        rows, columns = np.triu_indices(EXPERTS, 1)
        taken = np.zeros(EXPERTS, np.bool_)
        pairs: list[tuple[int, int]] = []
        for at in np.argsort((gains + noise)[rows, columns], kind="stable"):
            i, j = int(rows[at]), int(columns[at])
            if not (taken[i] or taken[j] or decision[i] == decision[j]):
                taken[[i, j]] = True
                pairs.append((i, j))
                if len(pairs) == size:
                    break
        left, right = np.array(pairs).T
        seats = np.eye(GPUS)
        step = seats[decision[right]] - seats[decision[left]]
        shift = self.load[left] - self.load[right]
        t = self.traffic
        joint = t[np.ix_(left, left)] - t[np.ix_(left, right)] - t[np.ix_(right, left)] + t[np.ix_(right, right)]
        W = np.triu((2.0 * _LOAD_WEIGHT * np.outer(shift, shift) - joint) * (step @ step.T), 1)
        model = from_qubo(gains[left, right], W, ())
        model = type(model)(model.h, model.J, model.offset + self.cost(decision))

        def sew(string: npt.NDArray[np.int8]) -> Integers:
            return _swapped(decision, [pair for pair, spin in zip(pairs, string.tolist(), strict=True) if spin < 0])

        return Window(model, sew)

    def _gains(self, decision: Integers) -> Floats:
        """Return what each swap adds to the cost, ``(64, 64)``; zero within a GPU."""
        near = self.traffic @ np.eye(GPUS)[decision]
        filled = np.bincount(decision, self.load, GPUS)
        own = near[np.arange(EXPERTS), decision]
        moved = near[:, decision] - own[:, None]  # of expert i to the GPU of expert j
        pull = moved + moved.T - 2.0 * self.traffic
        shift = self.load[:, None] - self.load
        delta = 2.0 * _LOAD_WEIGHT * shift * (filled[decision][None, :] - filled[decision][:, None] + shift) - pull
        return np.where(decision[:, None] == decision, 0.0, delta)


def swaps(seed: int) -> Swaps:
    """Return a seeded instance: lognormal traffic between a third of the pairs, gamma-distributed loads."""
    rng = np.random.default_rng(np.random.SeedSequence([17, seed]))
    traffic = np.triu(rng.lognormal(0.0, 1.0, (EXPERTS, EXPERTS)) * (rng.random((EXPERTS, EXPERTS)) < 0.33), 1)
    return Swaps(traffic + traffic.T, rng.gamma(4.0, 0.25, EXPERTS))


def _swapped(decision: Integers, pairs: list[tuple[int, int]]) -> Integers:
    after = decision.copy()
    for i, j in pairs:
        after[[i, j]] = after[[j, i]]
    return after
