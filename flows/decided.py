"""What was decided in which phase of a run, as lines of its log?"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from data.errors import BadRecord
from data.readers.fleet.fleet_file import FleetReading
from data.readers.reading import Reading
from data.schemas.fleet_plan import FleetPlan
from data.schemas.plan import Action, Bound, Fallback, Plan, SolverRow
from flows.fleet_params import FleetParams
from flows.logs import Line, Value
from flows.params import Params
from tasks.predict import Forecast
from tasks.report.fleet_page import headline
from tasks.report.outcome import INCUMBENT, method_name
from tasks.report.quantities import counted, number, percent
from tasks.validation.verdict import Verdict

MOST_SET_ASIDE = 10
"""Records that get a line of their own; the plan names all."""


def asked(params: Params) -> Line:
    """Return what was asked for."""
    fields: dict[str, Value] = {
        "source": params.source.kind,
        "nouns": params.nouns,
        "solver": params.solver.kind,
        "effort": params.effort,
        "seed": params.seed,
        "output": str(params.output),
    }
    what = f"{', '.join(params.nouns)} of {params.source.kind}"
    return Line(
        "run.started", f"{what}, solver {params.solver.kind}, effort {params.effort}, seed {params.seed}", fields
    )


def read(reading: Reading) -> Iterator[Line]:
    """Yield how much was read, and what of it was set aside."""
    state = reading.snapshot
    gpus, aside = sum(node.gpus for node in state.nodes), len(reading.set_aside)
    fields: dict[str, Value] = {
        "cluster": state.cluster, "nodes": len(state.nodes), "gpus": gpus, "jobs": len(state.jobs),
        "deployments": len(state.deployments), "checkpoints": len(state.checkpoints), "set_aside": aside,
        "taken_at": state.taken_at, "age_s": _age_s(state.taken_at),
    }  # fmt: skip
    counts = f"{counted(len(state.nodes), 'node')}, {counted(gpus, 'GPU')}, {counted(len(state.jobs), 'job')}"
    yield Line("snapshot.read", f"{state.cluster} at {state.taken_at}: {counts}; {aside:,} set aside", fields)
    yield from _set_aside(reading.set_aside)


def fleet_asked(params: FleetParams) -> Line:
    """Return what was asked for of a fleet."""
    fields: dict[str, Value] = {
        "source": params.source.kind,
        "solver": params.solver.kind,
        "effort": params.effort,
        "seed": params.seed,
        "gap": params.gap,
        "output": str(params.output),
    }
    what = f"fleet of {params.source.kind}, solver {params.solver.kind}, effort {params.effort}, seed {params.seed}"
    return Line("run.started", what, fields)


def fleet_read(reading: FleetReading) -> Iterator[Line]:
    """Yield how much was read of a fleet, and what of it was set aside."""
    fleet, aside = reading.fleet, len(reading.set_aside)
    fields: dict[str, Value] = {
        "regions": len(fleet.regions), "offers": len(fleet.offers), "zones": len(fleet.zones),
        "holdings": len(fleet.holdings), "set_aside": aside,
        "taken_at": fleet.taken_at, "age_s": _age_s(fleet.taken_at),
    }  # fmt: skip
    counts = f"{counted(len(fleet.regions), 'region')}, {counted(len(fleet.offers), 'offer')}"
    users = f"{counted(len(fleet.zones), 'zone')} of users; {aside:,} set aside"
    yield Line("fleet.read", f"{fleet.name} at {fleet.taken_at}: {counts}, {users}", fields)
    yield from _set_aside(reading.set_aside)


def fleet_planned(plan: FleetPlan) -> Line:
    """Return how much the plan of a fleet changes."""
    changes = [each.change for each in plan.resource_changes]
    fields: dict[str, Value] = {
        "changes": sum(each.before != each.after for each in changes), "waves": len(plan.waves),
        "nodes_started": sum(max(0, each.after - each.before) for each in changes),
        "nodes_stopped": sum(max(0, each.before - each.after) for each in changes),
        "fallbacks": len(plan.fallbacks), "notes": plan.notes,
    }  # fmt: skip
    return Line("plan.assembled", headline(plan), fields)


def forecast_made(forecast: Forecast) -> Iterator[Line]:
    """Yield who forecast what, and who stood in."""
    assumed = len(forecast.assumed_power)
    yield Line("forecast.made", f"draw assumed for {counted(assumed, 'job')}", {"assumed_power": assumed})
    yield from _fallbacks(forecast.fallbacks)


def refined(rows: Sequence[SolverRow], bounds: Sequence[Bound], fallbacks: Sequence[Fallback]) -> Iterator[Line]:
    """Yield for each problem whose decision the plan takes, what it gains, and how far it is from the bound."""
    gaps = {bound.problem: bound.gap for bound in bounds}
    before = {row.problem: row.cost for row in rows if row.method == INCUMBENT}
    for row in rows:
        if row.chosen:
            was, gap = before.get(row.problem, row.cost), gaps.get(row.problem)
            fields: dict[str, Value] = {
                "problem": row.problem, "solver": row.method, "cost_before": was, "cost": row.cost,
                "gain": was - row.cost, "gap": gap, "windows": row.windows, "accepted": row.accepted,
            }  # fmt: skip
            gained = f"cost {number(was)} -> {number(row.cost)}, {percent(was - row.cost, was)} less"
            left = "bound unknown" if gap is None else f"at most {percent(gap, 1.0 + gap)} is left to gain"
            kept = "keeps what is in force" if row.method == INCUMBENT else f"by {method_name(row.method)}"
            yield Line("problem.refined", f"{row.problem}: {kept}: {gained}; {left}", fields)
    yield from _fallbacks(fallbacks)


def archived(actions: Sequence[Action], set_aside: Sequence[BadRecord]) -> Iterator[Line]:
    """Yield how many checkpoints were archived, and which were not; nothing where none was to be."""
    if actions or set_aside:
        fields: dict[str, Value] = {"archives": len(actions), "set_aside": len(set_aside)}
        yield Line("checkpoints.archived", f"{counted(len(actions), 'archive')}; {len(set_aside):,} set aside", fields)
    yield from _set_aside(set_aside)


def planned(plan: Plan) -> Line:
    """Return how much the plan changes."""
    kinds: dict[str, int] = {}
    for action in plan.actions:
        kinds[action.kind] = kinds.get(action.kind, 0) + 1
    fields: dict[str, Value] = {"actions": len(plan.actions), "fallbacks": len(plan.fallbacks), "notes": plan.notes}
    told = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items())) or "nothing is changed"
    return Line("plan.assembled", f"{counted(len(plan.actions), 'action')}: {told}", fields | dict(kinds))


def judged(verdict: Verdict) -> Line:
    """Return what the validator says."""
    failed = [f"{check.name}: {check.detail}" for check in verdict.checks if not check.passed]
    fields: dict[str, Value] = {"checks": len(verdict.checks), "failed": failed}
    if failed:
        return Line("plan.validated", f"refused: {'; '.join(failed)}", fields, "error")
    return Line("plan.validated", f"passes {counted(len(verdict.checks), 'check')}", fields)


def _fallbacks(fallbacks: Sequence[Fallback]) -> Iterator[Line]:
    for each in fallbacks:
        fields: dict[str, Value] = {"stage": each.stage, "wanted": each.wanted, "used": each.used}
        told = f"{each.stage}: {each.used} instead of {each.wanted}: {each.reason}"
        yield Line("fallback", told, fields | {"reason": each.reason}, "warning")


def _set_aside(records: Sequence[BadRecord]) -> Iterator[Line]:
    for each in records[:MOST_SET_ASIDE]:
        fields: dict[str, Value] = {"record": each.path, "expected": each.expected, "found": each.found}
        yield Line("record.set_aside", str(each), fields, "warning")
    if len(records) > MOST_SET_ASIDE:
        left = len(records) - MOST_SET_ASIDE
        yield Line("record.set_aside", f"{left:,} more records were set aside; plan.json names all", level="warning")


def _age_s(taken_at: str) -> float | None:
    """Return how old a state is; one that names no zone is taken for UTC."""
    moment = datetime.fromisoformat(taken_at)
    return round((datetime.now(UTC) - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))).total_seconds(), 1)
