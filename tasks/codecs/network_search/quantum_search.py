"""Can a quantum circuit propose better orders? A learnt Ising model of them, sampled, priced, and learnt again.

Which mode stands at which place is one-hot: a group of qubits for each place. The circuit begins in the superposition
of all choices, entangling layers follow the learnt couplings (QAOA, or a quantum anneal in slices), and what is
measured is priced exactly. The model is a quadratic function of the choices, fitted to all that was priced so far by
ridge regression, as Baptista and Poloczek 2018, arXiv:1806.08838, do for binary black boxes; Kitai et al. 2020,
doi 10.1103/PhysRevResearch.2.013319, sample such a model on an annealer. Proposals are drawn at a temperature that
falls from round to round. Any solver of Ising models serves, so a classical one stands beside it, round by round.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qiskit_solvers.ising import Ising
from qiskit_solvers.solver import Solver
from tasks.codecs.network_search.ledger import Ledger, Order, Spent
from tasks.codecs.network_search.searches import moved

Array = npt.NDArray[np.float64]

IDLE = 5
"""Rounds without a new order after which the search ends: nearly all are priced."""


@dataclass(frozen=True, slots=True)
class LearntIsing:
    """Rounds of learning, sampling and pricing.

    Args:
        solver: samples the model; strings best first.
        first: orders priced before anything is learnt: the start and random ones.
        batch: orders priced in each round.
        ridge: weight of the squared coefficients, in the variance of the prices.
        repeated: penalty for a mode that stands at two places, in standard deviations of the model.
        hot: first temperature, in standard deviations of the proposals' energies.
        cold: last temperature.
    """

    solver: Solver
    first: int = 16
    batch: int = 8
    ridge: float = 0.1
    repeated: float = 4.0
    hot: float = 1.0
    cold: float = 0.05

    @property
    def kind(self) -> str:
        """Name in reports: the model's and the solver's."""
        return f"learnt Ising, {self.solver.kind}"

    def __call__(self, ledger: Ledger, start: Order, rng: np.random.Generator) -> None:
        """Go on until nothing is left."""
        with suppress(Spent):
            ledger.price(start)
            for _ in range(min(self.first, ledger.evaluations) - 1):
                ledger.price(tuple(rng.permutation(start).tolist()))
            whole = max(1, ledger.left)
            idle = 0
            while ledger.left and idle < IDLE:
                before = ledger.left
                heat = self.hot * (self.cold / self.hot) ** (1.0 - ledger.left / whole)
                for order in self._proposed(ledger, len(start), heat, rng):
                    ledger.price(order)
                idle = idle + 1 if ledger.left == before else 0

    def _proposed(self, ledger: Ledger, modes: int, heat: float, rng: np.random.Generator) -> list[Order]:
        model = learnt(ledger.priced, modes, self.ridge, self.repeated)
        strings = self.solver(model, rng)
        orders = dict.fromkeys(repaired_order(string, modes) for string in strings)
        fresh = [order for order in orders if order not in ledger.priced]
        rank = np.arange(len(fresh)) / max(1.0, len(fresh) / 4.0)
        drawn = np.argsort(rank / heat - np.log(rng.exponential(size=len(fresh))), kind="stable")
        chosen = [fresh[place] for place in drawn[: self.batch].tolist()]
        for _ in range(self.batch - len(chosen)):  # the circuit proposes what is known already: look elsewhere
            near = moved(ledger.best, rng)
            chosen.append(near if near not in ledger.priced else tuple(rng.permutation(modes).tolist()))
        return chosen


def one_hot(orders: Sequence[Order], modes: int) -> Array:
    """Return which mode stands at which place, ``(orders, places * modes)``, 0 or 1."""
    bits = np.zeros((len(orders), modes, modes))
    for row, order in enumerate(orders):
        bits[row, np.arange(modes), list(order)] = 1.0
    return bits.reshape(len(orders), -1)


def learnt(priced: dict[Order, float], modes: int, ridge: float, repeated: float) -> Ising:
    """Return the Ising model that fits the logarithm of the prices, standardised.

    Args:
        priced: bits of each order; infinite ones count as the dearest finite one.
        modes: number of them.
        ridge: weight of the squared coefficients.
        repeated: energy of a mode that stands at two places.
    """
    orders = list(priced)
    bits = np.array([priced[order] for order in orders])
    finite = np.isfinite(bits)
    target = np.log(np.where(finite, bits, bits[finite].max() if finite.any() else 1.0))
    target = (target - target.mean()) / (target.std() or 1.0)
    x = one_hot(orders, modes)
    size = modes * modes
    rows, columns = np.triu_indices(size, 1)
    apart = rows // modes != columns // modes
    distinct = apart & (rows % modes != columns % modes)  # others never occur in an order
    one, other = rows[distinct], columns[distinct]
    # the kernel form of ridge regression: the linear part's, and that of all pairs, without writing them out
    linear = x @ x.T
    kernel = linear + 0.5 * (linear**2 - linear)
    dual = np.linalg.solve(kernel + ridge * modes * np.eye(len(orders)), target)
    a = x.T @ dual
    b = np.einsum("k,ki,kj->ij", dual, x, x, optimize=True)
    quadratic = np.zeros((size, size))
    quadratic[one, other] = b[one, other]
    spread = float(np.std(kernel @ dual)) or 1.0
    again = apart & (rows % modes == columns % modes)
    quadratic[rows[again], columns[again]] = repeated * spread
    both = quadratic + quadratic.T
    h = -a / 2.0 - both.sum(axis=1) / 4.0  # bits are (1 - s) / 2
    groups = tuple(tuple(range(place * modes, (place + 1) * modes)) for place in range(modes))
    return Ising(h, quadratic / 4.0, float(a.sum() / 2.0 + quadratic.sum() / 4.0), groups=groups)


def repaired_order(string: npt.NDArray[np.int8], modes: int) -> Order:
    """Return the order that a string means; a mode that stands twice keeps its first place, missing ones fill in."""
    chosen = np.argmin(string.reshape(modes, modes), axis=1).tolist()
    missing = iter(sorted(set(range(modes)) - set(chosen)))
    seen: set[int] = set()
    order = []
    for mode in chosen:
        order.append(mode if mode not in seen else next(missing))
        seen.add(mode)
    return tuple(order)
