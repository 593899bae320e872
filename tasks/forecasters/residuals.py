"""How far above its forecast may a draw lie? An upper bound from the errors on groups that were held out.

Conformal prediction (Vovk et al. 2005, doi 10.1007/b106715) for rows that come in groups: rows of one gang or of one
model err alike, so it is the groups that are exchangeable (Lee, Barber and Willett 2023, arXiv 2306.06342). Each group
weighs the same, and one more weight stands for the group to come, at infinity: with too few groups nothing is promised
below the highest draw of the GPU.
"""

from dataclasses import dataclass

import numpy as np

from data.schemas.power import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """Measured over forecast draw of rows that were held out; NaN where a method had no answer, each ``(rows,)``.

    Args:
        groups: that were held out together, ``(rows,)``.
        graph: of the graph network; all NaN where there was none.
        boosting: of gradient boosting.
        median: of the median of the GPU model.
        blend: of graph network and boosting together.

    Raises:
        ValueError: the lengths differ, or a ratio is not positive.
    """

    groups: tuple[str, ...]
    graph: Floats
    boosting: Floats
    median: Floats
    blend: Floats

    def __post_init__(self) -> None:
        for name in ("graph", "boosting", "median", "blend"):
            ratios: Floats = getattr(self, name)
            if ratios.shape != (len(self.groups),):
                raise ValueError(f"{name}: expected shape ({len(self.groups)},), got {ratios.shape}")
            if (ratios[~np.isnan(ratios)] <= 0).any() or np.isinf(ratios).any():
                raise ValueError(f"{name}: expected positive numbers or NaN")


def upper_factor(ratios: Floats, groups: tuple[str, ...], quantile: float) -> float:
    """Return what to multiply a forecast with, so that a draw of a new group exceeds it no more often than stated.

    Args:
        ratios: measured over forecast draw; NaN is left out, ``(rows,)``.
        groups: ``(rows,)``.
        quantile: share of draws that must not exceed the bound, above 0 and below 1.

    Returns:
        The factor; infinity where too few groups were seen to promise anything.

    Raises:
        ValueError: the quantile is not a share, or the lengths differ.
    """
    if not 0.0 < quantile < 1.0:
        raise ValueError(f"quantile: expected a share above 0 and below 1, got {quantile}")
    if ratios.shape != (len(groups),):
        raise ValueError(f"groups: expected {ratios.size}, got {len(groups)}")
    known = np.isfinite(ratios)
    if not known.any():
        return float("inf")
    _, group, sizes = np.unique(np.array(groups)[known], return_inverse=True, return_counts=True)
    weights = 1.0 / ((sizes.size + 1) * sizes[group])
    order = np.argsort(ratios[known], kind="stable")
    reached = np.flatnonzero(np.cumsum(weights[order]) >= quantile - 1e-12)
    return float(ratios[known][order[reached[0]]]) if reached.size else float("inf")
