"""How is a budget spent where every scale may be chosen? In closed form for power laws, by a multiplier otherwise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from tasks.problems.budget_dimensions import Dimension, Floats, Law, PowerLaw

STEP = 1e-5
"""Of log scale, over which slopes are measured: the error of a central difference is about 1e-11 of the slope."""

SECTIONS, ROUNDS = 129, 8
"""Scales that are looked at in a search for a slope, and how often: 128 ** -8 of the range is below rounding."""

MOST_LOG = 600.0
"""Logarithm of the largest multiplier, and less its smallest, in which it is looked for."""

SMALLEST = 1e-300
"""Share of the budget that stands for none."""

SAMPLES = 129
"""Scales at which a law is looked at for being concave."""

SAFE = 1e-10
"""By which the bound of the multiplier is raised: more than its slopes can be wrong."""


@dataclass(frozen=True, slots=True, eq=False)
class Scales:
    """A scale for each dimension.

    Args:
        scale: in the unit of each dimension, ``(dimensions,)``.
        log_performance: logarithm of the product of what they bring.
        spent: of the budget.
        bound: ``log_performance`` that no scales within the budget exceed.
    """

    scale: Floats
    log_performance: float
    spent: float
    bound: float


def closed_form(dimensions: Sequence[Dimension], budget: float) -> Scales:
    """Return the best scales where laws and prices are powers, without regard to their ranges.

    With performance ``a s^b`` and price ``c s^g``, the logarithm of the product is ``sum b_i log s_i``, and at its
    largest each dimension takes the share ``w_i = (b_i / g_i) / sum (b / g)`` of the budget: the Lagrangian's slope
    ``b_i = multiplier * g_i c_i s_i^g_i`` says that what is spent is as ``b_i / g_i``.

    Raises:
        ValueError: a law or a price is no power, an exponent is not positive, or there is no budget.
    """
    laws, prices = list[PowerLaw](), list[PowerLaw]()
    for each in dimensions:
        for power, kept, what in ((each.law, laws, "law"), (each.price, prices, "price")):
            if not isinstance(power, PowerLaw) or power.exponent <= 0.0:
                raise ValueError(f"{each.name}: expected a {what} that is a power above 0, got {power}")
            kept.append(power)
    if not budget > 0.0:
        raise ValueError(f"budget: expected more than 0, got {budget:g}")
    gain = np.array([law.exponent for law in laws])
    cost, growth = (np.array([getattr(price, name) for price in prices]) for name in ("amplitude", "exponent"))
    share = gain / growth / (gain / growth).sum()
    scale = (share * budget / cost) ** (1.0 / growth)
    reached = log_performance(dimensions, scale)
    return Scales(scale, reached, spent(dimensions, scale), reached)


def by_multiplier(dimensions: Sequence[Dimension], budget: float) -> Scales:
    """Return the best scales where the logarithm of each law is concave in what it costs.

    At a given price of the budget each dimension grows until what one more unit of spend brings has fallen to it; the
    price at which all of them spend the budget is found by Brent's method (Everett 1963, doi 10.1287/opre.11.3.399).
    The dual function there is the bound.

    Raises:
        ValueError: there is no budget, or the smallest scales are above it.
    """
    if not budget > 0.0:
        raise ValueError(f"budget: expected more than 0, got {budget:g}")
    least = np.array([each.least for each in dimensions])
    if spent(dimensions, least) > budget:
        need = spent(dimensions, least)
        raise ValueError(
            f"budget: expected at least {need:g}, the smallest scales, got {budget:g}: {need - budget:g} short"
        )
    low = _at(dimensions, 0.0)
    if spent(dimensions, low) <= budget:
        reached = log_performance(dimensions, low)
        return Scales(low, reached, spent(dimensions, low), reached + SAFE * max(1.0, abs(reached)))
    prices = {"fits": math.inf, "over": 0.0}
    scales = {"fits": least, "over": low}

    def over(logarithm: float) -> float:
        price = math.exp(logarithm)
        scale = _at(dimensions, price)
        takes = spent(dimensions, scale)
        side = "over" if takes > budget else "fits"
        if price > prices["over"] if side == "over" else price < prices["fits"]:
            prices[side], scales[side] = price, scale
        return math.log(max(takes / budget, SMALLEST))

    cheap, dear = _bracket(dimensions, budget)
    if over(cheap) > 0.0 > over(dear):
        brentq(over, cheap, dear, xtol=1e-14, rtol=1e-14)
    scale = _between(dimensions, scales["fits"], scales["over"], budget)
    price = prices["fits"]
    dual = log_performance(dimensions, scales["fits"]) + price * (budget - spent(dimensions, scales["fits"]))
    return Scales(
        scale, log_performance(dimensions, scale), spent(dimensions, scale), dual + SAFE * max(1.0, abs(dual))
    )


def concave(dimension: Dimension) -> bool:
    """Say whether the logarithm of the law looks concave in what it costs, up to its largest value.

    Looked at :data:`SAMPLES` scales; what lies beyond the largest value costs more and brings less. A law without
    performance, or a price that does not rise, is not.
    """
    if dimension.least == dimension.most:
        return True
    scale = np.geomspace(dimension.least, dimension.most, SAMPLES)
    scale[0], scale[-1] = dimension.least, dimension.most
    with np.errstate(all="ignore"):
        value, cost = np.log(dimension.law(scale)), dimension.price(scale)
    if not (np.isfinite(value).all() and np.isfinite(cost).all() and cost[0] >= 0.0 and (np.diff(cost) > 0.0).all()):
        return False
    end = int(value.argmax()) + 1
    slope = np.diff(value[:end]) / np.diff(cost[:end])
    tolerance = 1e-9 * float(np.abs(slope).max(initial=0.0))
    return bool((np.diff(slope) <= tolerance).all())


def inside(dimensions: Sequence[Dimension], scale: Floats) -> bool:
    """Say whether each scale is within its dimension's range."""
    return all(each.least <= one <= each.most for each, one in zip(dimensions, scale.tolist(), strict=True))


def log_performance(dimensions: Sequence[Dimension], scale: Floats) -> float:
    """Return the logarithm of the product of what the scales bring, ``(dimensions,)``."""
    return math.fsum(math.log(_value(each.law, one)) for each, one in zip(dimensions, scale.tolist(), strict=True))


def spent(dimensions: Sequence[Dimension], scale: Floats) -> float:
    """Return what the scales take of the budget, ``(dimensions,)``."""
    return math.fsum(_value(each.price, one) for each, one in zip(dimensions, scale.tolist(), strict=True))


def _at(dimensions: Sequence[Dimension], price: float) -> Floats:
    """Return the scale of each dimension at which one more unit of spend brings ``price``."""
    return np.array([_grown(each, price) for each in dimensions])


def _bracket(dimensions: Sequence[Dimension], budget: float) -> tuple[float, float]:
    """Return logarithms of a multiplier at which too much is spent and of one at which it is not, near each other."""
    worths, costs = [], []
    for each in dimensions:
        place = np.linspace(math.log(each.least), math.log(each.most), SAMPLES)
        worths.append(np.minimum.accumulate(_worth(each, place)))
        costs.append(each.price(np.clip(np.exp(place), each.least, each.most)))
    every = np.concatenate(worths)
    tried = np.geomspace(every[every > 0.0].min(), every.max(), SAMPLES)
    more, less = np.zeros(SAMPLES), np.zeros(SAMPLES)
    for worth, cost in zip(worths, costs, strict=True):
        grown = np.searchsorted(-worth, -tried)  # samples that are worth more than the multiplier
        less += cost[np.maximum(grown - 1, 0)]
        more += cost[np.minimum(grown, SAMPLES - 1)]
    over, fits = np.flatnonzero(less > budget), np.flatnonzero(more <= budget)
    cheap = math.log(tried[over[-1]]) if over.size else -MOST_LOG
    return cheap, math.log(tried[fits[0]]) if fits.size else MOST_LOG


def _grown(dimension: Dimension, price: float) -> float:
    low, high = math.log(dimension.least), math.log(dimension.most)
    for _ in range(ROUNDS):
        place = np.linspace(low, high, SECTIONS)
        worth = _worth(dimension, place) > price
        if worth.all():
            return min(dimension.most, math.exp(high))
        first = int(worth.argmin())
        if first == 0:
            return max(dimension.least, math.exp(low))
        low, high = float(place[first - 1]), float(place[first])
    return min(max(math.exp(low), dimension.least), dimension.most)


def _worth(dimension: Dimension, place: Floats) -> Floats:
    """Return what one more unit of spend adds to the logarithm of performance, at log scales, ``(scales,)``."""
    below = np.clip(np.exp(place - STEP), dimension.least, dimension.most)
    above = np.clip(np.exp(place + STEP), dimension.least, dimension.most)
    if dimension.least == dimension.most:
        return np.zeros_like(place)
    gained = np.log(dimension.law(above)) - np.log(dimension.law(below))
    return np.asarray(gained / (dimension.price(above) - dimension.price(below)))


def _between(dimensions: Sequence[Dimension], fits: Floats, over: Floats, budget: float) -> Floats:
    """Return the scales on the way from those that fit to those that do not that just fit."""
    best, far = fits, 1.0
    near = 0.0
    for _ in range(60):
        share = 0.5 * (near + far)
        scale = fits * (over / fits) ** share
        if spent(dimensions, scale) <= budget:
            near, best = share, scale
        else:
            far = share
    return best


def _value(law: Law, scale: float) -> float:
    return float(law(np.array([scale]))[0])
