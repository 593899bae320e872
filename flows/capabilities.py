"""Which problems does a cluster pose, and what becomes of each? Nouns, each building on the ones before it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from data.schemas.cluster import Snapshot
from data.schemas.plan import Action, Fallback
from data.transition import apply_actions
from flows.params import Params
from flows.refining import Posed, refining
from flows.stages import NONE_KEPT, Stages
from flows.watch import Watch
from tasks.earlier_plan import kept_note
from tasks.plan import Part
from tasks.predict import Forecast
from tasks.problems.placement import Placement
from tasks.problems.power import Power
from tasks.problems.protocol import Steady
from tasks.problems.routing import Routing
from tasks.refine import Refined

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

EARLY = {"placement": 0, "routing": 1, "power": 2}
"""In which order a team begins nouns before their turn: placement comes first anyway; where experts stand rarely turns
on it, and when jobs can start often does."""


def improve(
    snapshot: Snapshot,
    forecast: Forecast,
    params: Params,
    watch: Watch,
    earlier: tuple[Action, ...] = (),
    stages: Stages = NONE_KEPT,
) -> list[Part]:
    """Refine each noun that was asked for, on the state that the ones before it leave behind.

    Args:
        snapshot: with the forecast draws filled in.
        forecast: what the forecasters said.
        params: what was asked for.
        watch: told how far the work is; its guard ends the loops.
        earlier: actions of the last plan, starts counted from now; none where there is no such plan.
        stages: parts that an earlier try of this run has found already.
    """
    nouns = [noun for noun in BUILDERS if noun in params.nouns]
    seeds = np.random.SeedSequence(params.seed).spawn(len(BUILDERS))
    origins = {noun: BUILDERS[noun](snapshot, forecast, params) for noun in nouns}
    state = snapshot
    parts: list[Part] = []

    def posed(noun: str, problems: tuple[Steady[Any], ...]) -> list[Posed]:
        draws = seeds[list(BUILDERS).index(noun)].generate_state(max(1, len(problems)), np.uint64)
        return [
            Posed(problem, int(draw), problem.carried(earlier) if earlier else None)
            for problem, draw in zip(problems, draws.tolist(), strict=False)
        ]

    with refining(params, watch) as work:
        if work.team is not None:
            for noun in nouns:
                for position, one in enumerate(posed(noun, origins[noun])):
                    work.begin(noun, position, one, urgency=EARLY[noun])
        for number, noun in enumerate(nouns):
            low, high = (0.1 + 0.75 * (number + step) / len(nouns) for step in (0, 1))
            problems = posed(noun, BUILDERS[noun](state, forecast, params))
            for position, one in enumerate(problems):
                work.begin(noun, position, one)
            for position, (one, origin) in enumerate(zip(problems, origins[noun], strict=True)):
                first, last = (low + (high - low) * (position + step) / len(problems) for step in (0, 1))

                def found(
                    noun: str = noun,
                    position: int = position,
                    one: Posed = one,
                    origin: Steady[Any] = origin,
                    span: tuple[float, float] = (first, last),
                    state: Snapshot = state,
                ) -> Part:
                    part = _part(one, origin, work.refined(noun, position, one, span), earlier)
                    return _within_site_caps(part, state, recaps="power" in nouns) if noun == "placement" else part

                inputs = (params.options(), one.problem.name, one.seed, snapshot, state, earlier)
                parts.append(stages.part(one.problem.name, inputs, found))
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


def _part(posed: Posed, origin: Steady[Any], refined: Refined[Any], earlier: tuple[Action, ...]) -> Part:
    """Return what becomes of one problem; ``origin`` is the same problem posed by the cluster as it is now."""
    problem = posed.problem
    actions = problem.actions(refined.decision)
    kept = ""
    if posed.carried is not None:
        kept = kept_note(problem.name, earlier, problem.actions(posed.carried), actions)
    return Part(
        actions=actions,
        before=origin.figures(origin.incumbent()),
        after=problem.figures(refined.decision),
        rows=refined.rows,
        bounds=(refined.bound,),
        fallbacks=refined.fallbacks,
        notes=(*problem.notes, *([kept] if kept else [])),
    )
