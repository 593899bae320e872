"""Which expert shall each token of a window go to?

The decision is the expert of each token. The cost counts the share of time that is lost:

- *congestion*: ``sum of load^2 / (share * work^2) - 1`` over the experts: nought where each has its share of the work,
  and the squared coefficient of variation of the loads where all have the same capacity;
- *way*: ``way_weight *`` the mean distance of a token's origin to its expert, 0 to 1, by work;
- *contention*: ``contention_weight *`` the sum over domains of ``(work that enters from other domains / work)^2``,
  since what enters a domain shares its uplinks.

All of it is quadratic in who goes where, so the Ising model of a window is exact for every string: ``h`` holds what
each move does by itself, ``J`` how two moves crowd the same expert or the same uplinks. Tokens outside of the window
stay where they are and count as load.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numba import njit

from data.schemas.plan import Action
from data.schemas.tokens import NOWHERE, ExpertGraph, Floats, Integers, Tokens
from tasks.compiled import inner
from tasks.problems.moves import fusion_window
from tasks.problems.protocol import Figure, Found, Window

HOT, COLD = 1e-2, 1e-6
"""Temperatures between which the search cools, as shares of what the start costs."""


@dataclass(frozen=True, slots=True)
class TokenWeights:
    """What a token's way and crowded uplinks weigh against uneven experts."""

    way: float = 0.2
    contention: float = 0.2

    def __post_init__(self) -> None:
        if not (self.way >= 0.0 and self.contention >= 0.0):
            raise ValueError(f"weights: expected at least 0, got {self.way} and {self.contention}")


class _Arrays(NamedTuple):
    """The window as the compiled arithmetic takes it; work and distances as shares of the whole."""

    work: Floats  # (tokens,) of all work, that of the others included
    way: Floats  # (tokens, experts) weighted
    far: Integers  # (tokens, experts) 1 where the expert is in another domain
    share: Floats  # (experts,)
    domain: Integers  # (experts,)
    base_load: Floats  # (experts,)
    base_inflow: Floats  # (domains,)
    contention: float


@dataclass(frozen=True, slots=True, eq=False)
class Assigned:
    """The expert of each token, ``(tokens,)``; read-only."""

    expert_of: Integers


@dataclass(frozen=True, slots=True, eq=False)
class _Move:
    token: int
    before: int
    after: int


@dataclass(frozen=True, slots=True, eq=False)
class TokenWindow:
    """The noun of a window of tokens; see the module for what it costs.

    Args:
        tokens: of the window.
        graph: the experts.
        in_force: expert of each token as a router sent it, ``(tokens,)``.
        base_load: work of other tokens on each expert, ``(experts,)``; None for none.
        base_inflow: work of other tokens that enters each domain from others, ``(domains,)``; None for none.
        weights: of ways and contention.

    Raises:
        ValueError: shapes do not agree, or an expert does not exist.
    """

    tokens: Tokens
    graph: ExpertGraph
    in_force: Integers
    base_load: Floats | None = None
    base_inflow: Floats | None = None
    weights: TokenWeights = TokenWeights()
    name: str = "tokens"
    notes: tuple[str, ...] = ()
    _arrays: _Arrays = field(init=False, repr=False)

    def __post_init__(self) -> None:
        experts, domains = len(self.graph.experts), domains_of(self.graph)
        if self.in_force.shape != (len(self.tokens),):
            raise ValueError(f"in_force: expected shape ({len(self.tokens)},), got {self.in_force.shape}")
        if len(self.tokens) == 0 or not 0 <= self.in_force.min() <= self.in_force.max() < experts:
            raise ValueError(f"in_force: expected at least one token, and experts below {experts}")
        load = np.zeros(experts) if self.base_load is None else self.base_load
        entering = np.zeros(domains) if self.base_inflow is None else self.base_inflow
        if load.shape != (experts,) or entering.shape != (domains,):
            raise ValueError(f"base: expected shapes ({experts},) and ({domains},), got {load.shape}, {entering.shape}")
        whole = float(self.tokens.complexity.sum() + load.sum())
        work = self.tokens.complexity / whole
        arrays = _Arrays(
            work=work,
            way=self.weights.way * work[:, None] * ways(self.tokens, self.graph),
            far=abroad(self.tokens, self.graph),
            share=self.graph.share,
            domain=self.graph.domain,
            base_load=load / whole,
            base_inflow=entering / whole,
            contention=self.weights.contention,
        )
        object.__setattr__(self, "_arrays", arrays)

    def incumbent(self) -> Assigned:
        """Return what the router said."""
        return _frozen(self.in_force.copy())

    def cost(self, decision: Assigned) -> float:
        """Return the exact cost; see the module."""
        arrays, rows = self._arrays, np.arange(len(self.tokens))
        load = arrays.base_load + np.bincount(decision.expert_of, arrays.work, minlength=arrays.share.size)
        inflow = arrays.base_inflow + np.bincount(
            arrays.domain[decision.expert_of],
            arrays.work * arrays.far[rows, decision.expert_of],
            minlength=arrays.base_inflow.size,
        )
        congestion = float(np.square(load) @ (1.0 / arrays.share)) - 1.0
        contention = arrays.contention * float(inflow @ inflow)
        return congestion + contention + float(arrays.way[rows, decision.expert_of].sum())

    def bound(self) -> float:
        """Return what no assignment can avoid: every token's shortest way, no congestion, the others' contention."""
        arrays = self._arrays
        others = arrays.contention * float(arrays.base_inflow @ arrays.base_inflow)
        return max(0.0, float(arrays.way.min(axis=1).sum()) + others)

    def search(self, decision: Assigned, evaluations: int, rng: np.random.Generator) -> Found[Assigned]:
        """Anneal over moves of single tokens (Kirkpatrick et al. 1983, doi 10.1126/science.220.4598.671)."""
        if evaluations == 0 or len(self.graph.experts) == 1:
            return Found(decision, 0, 0)
        start = self.cost(decision)
        scale = max(start, 1e-9) / len(self.tokens)
        best, records = _anneal(
            decision.expert_of, self._arrays, evaluations, 1e2 * HOT * scale, 1e2 * COLD * scale, rng
        )
        found = _frozen(best)
        if self.cost(found) < start:
            return Found(found, evaluations, int(records))
        return Found(decision, evaluations, 0)

    def window(self, decision: Assigned, size: int, rng: np.random.Generator) -> Window[Assigned]:
        """Return the window of the best of many drawn moves, one for each token at most, with some chance."""
        experts = len(self.graph.experts)
        if experts == 1:
            return fusion_window(decision, [], self._apply, self.cost)
        tokens = rng.integers(len(self.tokens), size=64 * size)
        after = rng.integers(experts - 1, size=64 * size)
        before = decision.expert_of[tokens]
        after = after + (after >= before)
        gains = _differences(decision.expert_of, self._arrays, tokens, after)
        spread = float(gains.std()) or 1.0
        chosen: dict[int, _Move] = {}
        for index in np.argsort(gains - 0.05 * spread * rng.gumbel(size=gains.size), kind="stable"):
            token = int(tokens[index])
            chosen.setdefault(token, _Move(token, int(before[index]), int(after[index])))
            if len(chosen) == size:
                break
        return fusion_window(decision, list(chosen.values()), self._apply, self.cost)

    def actions(self, decision: Assigned) -> tuple[Action, ...]:  # noqa: ARG002  # the protocol's
        """Return nothing: who goes where is the answer itself, and nothing in the cluster changes."""
        return ()

    def figures(self, decision: Assigned) -> tuple[Figure, ...]:
        """Return the fullest expert over its share, the share of work that changes domain, and the mean way."""
        rows = np.arange(len(self.tokens))
        work = self.tokens.complexity
        load = np.asarray(np.bincount(decision.expert_of, work, minlength=len(self.graph.experts)), np.float64)
        load = load if self.base_load is None else load + self.base_load
        far = abroad(self.tokens, self.graph)[rows, decision.expert_of]
        way = ways(self.tokens, self.graph)[rows, decision.expert_of]
        return (
            Figure("tokens.fullest", "x share", float((load / (self.graph.share * load.sum())).max()), "lower"),
            Figure("tokens.crossing_share", "share", float(work @ far / work.sum()), "lower"),
            Figure("tokens.mean_way", "of the longest", float(work @ way / work.sum()), "lower"),
        )

    def _apply(self, decision: Assigned, move: _Move) -> Assigned | None:
        if decision.expert_of[move.token] != move.before:
            return None
        moved = decision.expert_of.copy()
        moved[move.token] = move.after
        return _frozen(moved)


def domains_of(graph: ExpertGraph) -> int:
    """Return how many domains there are."""
    return 1 + int(max(graph.domain.max(), graph.place_domain.max(initial=0)))


def ways(tokens: Tokens, graph: ExpertGraph) -> Floats:
    """Return how far each token is from each expert, 0 where its origin is unknown, ``(tokens, experts)``."""
    near = np.zeros((len(tokens), len(graph.experts)))
    known = tokens.origin != NOWHERE
    near[known] = graph.distance[tokens.origin[known]]
    return near


def abroad(tokens: Tokens, graph: ExpertGraph) -> Integers:
    """Return 1 where an expert is in another domain than a token of known origin, ``(tokens, experts)``."""
    home = np.where(tokens.origin == NOWHERE, NOWHERE, graph.place_domain[tokens.origin])
    return np.asarray((home[:, None] != graph.domain[None, :]) & (home[:, None] != NOWHERE), np.int64)


def _frozen(expert_of: Integers) -> Assigned:
    expert_of.flags.writeable = False
    return Assigned(expert_of)


@inner
def _difference(token: int, before: int, after: int, load: Floats, inflow: Floats, arrays: _Arrays) -> float:
    """Return what sending one token from ``before`` to ``after`` adds to the cost."""
    work = arrays.work[token]
    change = work * (work - 2.0 * load[before]) / arrays.share[before]
    change += work * (work + 2.0 * load[after]) / arrays.share[after]
    change += arrays.way[token, after] - arrays.way[token, before]
    one, two = arrays.domain[before], arrays.domain[after]
    if one != two:
        leaves, enters = work * arrays.far[token, before], work * arrays.far[token, after]
        change += arrays.contention * (leaves * (leaves - 2.0 * inflow[one]) + enters * (enters + 2.0 * inflow[two]))
    return float(change)


@inner
def _state(expert_of: Integers, arrays: _Arrays) -> tuple[Floats, Floats]:
    load, inflow = arrays.base_load.copy(), arrays.base_inflow.copy()
    for token in range(expert_of.size):
        load[expert_of[token]] += arrays.work[token]
        inflow[arrays.domain[expert_of[token]]] += arrays.work[token] * arrays.far[token, expert_of[token]]
    return load, inflow


@njit(cache=True)
def _differences(expert_of: Integers, arrays: _Arrays, tokens: Integers, after: Integers) -> Floats:
    load, inflow = _state(expert_of, arrays)
    changes = np.empty(tokens.size)
    for index in range(tokens.size):
        token = tokens[index]
        changes[index] = _difference(token, expert_of[token], after[index], load, inflow, arrays)
    return changes


@njit(cache=True)
def _anneal(
    start: Integers, arrays: _Arrays, evaluations: int, hot: float, cold: float, rng: np.random.Generator
) -> tuple[Integers, int]:
    """Cool from ``hot`` to ``cold``; return where that ends, and how often it was lower than ever before."""
    current = start.copy()
    load, inflow = _state(current, arrays)
    experts = arrays.share.size
    rise, lowest, records = 0.0, 0.0, 0
    for step in range(evaluations):
        temperature = hot * (cold / hot) ** (step / evaluations)
        token = rng.integers(0, current.size)
        before = current[token]
        after = rng.integers(0, experts - 1)
        if after >= before:
            after += 1
        change = _difference(token, before, after, load, inflow, arrays)
        if change < 0.0 or rng.random() < np.exp(-change / temperature):
            work = arrays.work[token]
            load[before] -= work
            load[after] += work
            inflow[arrays.domain[before]] -= work * arrays.far[token, before]
            inflow[arrays.domain[after]] += work * arrays.far[token, after]
            current[token] = after
            rise += change
            if rise < lowest:
                lowest = rise
                records += 1
    return current, records
