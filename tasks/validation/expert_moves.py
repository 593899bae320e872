"""Is every expert served while its replicas are moved, and does nothing end up where nothing can be served?

By the definition of :class:`data.schemas.plan.ReplicaLoad`: loads of one step go on together. A slot that loads is out
of service until its step ends, unless it is staged; then it serves what it held until the end of the step, and its rank
needs a spare buffer. An expert is served while a slot on a rank that has not failed holds it and is in service.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from data.schemas.cluster import Snapshot
from data.schemas.plan import Action, MoveReplicas, Plan, ReplicaLoad
from data.schemas.routing import ExpertDeployment
from tasks.validation.verdict import Check, judged

MOST_BUFFERS = 1
"""Spare buffers, of one expert each, that a rank is taken to have."""


def check_expert_moves(plan: Plan, before: Snapshot, after: Snapshot) -> Check:
    """Check that plan and inverse keep every expert served at every step, and that their steps lead where they say.

    Those that live ranks serve both at the outset and in the end; one that is not served at first must be from when it
    is first loaded. That a plan ends with all that it began with is for :func:`check_failed_ranks`.
    """
    wrong = [
        *(f"plan, {problem}" for problem in _walked(before, plan.actions)),
        *(f"inverse, {problem}" for problem in _walked(after, plan.inverse)),
    ]
    moves = [action for action in plan.actions if isinstance(action, MoveReplicas)]
    steps = max((1 + load.step for action in moves for load in action.order), default=0)
    return judged("expert moves", wrong, f"{len(moves)} layer(s) in up to {steps} step(s), every expert always served")


def check_failed_ranks(before: Snapshot, after: Snapshot) -> Check:
    """Check that failed ranks load nothing and, where shares change, get none of an expert that a live rank holds."""
    wrong = []
    for was, now in zip(before.deployments, after.deployments, strict=True):
        live = _live(was)
        for layer, (held, holds) in enumerate(zip(was.placement, now.placement, strict=True)):
            where = f"{now.id}, layer {layer}"
            dead = [slot for slot in range(now.slots) if slot not in live]
            wrong += [
                f"{where}, slot {slot}: expected no move to a failed rank" for slot in dead if held[slot] != holds[slot]
            ]
            if now.shares and now.shares != was.shares:
                served = {holds[slot] for slot in live}
                wrong += [
                    f"{where}, slot {slot}: expected share 0 on a failed rank, found {now.shares[layer][slot]}"
                    for slot in dead
                    if holds[slot] in served and now.shares[layer][slot] > 0.0
                ]
            lost = {held[slot] for slot in live} - {holds[slot] for slot in live}
            if lost:
                wrong.append(
                    f"{where}: expected every expert on a live rank to keep one, found none for {sorted(lost)}"
                )
    failed = sum(speed == 0.0 for deployment in before.deployments for speed in deployment.rank_speed)
    return judged("failed ranks", wrong, f"nothing is moved to {failed} failed rank(s)")


def _walked(state: Snapshot, actions: Sequence[Action]) -> Iterator[str]:
    deployments = {deployment.id: deployment for deployment in state.deployments}
    for action in actions:
        if isinstance(action, MoveReplicas):
            where = f"{action.deployment}, layer {action.layer}"
            yield from (f"{where}: {problem}" for problem in _layer(deployments[action.deployment], action))


def _layer(deployment: ExpertDeployment, action: MoveReplicas) -> Iterator[str]:
    held = list(deployment.placement[action.layer])
    goal = list(held)
    for slot, expert in zip(action.slots, action.after, strict=True):
        goal[slot] = expert
    live = _live(deployment)
    steps: dict[int, list[ReplicaLoad]] = defaultdict(list)
    for load in action.order or _at_once(action):
        if load.slot not in live or load.expert >= deployment.experts:
            yield f"expected loads of experts into slots on live ranks, found {load}"
            return
        steps[load.step].append(load)
    kept = {goal[slot] for slot in live}
    ever = {held[slot] for slot in live} & kept
    for number in sorted(steps):
        loads = steps[number]
        twice = [slot for slot, count in Counter(load.slot for load in loads).items() if count > 1]
        if twice:
            yield f"step {number}: expected a slot to load once, found slots {twice} loading again"
        staged = Counter(load.slot // deployment.slots_per_rank for load in loads if load.staged)
        if staged and max(staged.values()) > MOST_BUFFERS:
            found = max(staged.values())
            yield f"step {number}: expected at most {MOST_BUFFERS} staged load(s) on a rank, found {found}"
        out = {load.slot for load in loads if not load.staged}
        for moment, silent in (("during", out), ("after", set[int]())):
            if moment == "after":
                for load in loads:
                    held[load.slot] = load.expert
            lost = ever - {held[slot] for slot in live - silent}
            if lost:
                yield f"{moment} step {number}: expected every expert to be served, found {sorted(lost)} without a slot"
        ever |= {held[slot] for slot in live} & kept
    if held != goal:
        slot = next(slot for slot in range(len(held)) if held[slot] != goal[slot])
        yield f"expected the steps to end with expert {goal[slot]} in slot {slot}, found {held[slot]}"


def _at_once(action: MoveReplicas) -> list[ReplicaLoad]:
    changes = zip(action.slots, action.before, action.after, strict=True)
    return [ReplicaLoad(0, slot, after) for slot, before, after in changes if before != after]


def _live(deployment: ExpertDeployment) -> set[int]:
    speeds = deployment.rank_speed or (1.0,) * deployment.ranks
    return {slot for slot in range(deployment.slots) if speeds[slot // deployment.slots_per_rank] > 0.0}
