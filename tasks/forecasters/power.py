"""Who may forecast a job's draw, and who stands in? Graph network, boosting, median of the GPU model, highest draw.

The graph network answers together with boosting where that was better on gangs held out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sklearn.model_selection import GroupKFold

from data.schemas.plan import Fallback
from data.schemas.power import PowerSamples
from tasks.forecasters.blend import BlendModel, blended
from tasks.forecasters.boosting import Boosting
from tasks.forecasters.median import Median
from tasks.forecasters.protocol import Floats, ForecastFailed, HeldOut, PowerForecaster, TrainedPower
from tasks.forecasters.residuals import Residuals, upper_factor

STAGE = "predict power"
GRAPH = "graph network"
BLEND = "graph network and boosting"
BOOSTING = "boosting"
MEDIAN = "median of the GPU model"
HIGHEST = "highest draw of the GPU model"
MEASURED = "measured"


@dataclass(frozen=True, slots=True)
class PowerRules:
    """When a trained model is trusted.

    Args:
        max_age_s: a model whose training snapshot is older than this, seen from the snapshot at hand, is stale.
        fewest: measured jobs below which none is trained; a fold fewer of them must still be enough to learn from.
        folds: into which groups are split to judge a model.
    """

    max_age_s: float = 7 * 86_400.0
    fewest: int = 40
    folds: int = 3


@dataclass(frozen=True, slots=True, eq=False)
class PowerForecast:
    """What each job draws.

    Args:
        watts: of one GPU without a cap; measured where it was measured, ``(samples,)``.
        high_w: what the draw exceeds only as often as was allowed; NaN where it was measured, ``(samples,)``.
        sources: who says so, ``(samples,)``.
        fallbacks: who could not, and why.
    """

    watts: Floats
    high_w: Floats
    sources: tuple[str, ...]
    fallbacks: tuple[Fallback, ...]


def train_power(
    samples: PowerSamples,
    rng: np.random.Generator,
    *,
    graph: PowerForecaster,
    trained_at: str,
    rules: PowerRules = PowerRules(),
) -> TrainedPower:
    """Return a graph network that learned from the measured rows, judged on groups held out as if still waiting.

    Args:
        samples: rows without a draw are left out.
        rng: source of chance.
        graph: the forecaster, with its options.
        trained_at: moment of the snapshot that the samples are from.
        rules: how it is judged.

    Raises:
        ForecastFailed: too few rows are measured, all in one group, or nothing was learned.
    """
    measured = samples.take(np.flatnonzero(samples.measured))
    if len(measured.ids) < rules.fewest:
        raise ForecastFailed(f"{len(measured.ids)} measured jobs, at least {rules.fewest} are needed")
    final, judged = rng.spawn(2)
    model = graph.train(measured, final)
    verdict = judge(measured, judged, graph, rules.folds)
    return TrainedPower(model, measured, trained_at, verdict.errors, verdict.residuals)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What the forecasters said of groups that they did not see: mean errors, and the errors row by row."""

    errors: HeldOut
    residuals: Residuals


def judge(measured: PowerSamples, rng: np.random.Generator, graph: PowerForecaster | None, folds: int) -> Judged:
    """Return how wrong ``graph`` and its yardsticks are on groups that they did not see, asked about as if waiting.

    Args:
        measured: rows with a draw.
        rng: source of chance.
        graph: the graph network; None to judge the yardsticks alone.
        folds: into which the groups are split.

    Raises:
        ForecastFailed: all rows are of one group, or a part is too small to learn from.
    """
    folds = min(folds, len(set(measured.groups)))
    if folds < 2:
        raise ForecastFailed("all measured jobs are of one gang: nothing can be held out to judge the model")
    forecasters: tuple[PowerForecaster | None, ...] = (graph, Boosting(), Median())
    waiting = measured.waiting()
    watts = np.full((len(forecasters) + 1, len(measured.ids)), np.nan)
    # shuffled: jobs that were submitted in turns would else be split by what they do
    split = GroupKFold(folds, shuffle=True, random_state=int(rng.integers(2**31)))
    for seen, unseen in split.split(measured.features, groups=measured.groups):
        for row, (forecaster, child) in enumerate(zip(forecasters, rng.spawn(3), strict=True)):
            if forecaster is not None:
                watts[row, unseen] = forecaster.train(measured.take(seen), child).forecast(waiting.take(unseen))
    watts[-1] = blended(watts[0], watts[1])
    answered = np.where(np.isfinite(watts), watts, measured.max_w)
    errors = np.mean(np.abs(answered - measured.power_w) / measured.power_w, axis=1).tolist()
    ratios = np.maximum(measured.clipped(measured.power_w), 1e-3) / np.maximum(watts, 1e-3)
    return Judged(HeldOut(folds, *errors), Residuals(measured.groups, *ratios))


def forecast_power(
    samples: PowerSamples,
    trained: TrainedPower | None,
    rng: np.random.Generator,
    *,
    taken_at: str,
    why_untrained: str,
    rules: PowerRules = PowerRules(),
    quantile: float = 0.95,
) -> PowerForecast:
    """Return the draw of every row: its measurement, else the answer of the first forecaster that has one.

    Args:
        samples: all jobs of a snapshot.
        trained: a graph network, or None.
        rng: source of chance of the boosting that may stand in.
        taken_at: moment of the snapshot.
        why_untrained: the reason to give where ``trained`` is None.
        rules: when ``trained`` is trusted.
        quantile: share of the draws that must not exceed their upper bounds.
    """
    watts = samples.power_w.copy()
    sources = [MEASURED] * len(samples.ids)
    unanswered = ~samples.measured
    missed: list[tuple[int, str, str]] = []
    for name in (GRAPH, BOOSTING, MEDIAN, HIGHEST):
        rows = np.flatnonzero(unanswered)
        if not rows.size:
            break
        asked = samples.take(rows)
        refusal = _refusal(name, samples, trained, taken_at, why_untrained, rules)
        answer = np.full(rows.size, np.nan)
        if not refusal:
            try:
                answer = asked.clipped(_answer(name, samples, asked, trained, rng))
            except ForecastFailed as error:
                refusal = str(error)
        for row, value, model in zip(rows.tolist(), answer.tolist(), asked.gpu_models, strict=True):
            if np.isfinite(value):
                watts[row], unanswered[row] = value, False
                sources[row] = BLEND if name == GRAPH and blends(trained) else name
            else:
                missed.append((row, name, refusal or f"no measured job on GPU model {model or '(several fit)'}"))
    counted = Counter((wanted, sources[row], reason) for row, wanted, reason in missed)
    fallbacks = tuple(
        Fallback(STAGE, wanted, used, f"{reason}; {count} job{'s' * (count > 1)}")
        for (wanted, used, reason), count in counted.items()
    )
    # errors kept with a model that is not used may be of another time
    in_use = trained is not None and (GRAPH in sources or BLEND in sources or trained.trained_at == taken_at)
    kept = trained.residuals if trained is not None and in_use else None
    high_w = _upper_bounds(samples, watts, sources, kept, rng, rules, quantile)
    return PowerForecast(watts, high_w, tuple(sources), fallbacks)


def _upper_bounds(
    samples: PowerSamples,
    watts: Floats,
    sources: Sequence[str],
    kept: Residuals | None,
    rng: np.random.Generator,
    rules: PowerRules,
    quantile: float,
) -> Floats:
    """Return what each draw exceeds only as often as allowed; NaN where it was measured, ``(samples,)``."""
    said_by = np.array(sources)
    high_w = np.where(samples.measured, np.nan, samples.max_w)
    asked = [name for name in (BLEND, GRAPH, BOOSTING, MEDIAN) if (said_by == name).any()]
    if not asked:
        return high_w
    residuals = kept
    if residuals is None:
        measured = samples.take(np.flatnonzero(samples.measured))
        try:
            residuals = judge(measured, rng.spawn(1)[0], None, rules.folds).residuals
        except ForecastFailed:
            return high_w
    ratios_of = {
        BLEND: residuals.blend,
        GRAPH: residuals.graph,
        BOOSTING: residuals.boosting,
        MEDIAN: residuals.median,
    }
    for name in asked:
        rows = said_by == name
        factor = upper_factor(ratios_of[name], residuals.groups, quantile)
        high_w[rows] = np.clip(watts[rows] * factor, watts[rows], samples.max_w[rows])
    return high_w


def _refusal(
    name: str, samples: PowerSamples, trained: TrainedPower | None, taken_at: str, why_untrained: str, rules: PowerRules
) -> str:
    """Return why the forecaster ``name`` is not to be asked; empty if it is."""
    if name == GRAPH:
        return why_untrained if trained is None else distrust(trained, samples, taken_at, rules)
    if name == BOOSTING and trained is not None and trained.held_out.boosting > trained.held_out.median:
        own, rival = _percent(trained.held_out.boosting), _percent(trained.held_out.median)
        return f"its error on gangs held out was {own}, that of the median {rival}"
    return ""


def _answer(
    name: str, samples: PowerSamples, asked: PowerSamples, trained: TrainedPower | None, rng: np.random.Generator
) -> Floats:
    if name == GRAPH and trained is not None:
        if blends(trained):
            return BlendModel(trained.model, Boosting().train(trained.samples, rng)).forecast(asked)
        return trained.model.forecast(asked)
    if name == BOOSTING:
        return Boosting().train(samples, rng).forecast(asked)
    if name == MEDIAN:
        return Median().train(samples, rng).forecast(asked)
    return asked.max_w


def blends(trained: TrainedPower | None) -> bool:
    """Tell whether boosting is to be heard beside the graph network: where that was better on gangs held out."""
    return (
        trained is not None and trained.held_out.blend is not None and trained.held_out.blend < trained.held_out.graph
    )


def distrust(trained: TrainedPower, samples: PowerSamples, taken_at: str, rules: PowerRules) -> str:
    """Return why ``trained`` must not be used on ``samples``; empty if it may."""
    if trained.samples.feature_set != samples.feature_set or trained.samples.names != samples.names:
        return f"trained on features {trained.samples.feature_set}, the jobs have {samples.feature_set}"
    try:
        age_s = (datetime.fromisoformat(taken_at) - datetime.fromisoformat(trained.trained_at)).total_seconds()
    except ValueError as error:
        return f"its age is unknown: {error}"
    if age_s > rules.max_age_s:
        days, allowed = age_s / 86_400.0, rules.max_age_s / 86_400.0
        return f"stale: trained {days:.1f} days before the snapshot, {allowed:g} are allowed"
    errors = trained.held_out
    better = min(errors.boosting, errors.median)
    own = errors.blend if errors.blend is not None and blends(trained) else errors.graph
    if not own <= better:
        rival = "boosting" if errors.boosting == better else "the median"
        return f"its error on gangs held out was {_percent(own)}, that of {rival} {_percent(better)}"
    return ""


def _percent(share: float) -> str:
    return f"{100.0 * share:.1f} %"
