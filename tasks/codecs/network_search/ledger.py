"""How are searches compared? Each pays for what it prices, and the ledger keeps the best after each payment."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Order = tuple[int, ...]
"""Split modes in the order of a tensor train."""

LOOKS = 50
"""Times that a search may look at what is priced already, for each evaluation that it has, before it is stopped."""


class Spent(Exception):
    """The evaluations are used up; the ledger holds what was found."""


class Ledger:
    """Prices orders, each once, up to a number of evaluations.

    Args:
        price: bits of an order; every order of the modes is feasible, some at infinite bits.
        evaluations: different orders that may be priced.
    """

    def __init__(self, price: Callable[[Order], float], evaluations: int) -> None:
        """Start with nothing priced."""
        if evaluations < 1:
            raise ValueError(f"evaluations: expected at least 1, got {evaluations}")
        self.evaluations = evaluations
        self.best: Order = ()
        self.bits = np.inf
        self.priced: dict[Order, float] = {}
        self._price = price
        self._looks = 0
        self._falls: list[float] = []

    @property
    def left(self) -> int:
        """Evaluations that are not used yet."""
        return self.evaluations - len(self.priced)

    @property
    def spent(self) -> bool:
        """Whether the evaluations are used up, or as many looks at what is known as there may be."""
        return self.left == 0 or self._looks > LOOKS * self.evaluations

    def price(self, order: Order) -> float:
        """Return the bits of an order; one that was priced before costs nothing.

        Raises:
            Spent: another evaluation is not there, or the search goes round in circles.
        """
        self._looks += 1
        if order not in self.priced:
            if self.left == 0:
                raise Spent
            bits = self._price(order)
            self.priced[order] = bits
            if bits < self.bits or not self.best:
                self.best, self.bits = order, bits
            self._falls.append(self.bits)
        if self._looks > LOOKS * self.evaluations:
            raise Spent
        return self.priced[order]

    def curve(self) -> npt.NDArray[np.float64]:
        """Return the best bits after each evaluation, ``(evaluations,)``; what was not used repeats the last."""
        last = self._falls[-1] if self._falls else np.inf
        return np.array(self._falls + [last] * self.left)
