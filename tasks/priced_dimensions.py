"""How do measurements and prices become the dimensions of a budget? By a law for each, and a price that is a power."""

import math
from collections.abc import Sequence

import numpy as np

from data.errors import BadRecord, BadSource
from data.schemas.dimension_price import DimensionPrice
from data.schemas.scaling import Series
from tasks.allocate_budget import LEVELS
from tasks.fitted_dimensions import OCTAVE, dimension_of
from tasks.problems.budget_dimensions import Dimension, PowerLaw
from tasks.scaling.bootstrap import bootstrapped
from tasks.scaling.choose import choose
from tasks.scaling.fit import FitFailed
from tasks.scaling.fitted import Fit


def matched(
    series: Sequence[Series], prices: Sequence[DimensionPrice], scaling: str, source: str
) -> tuple[DimensionPrice, ...]:
    """Return the price of each series, in their order.

    Args:
        series: what was measured.
        prices: of dimensions, by name of the series.
        scaling: name of the measurements' file, for messages.
        source: of the prices, for messages.

    Raises:
        BadSource: a series has no price, or a price is of none of them; each is named.
    """
    of = {price.dimension: price for price in prices}
    names = [each.name for each in series]
    bad = [
        BadRecord(f"{price.place}.dimension", f"one that {scaling} measures: {', '.join(names)}", price.dimension)
        for price in prices
        if price.dimension not in names
    ]
    bad += [
        BadRecord(f"price of {name}", f"a row, since {scaling} measures it", "none") for name in names if name not in of
    ]
    if bad:
        raise BadSource(source, bad)
    return tuple(of[name] for name in names)


def fitted_laws(series: Sequence[Series], rng: np.random.Generator, *, draws: int, source: str) -> tuple[Fit, ...]:
    """Return the best law of each series with draws of its bootstrap, each by a stream of chance of its own.

    Args:
        series: what was measured.
        rng: all chance.
        draws: of each bootstrap.
        source: of the measurements, for messages.

    Raises:
        BadSource: a series has no law; each is named with the reason.
    """
    fits, bad = list[Fit](), list[BadRecord]()
    for each, own in zip(series, rng.spawn(len(series)), strict=True):
        try:
            fits.append(bootstrapped(each, choose(each).best, own, draws=draws))
        except FitFailed as error:
            bad.append(BadRecord(f"series {each.name}", "a law", str(error)))
    if bad:
        raise BadSource(source, bad)
    return tuple(fits)


def priced(
    series: Sequence[Series], fits: Sequence[Fit], prices: Sequence[DimensionPrice], source: str
) -> tuple[Dimension, ...]:
    """Return a dimension for each series.

    Args:
        series: what was measured.
        fits: the law of each.
        prices: of each; see :func:`matched`.
        source: of the prices, for messages.

    Raises:
        BadSource: scales are out of order or beyond what is known, or a law gives no performance above 0 there.
    """
    found, bad = list[Dimension](), list[BadRecord]()
    for each, fit, price in zip(series, fits, prices, strict=True):
        try:
            found.append(_dimension(each, fit, price))
        except ValueError as error:
            bad.append(BadRecord(price.place, f"scales that {each.name} can be bought at", str(error)))
    if bad:
        raise BadSource(source, bad)
    return tuple(found)


def _dimension(series: Series, fit: Fit, price: DimensionPrice) -> Dimension:
    low, high = (price.steps[0], price.steps[-1]) if price.steps else (fit.smallest, fit.largest)
    low = low if price.least is None else price.least
    high = high if price.most is None else price.most
    if low > high:
        raise ValueError(f"least {low:g} is above most {high:g}")
    if low < fit.smallest / OCTAVE and not len(fit.draws):
        raise ValueError(
            f"least {low:g} is below half of {fit.smallest:g}, the smallest measured; beyond that a fit needs draws"
        )
    steps = price.steps
    if price.levels:
        if low == high:
            raise ValueError(f"{price.levels} levels, and only the scale {low:g} to choose from")
        between = np.geomspace(low, high, price.levels)
        between[0], between[-1] = low, high
        steps = tuple(between.tolist())
    cost = PowerLaw(price.usd_per_unit, price.growth)
    dimension = dimension_of(series.name, fit, cost, better=series.better, least=low, most=high, steps=steps)
    with np.errstate(all="ignore"):  # what is no number is refused below
        dimension.levels(LEVELS)
    return dimension


def require_enough(dimensions: Sequence[Dimension], budget_usd: float) -> None:
    """Refuse a budget that does not pay for the smallest scales.

    Raises:
        BadRecord: it does not; by how much is said, and what they take.
    """
    takes = [float(each.levels(LEVELS).spend[0]) for each in dimensions]  # prices rise with the scale
    least = math.fsum(takes)
    if budget_usd < least:
        parts = ", ".join(f"{each.name} {_usd(one)}" for each, one in zip(dimensions, takes, strict=True))
        expected = f"at least {_usd(least)} USD for the smallest scales ({parts})"
        raise BadRecord("budget_usd", expected, f"{_usd(budget_usd)}, {_usd(least - budget_usd)} short")


def _usd(value: float) -> str:
    return f"{value:,.2f}" if value < 1e15 else f"{value:.4g}"
