"""What do the series of a fleet say? For each its law with intervals, its knee and breaks, and what carries it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data.schemas.scaling import Series
from tasks.scaling.bootstrap import bootstrapped
from tasks.scaling.choose import Choice, choose
from tasks.scaling.correlations import Correlation, correlations
from tasks.scaling.extrapolate import Forecast, predict
from tasks.scaling.fit import FitFailed
from tasks.scaling.fitted import Fit, Interval
from tasks.scaling.influence import Influence, leave_out
from tasks.scaling.laws import Floats
from tasks.scaling.loss import LogHuber
from tasks.scaling.regimes import Change, knee, regime_changes

OCTAVES = (1.0, 2.0, 3.0)
"""How far beyond the data the table looks ahead, in doublings."""


@dataclass(frozen=True, slots=True, eq=False)
class SeriesStudy:
    """What one series says.

    Args:
        choice: all laws, ranked.
        law: the best one, with draws and intervals where there are enough runs.
        knee: where the local exponent has halved; None if not inside the data.
        changes: breaks between power laws.
        carries: the point that moves the largest forecast most; None where nothing can be left out.
        ahead: forecasts beyond the data, as far as they can be made.
        asked: forecast at the scale that was asked for; None where none was, or where it was refused.
        refused: why it was; else empty.
    """

    choice: Choice
    law: Fit
    knee: Interval | None
    changes: tuple[Change, ...]
    carries: Influence | None
    ahead: tuple[Forecast, ...]
    asked: Forecast | None = None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Unfitted:
    """A series without a law, and why."""

    series: str
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """What all series say.

    Args:
        series: those with a law, in the order given.
        unfitted: those without.
        correlations: between series that share runs.
    """

    series: tuple[SeriesStudy, ...]
    unfitted: tuple[Unfitted, ...]
    correlations: tuple[Correlation, ...]


def study(
    series: Sequence[Series],
    rng: np.random.Generator,
    *,
    draws: int = 200,
    loss: LogHuber = LogHuber(),  # noqa: B008 - frozen
    at: Mapping[str, float] | None = None,
) -> Study:
    """Return what ``series`` say, each with a stream of chance of its own.

    Args:
        series: what was measured.
        rng: source of chance.
        draws: of each bootstrap.
        loss: what is minimised.
        at: scales that are asked for, by name of the series.
    """
    wanted = at or {}
    found, unfitted = [], []
    *streams, of_correlations = rng.spawn(len(series) + 1)
    for each, own in zip(series, streams, strict=True):
        try:
            found.append(study_series(each, own, draws=draws, loss=loss, at=wanted.get(each.name)))
        except FitFailed as error:
            unfitted.append(Unfitted(each.name, str(error)))
    laws = {each.law.series: each.law for each in found}
    return Study(tuple(found), tuple(unfitted), correlations(series, laws, of_correlations))


def study_series(
    series: Series,
    rng: np.random.Generator,
    *,
    draws: int = 200,
    loss: LogHuber = LogHuber(),  # noqa: B008 - frozen
    at: float | None = None,
) -> SeriesStudy:
    """Return what one series says.

    Args:
        series: what was measured.
        rng: source of chance.
        draws: of the bootstrap.
        loss: what is minimised.
        at: scale that is asked for.

    Raises:
        FitFailed: no law can be fitted.
    """
    choice = choose(series, loss)
    law = bootstrapped(series, choice.best, rng, draws=draws, loss=loss)
    asked, refused = None, ""
    if at is not None:
        try:
            asked = predict(law, at, rivals=_rivals(choice))
        except ValueError as error:
            refused = str(error)
    return SeriesStudy(
        choice,
        law,
        knee(law),
        regime_changes(choice, loss, rng=rng, draws=draws),
        _carries(series, law, loss),
        _ahead(choice, law),
        asked,
        refused,
    )


def _carries(series: Series, law: Fit, loss: LogHuber) -> Influence | None:
    far = np.array([2.0 * law.largest])

    def log_forecast(theta: Floats) -> float:
        with np.errstate(all="ignore"):
            return float(np.log(law.form.value(theta, far)[0]))

    if series.points <= len(law.form.names):
        return None
    found = [each for each in leave_out(series, law, log_forecast, loss=loss) if np.isfinite(each.shift)]
    return found[0] if found else None


def _ahead(choice: Choice, law: Fit) -> tuple[Forecast, ...]:
    found = []
    for octaves in OCTAVES:
        try:
            found.append(predict(law, law.largest * 2.0**octaves, rivals=_rivals(choice)))
        except ValueError:  # beyond what the law or its draws can say
            break
    return tuple(found)


def _rivals(choice: Choice) -> tuple[Fit, ...]:
    """Return other laws that foretold the largest scales at most twice as badly."""
    best = choice.best.held_out
    if best is None:
        return choice.fits[1:]
    return tuple(fit for fit in choice.fits[1:] if fit.held_out is not None and fit.held_out <= 2.0 * best)
