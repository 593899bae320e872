"""Which problems does a cluster pose, and what becomes of each? Nouns, each building on the ones before it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from data.schemas.cluster import Snapshot
from data.schemas.plan import Action, Fallback
from data.transition import apply_actions
from flows.params import TWINS, Params
from flows.watch import Watch
from tasks.earlier_plan import kept_note
from tasks.plan import Part
from tasks.predict import Forecast
from tasks.problems.placement import Placement
from tasks.problems.power import Power
from tasks.problems.protocol import Steady
from tasks.problems.routing import Routing
from tasks.refine import LastPlan, refine_plan

Build = Callable[[Snapshot, Forecast, Params], tuple[Steady[Any], ...]]
"""Turns a state, what is forecast about it and what was asked for into problems; their decisions differ in type."""


def _placement(state: Snapshot, forecast: Forecast, params: Params) -> tuple[Steady[Any], ...]:
    weights = params.placement_weights
    return (Placement.from_snapshot(state, weights, trouble=dict(forecast.domain_scores)),)


def _power(state: Snapshot, _forecast: Forecast, _params: Params) -> tuple[Steady[Any], ...]:
    return (Power.from_snapshot(state),)


def _routing(state: Snapshot, forecast: Forecast, params: Params) -> tuple[Steady[Any], ...]:
    return tuple(_experts(state, deployment.id, forecast, params) for deployment in state.deployments)


def _experts(state: Snapshot, deployment: str, forecast: Forecast, params: Params) -> Routing:
    futures = forecast.scenarios_of(deployment)
    return Routing.from_snapshot(
        state,
        deployment,
        loads=forecast.loads_of(deployment),
        weights=params.routing_weights,
        scenarios=futures.tokens,
        likelihood=futures.likelihood,
        load_error=futures.load_error,
    )


BUILDERS: Mapping[str, Build] = {"placement": _placement, "power": _power, "routing": _routing}


def improve(
    snapshot: Snapshot, forecast: Forecast, params: Params, watch: Watch, earlier: tuple[Action, ...] = ()
) -> list[Part]:
    """Refine each noun that was asked for, on the state that the ones before it leave behind.

    Args:
        snapshot: with the forecast draws filled in.
        forecast: what the forecasters said.
        params: what was asked for.
        watch: told how far the work is; its guard ends the loops.
        earlier: actions of the last plan, starts counted from now; none where there is no such plan.
    """
    nouns = [noun for noun in BUILDERS if noun in params.nouns]
    seeds = np.random.SeedSequence(params.seed).spawn(len(BUILDERS))
    state = snapshot
    parts: list[Part] = []
    for number, noun in enumerate(nouns):
        build = BUILDERS[noun]
        low, high = (0.1 + 0.75 * (number + step) / len(nouns) for step in (0, 1))
        problems = build(state, forecast, params)
        origins = build(snapshot, forecast, params)
        draws = seeds[list(BUILDERS).index(noun)].generate_state(max(1, len(problems)), np.uint64)
        for position, (problem, origin) in enumerate(zip(problems, origins, strict=True)):
            span = ((low + (high - low) * (position + step) / len(problems)) for step in (0, 1))
            progress = watch.within(f"refine {problem.name}", *span)
            part = _part(problem, origin, params, int(draws[position]), watch, progress, earlier)
            parts.append(_within_site_caps(part, state, recaps="power" in nouns) if noun == "placement" else part)
            state = apply_actions(state, parts[-1].actions)
    return parts


def _within_site_caps(part: Part, state: Snapshot, *, recaps: bool) -> Part:
    """Return ``part``, or one that changes nothing if jobs would draw more on nodes or racks than these may.

    Placement knows GPUs and the network; what a rack may draw is known where power is planned.

    Args:
        part: of placement.
        state: before it.
        recaps: whether power caps are planned afterwards, so that jobs can be brought down to their lowest.
    """
    if state.limits.rack_power_cap_w is None and all(node.power_cap_w is None for node in state.nodes):
        return part
    problems = [Power.from_snapshot(each) for each in (state, apply_actions(state, part.actions))]
    before, after = (
        each.lowest_site_overload_kwh() if recaps else each.site_overload_kwh(each.incumbent()) for each in problems
    )
    if after <= before:
        return part
    reason = f"racks or nodes would draw {after:.3f} kWh above their caps, and now {before:.3f} kWh"
    return replace(
        part,
        actions=(),
        after=part.before,
        rows=tuple(replace(row, chosen=row.method == "incumbent") for row in part.rows),
        bounds=(),
        fallbacks=(*part.fallbacks, Fallback("refine placement", "the placement found", "what is in force", reason)),
    )


def _part(
    problem: Steady[Any],
    origin: Steady[Any],
    params: Params,
    seed: int,
    watch: Watch,
    progress: Callable[[str, float], None],
    earlier: tuple[Action, ...],
) -> Part:
    """Refine one problem; ``origin`` is the same problem posed by the cluster as it is now."""
    carried = problem.carried(earlier) if earlier else None
    twins = tuple(solver for solver in TWINS if solver.kind != params.solver.kind)
    refined = refine_plan(
        problem,
        params.solver,
        effort=params.work,
        twins=twins,
        seed=seed,
        expired=watch.expired,
        progress=progress,
        last=None if carried is None else LastPlan(carried, problem.nearer, params.stability),
    )
    actions = problem.actions(refined.decision)
    kept = "" if carried is None else kept_note(problem.name, earlier, problem.actions(carried), actions)
    return Part(
        actions=actions,
        before=origin.figures(origin.incumbent()),
        after=problem.figures(refined.decision),
        rows=refined.rows,
        bounds=(refined.bound,),
        fallbacks=refined.fallbacks,
        notes=(*problem.notes, *([kept] if kept else [])),
    )
