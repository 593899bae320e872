"""What does a new expert map change, and why? One action for each layer that changes, in plain words."""

from dataclasses import dataclass

import numpy as np

from data.schemas.plan import Action, MoveReplicas, ReplicaLoad
from tasks.problems.routing_costs import layer_costs
from tasks.problems.routing_order import ordered_loads
from tasks.problems.routing_search import summed
from tasks.problems.routing_start import unserved
from tasks.problems.routing_state import Flags, Floats, Integers, Layout
from tasks.problems.routing_window import refreshed


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """A map before or after, all ``(layers, slots)``.

    Args:
        expert_of: expert in each slot.
        shares: of its expert's tokens that each slot takes, where the plan states them.
        served: experts of the slots on live ranks.
        served_shares: what those take.
    """

    expert_of: Integers
    shares: Floats | None
    served: Integers
    served_shares: Floats


def expert_actions(
    deployment: str, layout: Layout, live: Flags, before: Side, after: Side, penalty: float
) -> tuple[Action, ...]:
    """Return one action per changed layer; the gains, each after the layers before it, add up to the whole.

    Args:
        deployment: its id.
        layout: of its live ranks.
        live: which slots are on one, ``(slots,)``.
        before: the map in force.
        after: the map that is planned.
        penalty: cost of an expert that is not served.
    """
    experts, per_rank = layout.loads.shape[1], layout.per_rank
    at, shares = before.served.copy(), before.served_shares.copy()
    stated = None if after.shares is None else _stated(before, live, experts)
    changed = after.expert_of != before.expert_of
    if stated is not None:
        changed |= after.shares != stated
    dead = frozenset((np.flatnonzero(~live) // per_rank).tolist())
    terms = layer_costs(layout, at, shares)
    actions: list[Action] = []
    for layer in np.flatnonzero(changed.any(axis=1)).tolist():
        slots = np.flatnonzero(changed[layer])
        missing = len(unserved(at[[layer]], experts)) - len(unserved(after.served[[layer]], experts))
        at[layer], shares[layer] = after.served[layer], after.served_shares[layer]
        then = refreshed(layout, at, shares, terms, layer)
        gain = summed(layout, terms) - summed(layout, then) + penalty * missing
        order = ordered_loads(before.expert_of[layer].tolist(), after.expert_of[layer].tolist(), per_rank, dead)
        before_shares = () if before.shares is None or stated is None else stated[layer, slots].tolist()
        after_shares = () if after.shares is None else after.shares[layer, slots].tolist()
        actions.append(
            MoveReplicas(
                deployment=deployment,
                layer=layer,
                slots=tuple(slots.tolist()),
                before=tuple(before.expert_of[layer, slots].tolist()),
                after=tuple(after.expert_of[layer, slots].tolist()),
                reason=_reason(terms, then, layer, missing, order),
                gain=round(gain, 12),
                order=order,
                before_shares=tuple(before_shares),
                after_shares=tuple(after_shares),
            )
        )
        terms = then
    return tuple(actions)


def _stated(before: Side, live: Flags, experts: int) -> Floats:
    """Return the shares in force as a plan states them, ``(layers, slots)``: evenly over live replicas if not said."""
    if before.shares is not None:
        return before.shares
    result = np.zeros(before.expert_of.shape)
    result[:, live] = before.served_shares
    for layer, expert in unserved(before.served, experts).tolist():
        replicas = before.expert_of[layer] == expert
        result[layer, replicas] = 1.0 / np.count_nonzero(replicas)
    return result


def _reason(before: Floats, after: Floats, layer: int, missing: int, order: tuple[ReplicaLoad, ...]) -> str:
    moved = int(after[1, layer])
    said = (
        f"slowest rank takes {1 + after[0, layer]:.3f} x the ideal instead of {1 + before[0, layer]:.3f} x, "
        f"for {moved} replica{'s' * (moved != 1)} moved"
    )
    if missing:
        said = f"serves {missing} expert{'s' * (missing != 1)} that had no live rank; {said}"
    crossings = float(before[2].sum() - after[2].sum())
    if abs(crossings) > 1e-9:
        said += f"; crossings cost {abs(crossings):.4f} {'less' if crossings > 0 else 'more'}"
    if order:
        steps = 1 + order[-1].step
        said += f"; {steps} step{'s' * (steps != 1)}, every expert served in each"
    if any(load.staged for load in order):
        said += "; needs a spare buffer of one expert on some ranks"
    return said
