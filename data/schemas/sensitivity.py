"""How much does a model's function lose when a tensor is quantised?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Sensitivities:
    """What each measure of the function loses for a squared relative error of 1 in a tensor, to first order.

    Where the errors of tensors are independent of one another their losses add up: a model whose tensors have relative
    RMS errors ``e`` loses ``sum of sensitivity * e**2`` by each measure.

    Args:
        measures: what is measured, by name, e.g. ``("drift", "similarity")``; a loss is 0 for the model as it was.
        of: for each tensor one number for each measure, at least 0. Tensors that do not stand here stay exact.

    Raises:
        ValueError: no measure, no tensor, or a number that is missing, negative or not finite.
    """

    measures: tuple[str, ...]
    of: Mapping[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        if not self.measures or len(set(self.measures)) < len(self.measures):
            raise ValueError(f"measures: expected at least one, none twice, found {self.measures}")
        if not self.of:
            raise ValueError("sensitivities: expected those of at least one tensor, found none")
        for name, numbers in self.of.items():
            if len(numbers) != len(self.measures):
                raise ValueError(f"{name}: expected {len(self.measures)} sensitivities, found {len(numbers)}")
            if not all(math.isfinite(number) and number >= 0.0 for number in numbers):
                raise ValueError(f"{name}: expected finite sensitivities of at least 0, found {numbers}")
