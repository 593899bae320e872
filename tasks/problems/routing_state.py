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


@dataclass(frozen=True, slots=True, eq=False)
class Transitions:
    """Tokens that go from expert ``source`` of ``layer`` to expert ``target`` of the next; all ``(transitions,)``."""

    layer: Integers
    source: Integers
    target: Integers
    tokens: Floats


class Layout(NamedTuple):
    """What does not change while a map is searched.

    Args:
        loads: tokens per expert, ``(layers, experts)``.
        scale: ranks / tokens of the layer, 0 for a layer without load, ``(layers,)``.
        in_force: expert in each slot today, ``(layers, slots)``.
        domain: NVLink domain of each rank, ``(ranks,)``, numbered from 0.
        domains: number of domains.
        per_rank: slots of a rank.
        move_weight: cost of one moved replica.
        out_start: where the transitions from expert ``e`` of layer ``l`` begin, at ``l * experts + e``.
        out_expert: the expert of the next layer, ``(transitions,)``.
        out_cost: what the transition costs if all its tokens cross, ``(transitions,)``.
        in_start: where the transitions into expert ``e`` of layer ``l`` begin, at ``l * experts + e``.
        in_expert: the expert of the layer before, ``(transitions,)``.
        in_cost: as ``out_cost``.
    """

    loads: Floats
    scale: Floats
    in_force: Integers
    domain: Integers
    domains: int
    per_rank: int
    move_weight: float
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
        rank_load: tokens of each rank, ``(layers, ranks)``.
        peak_rank: the rank with most tokens, ``(layers,)``.
        presence: replicas in each domain, ``(layers, experts, domains)``.
        leaving: cost if all of the expert's tokens start in the domain, ``(layers, experts, domains)``.
        arriving: cost if the expert is absent from the domain, ``(layers, experts, domains)``.
        moved: replicas moved in each layer, ``(layers,)``.
        rank_room: scratch, all zeros between calls, ``(ranks,)``.
    """

    slots: Integers
    counts: Integers
    head: Integers
    following: Integers
    preceding: Integers
    rank_load: Floats
    peak_rank: Integers
    presence: Integers
    leaving: Floats
    arriving: Floats
    moved: Integers
    rank_room: Floats


def layout_of(
    loads: Floats,
    in_force: Integers,
    domain: Integers,
    transitions: Transitions,
    move_weight: float,
    traffic_weight: float,
) -> Layout:
    """Return the layout of a deployment.

    Args:
        loads: tokens per expert, ``(layers, experts)``.
        in_force: expert in each slot today, ``(layers, slots)``.
        domain: NVLink domain of each rank, ``(ranks,)``, numbered from 0.
        transitions: token flow between adjacent layers.
        move_weight: cost of one moved replica.
        traffic_weight: cost, per layer, if every token crosses.
    """
    layers, experts = loads.shape
    total = loads.sum(axis=1)
    domains = int(domain.max()) + 1
    scale = np.divide(domain.size, total, out=np.zeros(layers), where=total > 0.0)
    tokens = float(transitions.tokens.sum()) or 1.0
    used = np.flatnonzero((transitions.tokens > 0.0) & (traffic_weight > 0.0) & (domains > 1))
    if not used.size:  # links do not matter: one domain will do
        domain, domains = np.zeros_like(domain), 1
    cost = transitions.tokens[used] * (traffic_weight * layers / tokens)
    out_key = transitions.layer[used] * experts + transitions.source[used]
    in_key = (transitions.layer[used] + 1) * experts + transitions.target[used]
    by_source, by_target = np.argsort(out_key, kind="stable"), np.argsort(in_key, kind="stable")
    every = np.arange(layers * experts + 1)
    return Layout(
        loads=loads,
        scale=scale,
        in_force=in_force,
        domain=domain,
        domains=domains,
        per_rank=in_force.shape[1] // domain.size,
        move_weight=move_weight,
        out_start=np.searchsorted(out_key[by_source], every),
        out_expert=transitions.target[used][by_source],
        out_cost=cost[by_source],
        in_start=np.searchsorted(in_key[by_target], every),
        in_expert=transitions.source[used][by_target],
        in_cost=cost[by_target],
    )
