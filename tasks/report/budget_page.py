"""What does a person see of an answered budget? What is spent on what, how sure that is, what each method reached."""

import base64
import io
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from tasks.budget_account import CLAIM, HEAD, METHODS_HEAD, Spending, lead, method_rows, rows
from tasks.report.plain import one_line

LONGEST_NAME = 24
MOST_NOTES = 50
"""That the page names; budget.json names all."""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'">
<title>A budget over dimensions</title><style>{{ css }}</style></head><body>
<h1>A budget over dimensions</h1>
<p class="lead">{{ lead }}</p>
<div class="scroll"><table><tr>{% for name in head %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in table %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
<p class="soft">What is made as large as possible is the product of what the dimensions bring; where less is better,
e.g. latency, its reciprocal counts. The last column solves the budget again for each bootstrap draw of the laws.</p>
<img alt="What is spent on each dimension, and how often each level wins" style="max-width:100%"
src="data:image/png;base64,{{ picture }}">
<h2>What each method reached</h2>
<p>{{ claim }}</p>
<div class="scroll"><table><tr>{% for name in methods_head %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in methods %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
<p class="soft">The bound is the largest product that any choice within the budget could have.</p>
{% if notes %}<h2>What was assumed or left out</h2><ul>{% for line in notes[:most] %}<li>{{ line }}</li>
{% endfor %}</ul>{% endif %}
</body></html>
"""


def page(spending: Spending) -> str:
    """Return a page that needs nothing else."""
    from markupsafe import Markup

    css = files("tasks.report").joinpath("page.css").read_text(encoding="utf-8")
    failed = [f"{each.wanted} failed, {each.used} stood in: {each.reason}" for each in spending.found.fallbacks]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(_PAGE).render(
        css=Markup(css),  # noqa: S704 - our own file
        lead=lead(spending),
        head=HEAD,
        table=[[one_line(cell) for cell in row] for row in rows(spending)],
        methods_head=METHODS_HEAD,
        methods=[[one_line(cell) for cell in row] for row in method_rows(spending.found)],
        claim=CLAIM,
        picture=base64.b64encode(chart(spending)).decode(),
        notes=[one_line(line) for line in (*failed, *spending.notes)],
        most=MOST_NOTES,
    )


def chart(spending: Spending) -> bytes:
    """Return a PNG: a bar of USD for each dimension, and beside it how often each of its levels wins."""
    from matplotlib.figure import Figure

    found = spending.found
    names = [one_line(name, LONGEST_NAME).replace("$", r"\$") for name in found.names]
    figure = Figure(figsize=(10.8, 1.2 + 0.36 * len(names)), layout="constrained")
    spend, wins = figure.subplots(1, 2, sharey=True)
    places = list(range(len(names)))
    spend.barh(places, found.spend, color="C0")
    spend.set_yticks(places, names, fontsize=8)
    spend.invert_yaxis()
    spend.set_xlabel("USD", fontsize=8)
    sure = found.uncertainty
    if sure is None or found.level_of is None:
        wins.set_axis_off()
    else:
        for place in places:
            left = 0.0
            for number, (scale, share) in enumerate(sorted(sure.wins(place).items())):
                wins.barh(place, share, left=left, color=f"C{number % 10}", alpha=0.6, edgecolor="white")
                if share > 0.1:
                    wins.text(left + share / 2.0, place, f"{scale:.4g}", ha="center", va="center", fontsize=7)
                left += share
        wins.set_xlabel("share of the draws in which a scale is the best", fontsize=8)
    for axes in (spend, wins):
        axes.tick_params(labelsize=7)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()
