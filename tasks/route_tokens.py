"""How is a stream of tokens routed? A classical router for all of them, then windows of the fullest experts' tokens."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.schemas.plan import Bound, Fallback, SolverRow
from data.schemas.tokens import NOWHERE, ExpertGraph, Floats, Integers, Tokens
from data.whole_file import whole_file
from qiskit_solvers.anneal import Anneal
from qiskit_solvers.exact import Exact
from qiskit_solvers.qaoa import Qaoa
from qiskit_solvers.solver import Solver
from tasks.problems.tokens import TokenWeights, TokenWindow, domains_of
from tasks.refine import Effort, refine
from tasks.token_routing.routers import BoundedHash, HashRouter, Router
from tasks.token_routing.settings import MOST_IN_WINDOW, Settings

ROUTERS: dict[str, Router] = {"hash": HashRouter(), "bounded-hash": BoundedHash()}


@dataclass(frozen=True, slots=True)
class Measures:
    """What a routing of a whole stream is like.

    Args:
        fullest: the fullest expert's work over its share.
        crossing_share: share of the work of known origin that goes to another domain.
        mean_way: mean distance by work, 0 to 1.
    """

    fullest: float
    crossing_share: float
    mean_way: float


@dataclass(frozen=True, slots=True, eq=False)
class RoutedTokens:
    """A stream, routed.

    Args:
        expert_of: expert of each token, ``(tokens,)``.
        settings: how it was routed.
        before: as the classical router sent it.
        after: as it is sent.
        window_tokens: tokens that were refined.
        rows: what each method reached on them.
        bound: proven for them; None where nothing was refined.
        fallbacks: solvers that failed.
    """

    expert_of: Integers
    settings: Settings
    before: Measures
    after: Measures
    window_tokens: int
    rows: tuple[SolverRow, ...]
    bound: Bound | None
    fallbacks: tuple[Fallback, ...]


def route(
    tokens: Tokens,
    graph: ExpertGraph,
    settings: Settings,
    rng: np.random.Generator,
    *,
    effort: Effort,
    weights: TokenWeights = TokenWeights(),  # noqa: B008  # frozen
    expired: Callable[[], bool] = lambda: False,
) -> RoutedTokens:
    """Return where each token goes; never dearer than what the classical router said.

    Args:
        tokens: the stream.
        graph: the experts.
        settings: which router starts, and who refines.
        rng: all chance.
        effort: of the refinement.
        weights: of ways and contention.
        expired: asked before each window.
    """
    start = ROUTERS[settings.start](tokens, graph)
    before = measured(tokens, graph, start)
    if settings.refine == "none":
        return RoutedTokens(start, settings, before, before, 0, (), None, ())
    rows = _hottest(tokens, graph, start)
    problem = _window(tokens, graph, start, rows, weights)
    solver: Solver = Qaoa(layers=settings.layers) if settings.refine == "quantum" else Anneal()
    twins = tuple(twin for twin in (Anneal(), Exact()) if twin.kind != solver.kind)
    refined = refine(problem, solver, rng, effort=effort, twins=twins, expired=expired)
    routed = start.copy()
    routed[rows] = refined.decision.expert_of
    after = measured(tokens, graph, routed)
    return RoutedTokens(routed, settings, before, after, rows.size, refined.rows, refined.bound, refined.fallbacks)


def measured(tokens: Tokens, graph: ExpertGraph, expert_of: Integers) -> Measures:
    """Return what a routing is like; experts ``(tokens,)``."""
    work = tokens.complexity
    load = np.bincount(expert_of, work, minlength=len(graph.experts))
    known = tokens.origin != NOWHERE
    some = float(work[known].sum()) or 1.0
    origin, target = tokens.origin[known], expert_of[known]
    crosses = graph.place_domain[origin] != graph.domain[target]
    return Measures(
        fullest=float((load / (graph.share * load.sum())).max()),
        crossing_share=float(work[known] @ crosses / some),
        mean_way=float(work[known] @ graph.distance[origin, target] / some),
    )


def adjacency(tokens: Tokens, graph: ExpertGraph, expert_of: Integers) -> dict[str, list[str]]:
    """Return the ids of the tokens of each expert, in the order in which they came; every expert has a list."""
    order = np.argsort(expert_of, kind="stable")
    cuts = np.cumsum(np.bincount(expert_of, minlength=len(graph.experts)))[:-1]
    queues = np.split(tokens.ids[order], cuts)
    return {expert: queue.tolist() for expert, queue in zip(graph.experts, queues, strict=True)}


def write_routing(
    path: Path,
    tokens: Tokens,
    graph: ExpertGraph,
    routed: RoutedTokens,
    *,
    left_out: int,
    set_aside: Sequence[str] = (),
) -> None:
    """Write the queues of the experts and the account of how they came about, as JSON, whole or not at all.

    Args:
        path: of the file.
        tokens: the stream.
        graph: the experts.
        routed: who goes where.
        left_out: tokens of the file that could not be used.
        set_aside: what was wrong with the first of them.
    """
    told = {
        "tokens": len(tokens),
        "left_out": left_out,
        "set_aside": list(set_aside),
        "settings": asdict(routed.settings),
        "before": asdict(routed.before),
        "after": asdict(routed.after),
        "window_tokens": routed.window_tokens,
        "solvers": [asdict(row) for row in routed.rows],
        "bound": None if routed.bound is None else asdict(routed.bound),
        "fallbacks": [asdict(fallback) for fallback in routed.fallbacks],
        "experts": adjacency(tokens, graph, routed.expert_of),
    }
    with whole_file(path) as file:
        file.write(json.dumps(told).encode() + b"\n")


def _hottest(tokens: Tokens, graph: ExpertGraph, expert_of: Integers) -> Integers:
    """Return the tokens to refine, at most :data:`MOST_IN_WINDOW`: those of the experts fullest for their share."""
    if len(tokens) <= MOST_IN_WINDOW:
        return np.arange(len(tokens))
    load = np.bincount(expert_of, tokens.complexity, minlength=len(graph.experts))
    fullness = load / graph.share
    return np.sort(np.argsort(-fullness[expert_of], kind="stable")[:MOST_IN_WINDOW])


def _window(
    tokens: Tokens, graph: ExpertGraph, expert_of: Integers, rows: Integers, weights: TokenWeights
) -> TokenWindow:
    others = np.ones(len(tokens), bool)
    others[rows] = False
    work, target = tokens.complexity[others], expert_of[others]
    load: Floats = np.bincount(target, work, minlength=len(graph.experts)).astype(np.float64)
    origin = tokens.origin[others]
    crosses = (origin != NOWHERE) & (graph.place_domain[origin] != graph.domain[target])
    inflow = np.bincount(graph.domain[target], work * crosses, minlength=domains_of(graph)).astype(np.float64)
    return TokenWindow(tokens.take(rows), graph, expert_of[rows], load, inflow, weights)


@task(name="route-tokens", cache_policy=NO_CACHE)
def route_stream(
    tokens: Tokens,
    graph: ExpertGraph,
    settings: Settings,
    *,
    effort: Effort,
    weights: TokenWeights,
    seed: int,
    expired: Callable[[], bool],
) -> RoutedTokens:
    """Run :func:`route` as a Prefect task."""
    rng = np.random.default_rng(seed)
    return route(tokens, graph, settings, rng, effort=effort, weights=weights, expired=expired)
