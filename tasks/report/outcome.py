"""What did each solver reach, honestly? Sentences from the rows of the solver table, and the figures that changed."""

from collections.abc import Sequence
from dataclasses import dataclass

from data.schemas.plan import Bound, Metric, Plan, SolverRow
from tasks.report.plain import one_line
from tasks.report.quantities import counted, number, percent, quantity

INCUMBENT = "incumbent"
CLASSICAL = "classical search"
LAST_PLAN, NEAR_LAST_PLAN = "last plan", "drawn to the last plan"

_EQUAL = 1e-9
"""Relative difference below which two costs are the same: rounding."""

_PROVEN = 1e-5
"""Relative gap below which a bound counts as met: solvers of integers round costs by about as much."""

_NAMES = {"qaoa": "QAOA", "anneal": "simulated annealing", "exact": "exact enumeration"}

LABELS = {
    "placement.cross_domain_traffic_gb_per_s": "traffic between NVLink domains",
    "placement.racks_per_gang": "racks per gang",
    "placement.domains_per_gang": "NVLink domains per gang",
    "placement.whole_domains": "wholly free NVLink domains",
    "placement.whole_domain_gpus": "GPUs in wholly free domains",
    "placement.stranded_gpus": "free GPUs in broken-up domains",
    "placement.waiting_gpus": "GPUs that waiting jobs lack",
    "placement.moved_gpus": "GPUs of running jobs moved",
    "placement.uneven_gangs": "gangs in uneven slices",
    "placement.whole_gangs_fit": "whole-domain gangs that fit now",
    "placement.migration_gpu_h": "GPU time that migrations lose",
    "power.peak_w": "peak draw",
    "power.overload_kwh": "energy above the cap",
    "power.energy_kwh": "energy over the horizon",
    "power.weighted_completion_h": "completion time, by GPUs and priority",
    "power.peak_high_w": "peak draw at the stated quantile",
    "power.site_overload_kwh": "energy above caps of racks and nodes",
    "power.energy_usd": "cost of energy",
    "power.carbon_kg": "carbon dioxide",
    "power.missed_deadlines": "deadlines missed",
    "power.jobs_energy_kwh": "energy of all jobs until they end",
    "checkpoint.bytes": "checkpoint bytes",
}
_ROUTING = {
    "balancedness": "expert load balance",
    "crossing_share": "tokens that leave their NVLink domain",
    "moved_replicas": "expert replicas moved",
    "unserved_experts": "experts without a live replica",
}
_PRICES = (".moved_gpus", ".moved_replicas", ".migration_gpu_h")
"""What a plan pays for the rest; its budget bounds it."""

_KEY_FIGURES = (
    "placement.whole_domain_gpus",
    "placement.cross_domain_traffic_gb_per_s",
    "placement.racks_per_gang",
    "placement.waiting_gpus",
    "power.overload_kwh",
    "power.peak_w",
    "power.weighted_completion_h",
    "power.energy_kwh",
    "checkpoint.bytes",
)


@dataclass(frozen=True, slots=True)
class FigureChange:
    """A metric as a row of a table; ``verdict`` is better, worse, price or same."""

    name: str
    label: str
    before: str
    after: str
    change: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was reached on one problem.

    Args:
        problem: its name.
        sentences: what the rows say, in plain words.
        rows: one per method.
        bound: the proven lower bound, if there is one.
    """

    problem: str
    sentences: tuple[str, ...]
    rows: tuple[SolverRow, ...]
    bound: Bound | None


def label(name: str) -> str:
    """Return a metric's name in words."""
    if name in LABELS:
        return LABELS[name]
    noun, _, rest = name.partition(".")
    deployment, _, figure = rest.rpartition(".")
    if noun == "routing" and figure in _ROUTING:
        return one_line(f"{_ROUTING[figure]}, {deployment}")
    return one_line(name)


def figure_change(metric: Metric) -> FigureChange:
    """Return ``metric`` as a row of a table."""
    difference = metric.after - metric.before
    same = abs(difference) <= _EQUAL * max(1.0, abs(metric.before))
    improves = (difference < 0) == (metric.better == "lower")
    verdict = "same" if same else "better" if improves else "price" if metric.name.endswith(_PRICES) else "worse"
    if same:
        change = "unchanged"
    elif metric.before:
        change = f"{'+' if difference > 0 else '-'}{percent(abs(difference), metric.before)}"
    else:
        change = f"{'+' if difference > 0 else '-'}{quantity(abs(difference), metric.unit)}"
    return FigureChange(
        one_line(metric.name),
        label(metric.name),
        one_line(quantity(metric.before, metric.unit)),
        one_line(quantity(metric.after, metric.unit)),
        one_line(change),
        verdict,
    )


def key_figures(plan: Plan, most: int) -> tuple[FigureChange, ...]:
    """Return the ``most`` figures that an operator asks for first; those that changed go before the others."""
    known = {metric.name: metric for metric in plan.metrics}
    balance = [name for name in known if name.startswith("routing.") and name.endswith(".balancedness")]
    names = [name for name in (*_KEY_FIGURES[:4], *balance[:2], *_KEY_FIGURES[4:]) if name in known]
    rows = [figure_change(known[name]) for name in names]
    return tuple(sorted(rows, key=lambda row: row.verdict == "same")[:most])


def method_name(method: str) -> str:
    """Return a method of the solver table in words; stand-ins keep what they stand in for."""
    solver, windows, stand_in = method.partition(" on windows")
    name = _NAMES.get(solver, solver)
    wanted = stand_in.removeprefix(", standing in for ")
    if stand_in != wanted:
        return one_line(f"{name}{windows}, standing in for {_NAMES.get(wanted, wanted)}")
    return one_line(f"{name}{windows}{stand_in}")


def outcomes(plan: Plan) -> tuple[Outcome, ...]:
    """Return what was reached on each problem, in the order of the plan."""
    bounds = {bound.problem: bound for bound in plan.bounds}
    problems = dict.fromkeys(row.problem for row in plan.solvers)
    return tuple(
        _outcome(problem, tuple(row for row in plan.solvers if row.problem == problem), bounds.get(problem))
        for problem in problems
    )


def _outcome(problem: str, rows: tuple[SolverRow, ...], bound: Bound | None) -> Outcome:
    by_method = {row.method: row for row in rows}
    sentences: list[str] = []
    incumbent, classical = by_method.get(INCUMBENT), by_method.get(CLASSICAL)
    last = by_method.get(LAST_PLAN)
    if incumbent and last:
        sentences.append(_last_sentence(incumbent.cost, last.cost))
    before = last or incumbent
    if before and classical:
        sentences.append(_search_sentence(before.cost, classical.cost, "the last plan" if last else "what is in force"))
    start = classical or incumbent
    if start:
        settled = (INCUMBENT, LAST_PLAN, CLASSICAL, NEAR_LAST_PLAN)
        sentences += _window_sentences(start.cost, [row for row in rows if row.method not in settled])
    chosen = next((row for row in rows if row.chosen), None)
    if chosen:
        sentences.append(f"The plan {_taken(chosen.method)}.")
    if bound:
        sentences.append(_bound_sentence(bound, chosen.cost if chosen else None))
    return Outcome(one_line(problem), tuple(sentences), rows, bound)


def _taken(method: str) -> str:
    if method == INCUMBENT:
        return "keeps what is in force"
    if method == LAST_PLAN:
        return "keeps to the last plan: nothing was found that is better by more than the stability asked for"
    if method == NEAR_LAST_PLAN:
        return "takes the best that was found, with as much kept from the last plan as the stability asked for allows"
    return f"takes what {_who(method)} found"


def _last_sentence(before: float, after: float) -> str:
    return f"What still fits of the last plan lowers the cost by {_share(before - after, before)}."


def _search_sentence(before: float, after: float, than: str) -> str:
    if not _less(after, before):
        return f"The classical search found nothing better than {than}."
    return f"The classical search lowered the cost by {_share(before - after, before)}."


def _window_sentences(start: float, rows: Sequence[SolverRow]) -> list[str]:
    tied = [row for row in rows if not _less(row.cost, start) and row.windows]
    idle = [row for row in rows if not row.windows]
    better = sorted((row for row in rows if _less(row.cost, start)), key=lambda row: row.cost)
    sentences: list[str] = []
    for row in better:
        gain = _share(start - row.cost, start)
        accepted = f"{row.accepted} of {counted(row.windows, 'window')} accepted"
        same = [one for one in better if one is not row and abs(one.cost - row.cost) <= _EQUAL * max(1.0, abs(start))]
        found = f"; {_listed([_who(one.method) for one in same])} reached the same" if same and row is better[0] else ""
        sentences.append(f"{_capital(_who(row.method))} improved on that by {gain} ({accepted}){found}.")
    if tied:
        names = _listed([_who(row.method) for row in tied])
        sentences.append(f"{_capital(names)} tied with the classical search.")
    if idle:
        verb = "answered no window"
        sentences.append(f"{_capital(_listed([_who(row.method) for row in idle]))} {verb}.")
    return sentences


def _bound_sentence(bound: Bound, cost: float | None) -> str:
    met = cost is not None and not _less(bound.value, cost)
    if bound.gap is None and not met:
        return f"No useful lower bound is known ({one_line(bound.method)} gives {number(bound.value)})."
    if met or (bound.gap is not None and bound.gap <= _PROVEN):
        return f"The plan meets the proven lower bound {number(bound.value)}: nothing better exists."
    if cost:
        left = percent(cost - bound.value, cost)
        return f"No decision costs less than {number(bound.value)}: at most {left} is left to gain."
    return f"No decision costs less than {number(bound.value)}."


def _who(method: str) -> str:
    name = method_name(method)
    return "the classical search" if method == CLASSICAL else name.removesuffix(" on windows")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _share(gain: float, of: float) -> str:
    return percent(gain, of) if of else number(gain)


def _less(cost: float, than: float) -> bool:
    return cost < than - _EQUAL * max(1.0, abs(than))
