"""What does a person see of a study of scaling? Each law through its points, with its interval, on one HTML page."""

import base64
import io
from collections.abc import Sequence
from importlib.resources import files
from math import ceil

import numpy as np
from jinja2 import Environment, StrictUndefined

from data.errors import BadRecord
from tasks.report.plain import one_line
from tasks.scaling.account import HEAD, rows
from tasks.scaling.choose import largest_scales
from tasks.scaling.study import SeriesStudy, Study

COLUMNS = 2
AHEAD = 2.0
"""Curves go on to so many times the largest scale."""

MOST_RECORDS = 50
"""Rows set aside that the page names; scaling.json names all."""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'">
<title>Scaling laws</title><style>{{ css }}</style></head><body>
<h1>Scaling laws</h1>
<p class="lead">{{ series|length }} series fitted, {{ unfitted|length }} not; {{ bad|length }} row(s) set aside,
{{ repeated|length }} repeated. Intervals are 95 % bootstrap intervals over runs, {{ draws }} draws.</p>
<div class="scroll"><table><tr>{% for name in head %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in table %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
<p class="soft">Laws are ranked by their error on the largest scales, which they had not seen. An interval one octave
ahead is that of a single measurement, if the law holds there. In the picture circles are the scales that judged the
laws, the band is the interval of the law, and the dotted line is the knee: where the local exponent has halved.</p>
{% if picture %}<img alt="Each series with its law" style="max-width:100%" src="data:image/png;base64,{{ picture }}">
{% endif %}{% if asked %}<h2>What was asked for</h2><ul>{% for line in asked %}<li>{{ line }}</li>
{% endfor %}</ul>{% endif %}
{% if changes %}<h2>Where one power law turns into another</h2><ul>{% for line in changes %}<li>{{ line }}</li>
{% endfor %}</ul>{% endif %}
{% if correlations %}<h2>What goes together</h2>
<p>Correlations of what the laws leave unexplained, over shared runs; of {{ pairs }} pairs those whose interval leaves
out 0. At 95 % about {{ chance }} of them would by chance.</p><ul>{% for line in correlations %}<li>{{ line }}</li>
{% endfor %}</ul>{% endif %}
{% if unfitted or bad or repeated or notes %}<h2>What was left out</h2><ul>
{% for line in unfitted + notes + bad[:most] + repeated[:most] %}<li>{{ line }}</li>{% endfor %}</ul>{% endif %}
</body></html>
"""


def page(
    study: Study,
    *,
    draws: int,
    set_aside: Sequence[BadRecord],
    repeated: Sequence[BadRecord],
    notes: Sequence[str],
    picture: bytes,
) -> str:
    """Return a page that needs nothing else.

    Args:
        study: what was found.
        draws: of the bootstrap.
        set_aside: rows that could not be used.
        repeated: rows that say what others say.
        notes: of the reader.
        picture: a PNG, or nothing.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(_PAGE).render(
        css=_css(),
        head=HEAD,
        table=[[one_line(cell) for cell in row] for row in rows(study)],
        series=study.series,
        draws=draws,
        picture=base64.b64encode(picture).decode(),
        asked=asked_lines(study),
        changes=[line for each in study.series for line in _changes(each)],
        correlations=_correlated(study),
        pairs=len(study.correlations),
        chance=round(0.05 * len(study.correlations), 1),
        unfitted=[one_line(each.why) for each in study.unfitted],
        bad=[one_line(str(record)) for record in set_aside],
        repeated=[one_line(str(record)) for record in repeated],
        notes=[one_line(note) for note in notes],
        most=MOST_RECORDS,
    )


def _css() -> str:
    from markupsafe import Markup

    return Markup(files("tasks.report").joinpath("page.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file


def asked_lines(study: Study) -> list[str]:
    """Return what was asked for and foretold, or why not, one line each."""
    lines = []
    for each in study.series:
        if each.refused:
            lines.append(one_line(f"refused: {each.refused}"))
        if each.asked is None:
            continue
        forecast, law = each.asked, each.law
        between = "" if forecast.low is None else f" [{forecast.low:.4g}, {forecast.high:.4g}]"
        rivals = "; ".join(f"{rival.kind} says {rival.performance:.4g}" for rival in forecast.rivals)
        told = (
            f"{law.series} at {forecast.scale:g} {law.scale_unit}".rstrip()
            + f": {forecast.performance:.4g}{between} {law.performance_unit}".rstrip()
            + f", {forecast.octaves:.1f} octaves beyond the data"
            + (f"; {rivals}" if rivals else "")
        )
        lines.append(one_line(told))
    return lines


def _changes(each: SeriesStudy) -> list[str]:
    unit = each.law.scale_unit
    return [
        one_line(
            f"{each.law.series}: exponent {change.before:.3g} below {change.scale:.4g} {unit}, "
            f"{change.after:.3g} beyond"
            + ("" if change.low is None else f" (break between {change.low:.4g} and {change.high:.4g})")
        )
        for change in each.changes
    ]


def _correlated(study: Study) -> list[str]:
    lines = []
    for each in study.correlations:
        left = each.residuals
        if left is None or left.value is None or left.low is None or left.high is None:
            continue
        if left.low * left.high > 0.0:
            told = f"{each.one} and {each.other}: {left.value:.2f} [{left.low:.2f}, {left.high:.2f}], {each.runs} runs"
            lines.append(one_line(told))
    return lines


def chart(study: Study) -> bytes:
    """Return a PNG with a panel for each series, on logarithmic axes; nothing where there is no series."""
    if not study.series:
        return b""
    from matplotlib.figure import Figure

    lines = ceil(len(study.series) / COLUMNS)
    figure = Figure(figsize=(5.4 * COLUMNS, 3.2 * lines), layout="constrained")
    for place, each in enumerate(study.series, start=1):
        series, law = each.choice.series, each.law
        axes = figure.add_subplot(lines, COLUMNS, place)
        at = np.geomspace(law.smallest, AHEAD * law.largest, 120)
        axes.plot(at, np.where(law(at) > 0.0, law(at), np.nan), color="C0")
        if len(law.draws):
            low, high = np.quantile(law.spread(len(law.draws), at), [0.025, 0.975], axis=0)
            axes.fill_between(at, np.maximum(low, 1e-12), np.maximum(high, 1e-12), color="C0", alpha=0.25, linewidth=0)
        judges = largest_scales(series)
        axes.plot(series.scale[~judges], series.performance[~judges], ".", color="0.2")
        axes.plot(series.scale[judges], series.performance[judges], "o", mfc="none", color="0.2")
        if each.knee is not None:
            axes.axvline(each.knee.estimate, color="C3", linewidth=0.8, linestyle=":")
        axes.set_xscale("log")
        axes.set_yscale("log")
        # what stands between dollars would be read as mathematics
        axes.set_title(one_line(f"{law.series}: {law.form.kind}").replace("$", r"\$"), fontsize=9)
        axes.set_xlabel(one_line(series.scale_unit).replace("$", r"\$"), fontsize=8)
        axes.set_ylabel(one_line(series.performance_unit).replace("$", r"\$"), fontsize=8)
        axes.tick_params(which="both", labelsize=7)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()
