"""What does the routing kernel work on? The fixed layout of a deployment, and a map with all that its cost needs.

Tokens of expert ``e`` of a layer are spread evenly over its replicas, so its share in domain ``d`` is
``presence / counts``; a transition to ``f`` crosses where ``d`` holds no replica of ``f`` in the next layer. Given
the neighbouring layers, the crossings of a layer are therefore a sum over its experts, which is what makes exact
differences cheap: ``leaving[l, e, d]`` is what crosses if all of ``e`` is in ``d``, and ``arriving[l, f, d]`` is what
crosses if ``f`` is absent from ``d``.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

UNCHANGED = 1e-12
"""Smaller differences in cost than this are rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Transitions:
    """Tokens that go from expert ``source`` of ``layer`` to expert ``target`` of the next; all ``(transitions,)``."""

    layer: Integers
    source: Integers
    target: Integers
    tokens: Floats


@dataclass(frozen=True, slots=True)
class Prices:
    """What the parts of the cost weigh, in layers' worth of time; see :mod:`tasks.problems.routing`.

    Args:
        move: cost of one moved replica.
        traffic: cost, per layer, if every token crosses; that of a layer whose replicas all stray from their groups.
        risk: share of the worst scenario in the imbalance of a layer; the rest is the expectation.
        load_error: relative standard error of an expert's load that no scenario shows. If errors are independent, the
            largest of n ranks exceeds their mean by about sqrt(2 log n) standard deviations of a rank's load
            (Cramer 1946), which grows with the sum of the squared loads of its slots.
    """

    move: float
    traffic: float
    risk: float = 0.0
    load_error: float = 0.0


class Layout(NamedTuple):
    """What does not change while a map is searched.

    Args:
        loads: load of each expert, as a share of what a rank of speed 1 takes in a perfectly balanced layer,
            ``(layers, experts, scenarios)``.
        mean_loads: their expectation over the scenarios, ``(layers, experts)``.
        loaded: whether the layer has load in some scenario, ``(layers,)``.
        likelihood: what each scenario's imbalance weighs in the expectation, times one less the risk,
            ``(scenarios,)``.
        risk: what the worst scenario's weighs beside it.
        in_force: expert in each slot today, ``(layers, slots)``.
        domain: NVLink domain of each rank, ``(ranks,)``, numbered from 0.
        domains: number of domains.
        slowness: 1 / speed of each rank, ``(ranks,)``.
        per_rank: slots of a rank.
        noise: what the root of a layer's sum over slots of squared loads costs; see ``Prices.load_error``.
        move_weight: cost of one moved replica.
        stray_weight: cost of one replica outside the domain that holds most of its expert group; 0 without groups.
        group_size: experts of a group.
        out_start: where the transitions from expert ``e`` of layer ``l`` begin, at ``l * experts + e``.
        out_expert: the expert of the next layer, ``(transitions,)``.
        out_cost: what the transition costs if all its tokens cross, ``(transitions,)``.
        in_start: where the transitions into expert ``e`` of layer ``l`` begin, at ``l * experts + e``.
        in_expert: the expert of the layer before, ``(transitions,)``.
        in_cost: as ``out_cost``.
    """

    loads: Floats
    mean_loads: Floats
    loaded: Flags
    likelihood: Floats
    risk: float
    in_force: Integers
    domain: Integers
    domains: int
    slowness: Floats
    per_rank: int
    noise: float
    move_weight: float
    stray_weight: float
    group_size: int
    out_start: Integers
    out_expert: Integers
    out_cost: Floats
    in_start: Integers
    in_expert: Integers
    in_cost: Floats


class State(NamedTuple):
    """A map and what the kernel keeps up to date beside it.

    Args:
        slots: expert in each slot, ``(layers, slots)``.
        counts: replicas, ``(layers, experts)``.
        head: first slot of the list of an expert's slots, ``(layers, experts)``.
        following: next slot of the same expert or -1, ``(layers, slots)``.
        preceding: slot before it or -1, ``(layers, slots)``.
        rank_time: time that each rank takes, 1 in a perfectly balanced layer, ``(layers, ranks, scenarios)``.
        peak_rank: the rank that takes longest, ``(layers, scenarios)``.
        presence: replicas in each domain, ``(layers, experts, domains)``.
        gathered: replicas of each expert group in each domain, ``(layers, groups, domains)``.
        leaving: cost if all of the expert's tokens start in the domain, ``(layers, experts, domains)``.
        arriving: cost if the expert is absent from the domain, ``(layers, experts, domains)``.
        moved: replicas moved in each layer, ``(layers,)``.
        squares: sum over slots of their squared expected loads, ``(layers,)``.
        rank_room: scratch, all zeros between calls, ``(ranks, scenarios)``.
        tops: scratch, ``(scenarios,)``.
    """

    slots: Integers
    counts: Integers
    head: Integers
    following: Integers
    preceding: Integers
    rank_time: Floats
    peak_rank: Integers
    presence: Integers
    gathered: Integers
    leaving: Floats
    arriving: Floats
    moved: Integers
    squares: Floats
    rank_room: Floats
    tops: Floats


def layout_of(
    scenarios: Floats,
    likelihood: Floats,
    in_force: Integers,
    domain: Integers,
    speed: Floats,
    transitions: Transitions,
    prices: Prices,
    groups: int,
) -> Layout:
    """Return the layout of a deployment, all of whose ranks are alive.

    Args:
        scenarios: tokens per expert in each future that is reckoned with, ``(scenarios, layers, experts)``.
        likelihood: of each scenario, adding up to 1, ``(scenarios,)``.
        in_force: expert in each slot today, ``(layers, slots)``.
        domain: NVLink domain of each rank, ``(ranks,)``, numbered from 0.
        speed: of each rank relative to a healthy one, above 0, ``(ranks,)``.
        transitions: token flow between adjacent layers.
        prices: what the parts of the cost weigh.
        groups: expert groups; 1 for none.
    """
    _, layers, experts = scenarios.shape
    total = scenarios.sum(axis=2, keepdims=True)
    loads = np.divide(scenarios * speed.sum(), total, out=np.zeros(scenarios.shape), where=total > 0.0)
    domains = int(domain.max()) + 1
    stray_weight = prices.traffic / in_force.shape[1] if groups > 1 and domains > 1 else 0.0
    tokens = float(transitions.tokens.sum()) or 1.0
    used = np.flatnonzero((transitions.tokens > 0.0) & (prices.traffic > 0.0) & (domains > 1))
    if not used.size and stray_weight == 0.0:  # domains do not matter: one will do
        domain, domains = np.zeros_like(domain), 1
    cost = transitions.tokens[used] * (prices.traffic * layers / tokens)
    out_key = transitions.layer[used] * experts + transitions.source[used]
    in_key = (transitions.layer[used] + 1) * experts + transitions.target[used]
    by_source, by_target = np.argsort(out_key, kind="stable"), np.argsort(in_key, kind="stable")
    every = np.arange(layers * experts + 1)
    return Layout(
        loads=np.ascontiguousarray(np.moveaxis(loads, 0, 2)),
        mean_loads=np.tensordot(likelihood, loads, axes=1),
        loaded=np.asarray((total > 0.0).any(axis=(0, 2))),
        likelihood=(1.0 - prices.risk) * likelihood,
        risk=float(prices.risk),
        in_force=in_force,
        domain=domain,
        domains=domains,
        slowness=1.0 / speed,
        per_rank=in_force.shape[1] // domain.size,
        noise=float(prices.load_error * np.sqrt(2.0 * np.log(domain.size) / domain.size)),
        move_weight=float(prices.move),
        stray_weight=float(stray_weight),
        group_size=experts // groups,
        out_start=np.searchsorted(out_key[by_source], every),
        out_expert=transitions.target[used][by_source],
        out_cost=cost[by_source],
        in_start=np.searchsorted(in_key[by_target], every),
        in_expert=transitions.source[used][by_target],
        in_cost=cost[by_target],
    )
