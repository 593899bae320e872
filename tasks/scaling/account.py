"""How is a study of scaling written down? As JSON for machines, and as rows of a table for people."""

from collections.abc import Sequence

from data.errors import BadRecord
from tasks.report.markdown_text import escaped
from tasks.report.quantities import number
from tasks.scaling.correlations import Coefficient, Correlation
from tasks.scaling.extrapolate import Forecast
from tasks.scaling.fitted import Fit
from tasks.scaling.regimes import Change
from tasks.scaling.study import SeriesStudy, Study

VERSION = 1
Json = dict[str, object]


def as_json(
    study: Study,
    *,
    source: str,
    seed: int,
    draws: int,
    delta: float,
    set_aside: Sequence[BadRecord],
    repeated: Sequence[BadRecord],
    notes: Sequence[str],
) -> Json:
    """Return the whole study as what ``json.dumps`` takes.

    Args:
        study: what was found.
        source: where the measurements stood.
        seed: of the bootstrap.
        draws: of it.
        delta: of the loss.
        set_aside: rows that could not be used.
        repeated: rows that say what others say.
        notes: of the reader.
    """
    return {
        "version": VERSION,
        "source": source,
        "seed": seed,
        "draws": draws,
        "delta": delta,
        "set_aside": [str(record) for record in set_aside],
        "repeated": [str(record) for record in repeated],
        "notes": list(notes),
        "series": [_series(each) for each in study.series],
        "unfitted": [{"series": each.series, "why": each.why} for each in study.unfitted],
        "correlations": [_correlation(each) for each in study.correlations],
    }


def _series(each: SeriesStudy) -> Json:
    series, law = each.choice.series, each.law
    return {
        "name": series.name,
        "dimension": series.dimension,
        "scale_unit": series.scale_unit,
        "performance_unit": series.performance_unit,
        "better": series.better,
        "points": series.points,
        "runs": int(series.clusters.max()) + 1,
        "smallest": law.smallest,
        "largest": law.largest,
        "law": _law(law),
        "why": each.choice.why,
        "ranking": [_rank(fit) for fit in each.choice.fits],
        "left_out": [{"law": left.kind, "why": left.why} for left in each.choice.left_out],
        "knee": each.knee and {"scale": each.knee.estimate, "low": each.knee.low, "high": each.knee.high},
        "changes": [_change(change) for change in each.changes],
        "carries": each.carries and {"points": list(each.carries.points), "log_shift": each.carries.shift},
        "ahead": [_forecast(forecast) for forecast in each.ahead],
        "asked": each.asked and _forecast(each.asked),
        "refused": each.refused,
    }


def _law(fit: Fit) -> Json:
    units = fit.form.units(fit.scale_unit, fit.performance_unit)
    found = {interval.name: interval for interval in fit.intervals}
    parameters = []
    for name, unit, value in zip(fit.form.names, units, fit.parameters, strict=True):
        low, high = (found[name].low, found[name].high) if name in found else (None, None)
        parameters.append({"name": name, "unit": unit, "estimate": float(value), "low": low, "high": high})
    return {**_rank(fit), "parameters": parameters, "objective": fit.objective, "notes": list(fit.notes)}


def _rank(fit: Fit) -> Json:
    held_out = fit.held_out if fit.held_out is None or fit.held_out < float("inf") else None
    return {"law": fit.form.kind, "held_out": held_out, "aicc": fit.aicc, "r2": fit.r2, "sigma": fit.sigma}


def _change(change: Change) -> Json:
    return {
        "scale": change.scale,
        "low": change.low,
        "high": change.high,
        "before": change.before,
        "after": change.after,
        "gain": change.gain,
    }


def _forecast(forecast: Forecast) -> Json:
    return {
        "scale": forecast.scale,
        "octaves": forecast.octaves,
        "performance": forecast.performance,
        "low": forecast.low,
        "high": forecast.high,
        "level": forecast.level,
        "rivals": [{"law": rival.kind, "performance": rival.performance} for rival in forecast.rivals],
    }


def _correlation(each: Correlation) -> Json:
    return {
        "one": each.one,
        "other": each.other,
        "runs": each.runs,
        "performance": _coefficient(each.performance),
        "ranks": _coefficient(each.ranks),
        "residuals": each.residuals and _coefficient(each.residuals),
    }


def _coefficient(each: Coefficient) -> Json:
    return {"value": each.value, "low": each.low, "high": each.high}


HEAD = ("series", "law", "parameters", "R2", "error on the largest scales", "knee", "one octave ahead")


def rows(study: Study) -> list[tuple[str, ...]]:
    """Return a row of :data:`HEAD` for each series."""
    return [_row(each) for each in study.series]


def _row(each: SeriesStudy) -> tuple[str, ...]:
    law = each.law
    held_out = "none held out" if law.held_out is None else f"{100.0 * law.held_out:.2f} %"
    knee = "none inside" if each.knee is None else _between(each.knee.estimate, each.knee.low, each.knee.high)
    ahead = "none"
    if each.ahead:
        first = each.ahead[0]
        ahead = f"{_between(first.performance, first.low, first.high)} at {number(first.scale)}"
    r2 = "none" if law.r2 is None else f"{law.r2:.4f}"
    return law.series, law.form.kind, parameters(law), r2, held_out, knee, ahead


def parameters(law: Fit) -> str:
    """Return the parameters of a law with their intervals, in one line."""
    found = {interval.name: interval for interval in law.intervals}
    texts = []
    for name, value in zip(law.form.names, law.parameters, strict=True):
        low, high = (found[name].low, found[name].high) if name in found else (None, None)
        texts.append(f"{name} {_between(float(value), low, high)}")
    return ", ".join(texts)


def _between(value: float, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{value:.4g}"
    return f"{value:.4g} [{low:.4g}, {high:.4g}]"


def markdown(study: Study) -> str:
    """Return the table as markdown; what is between bars is made safe for it."""
    lines = [HEAD, tuple("---" for _ in HEAD), *rows(study)]
    text = "\n".join("| " + " | ".join(map(escaped, line)) + " |" for line in lines)
    left = "".join(f"\n\nNot fitted: {escaped(each.why)}" for each in study.unfitted)
    return text + left
