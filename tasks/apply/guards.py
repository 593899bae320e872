"""When is a plan not carried out? Each reason by itself, with a message that says what to do about it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from data.errors import PlanRefused
from data.schemas.cluster import Snapshot
from data.schemas.plan import Action, Migrate, Plan
from tasks.apply.executor import Executor
from tasks.apply.loop import name
from tasks.apply.targets import job_of, jobs_of_deployments, untouched
from tasks.report.plain import one_line
from tasks.validation.verdict import Verdict

SKEW_S = 60
"""By so much the clocks of two machines may differ."""

MOST_NAMED = 10
"""Actions that a message names."""

_ARRAY_TASK = re.compile(r"(\d+)_[\d\[].*")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one apply may do.

    Args:
        max_age_s: seconds after its snapshot at which a plan is too old.
        max_actions: actions of one plan.
        max_moved_gpus: GPUs of running jobs that are stopped to be moved; a job counts with all of its GPUs.
        protected: jobs that are never touched, by id or by a pattern of them (``*``, ``?``, ``[ab]``).
        protected_priority: jobs of at least this priority are never touched; None for no such rule.
    """

    max_age_s: float = 3600.0
    max_actions: int = 200
    max_moved_gpus: int = 128
    protected: tuple[str, ...] = ()
    protected_priority: float | None = None


def check_age(snapshot_taken_at: str, now_s: float, max_age_s: float) -> float:
    """Return for how many more seconds a plan may be carried out.

    Args:
        snapshot_taken_at: of the plan, ISO 8601 with an offset.
        now_s: the time, in Unix seconds.
        max_age_s: see :class:`Limits`.

    Raises:
        PlanRefused: it is too old, its snapshot was taken in the future, or it
            does not say when that was.
    """
    try:
        moment = datetime.fromisoformat(snapshot_taken_at)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise PlanRefused(
            f"the plan's snapshot_taken_at: expected ISO 8601 with an offset, found {snapshot_taken_at!r}"
        )
    age_s = now_s - moment.timestamp()
    if age_s < -SKEW_S:
        raise PlanRefused(
            f"clock: the plan's snapshot was taken at {snapshot_taken_at}, {-age_s:.0f} s in the future; "
            "set the clock of this machine or of the one that made the plan"
        )
    if age_s > max_age_s:
        raise PlanRefused(
            f"expired plan: its snapshot was taken {_ago(age_s)} ago, at {snapshot_taken_at}, and it may be "
            f"{_ago(max_age_s)} old; make a new plan"
        )
    return max_age_s - age_s


def check_limits(plan: Plan, limits: Limits) -> None:
    """Make sure that a plan is not larger than one apply may be.

    Raises:
        PlanRefused: it is.
    """
    if len(plan.actions) > limits.max_actions:
        raise PlanRefused(
            f"too many actions: expected at most {limits.max_actions}, found {len(plan.actions)}; "
            "raise max_actions, or plan with smaller budgets"
        )
    stopped = {action.job: sum(len(worker.gpus) for worker in action.before) for action in _moves(plan)}
    gpus = sum(stopped.values())
    if gpus > limits.max_moved_gpus:
        raise PlanRefused(
            f"too many GPUs move: expected at most {limits.max_moved_gpus} GPUs of running jobs that are stopped, "
            f"found {gpus} of {len(stopped)} jobs; raise max_moved_gpus, or plan with a smaller migration budget"
        )


def check_protected(actions: Sequence[Action], snapshot: Snapshot, limits: Limits) -> None:
    """Make sure that no action touches a protected job; the id of an array of Slurm protects all of its tasks.

    Args:
        actions: of a plan.
        snapshot: that it was made for.
        limits: what is protected.

    Raises:
        PlanRefused: one does; names the jobs and the rules.
    """
    priorities = {job.id: job.priority for job in snapshot.jobs}
    deployments = jobs_of_deployments(snapshot)
    wrong: dict[str, str] = {}
    for action in actions:
        job = job_of(action, deployments)
        if job is None or job in wrong:
            continue
        task = _ARRAY_TASK.fullmatch(job)
        ids = (job,) if task is None else (job, task[1])
        rules = (rule for rule in limits.protected for id_ in ids if rule == id_ or fnmatchcase(id_, rule))
        rule = next(rules, None)
        if rule is not None:
            wrong[job] = f"{job} (protected by {rule!r})"
        elif limits.protected_priority is not None and priorities.get(job, 0.0) >= limits.protected_priority:
            wrong[job] = f"{job} (priority {priorities[job]:g}, protected from {limits.protected_priority:g})"
    if wrong:
        raise PlanRefused(f"protected jobs: the plan touches {_some(list(wrong.values()))}; plan without them")


def check_verdict(verdict: Verdict) -> None:
    """Make sure that the validator finds nothing wrong.

    Raises:
        PlanRefused: it does.
    """
    wrong = [f"{check.name}: {check.detail}" for check in verdict.checks if not check.passed]
    if not verdict.passed:
        raise PlanRefused(f"the validator refuses the plan: {one_line('; '.join(wrong), 2_000)}")


def frozen_because(value: object) -> str | None:
    """Return why nothing may be applied, given the value of the freeze switch; None where it may.

    Anything but nothing, false, 0 and an empty text freezes: also the text ``false``, since a switch that is read
    wrongly must fail towards doing nothing.
    """
    if not value:
        return None
    return one_line(value) if isinstance(value, str) else "no reason given" if value is True else one_line(repr(value))


def check_cluster(plan: Plan, live: Snapshot, executor: Executor) -> None:
    """Make sure that the service that a plan was read from still tells of the plan's cluster.

    Args:
        plan: to be carried out.
        live: the state that the service tells now.
        executor: only for the message.

    Raises:
        PlanRefused: it tells of another one.
    """
    if live.cluster != plan.cluster:
        raise PlanRefused(
            f"another cluster: expected {plan.cluster}, found {live.cluster}, which is where {executor.kind} would "
            "change jobs; set SLURM_CONF or the kubeconfig's context as it was when the plan was made"
        )


def check_in_force(actions: tuple[Action, ...], executor: Executor) -> None:
    """Make sure that every action finds in the cluster what the plan found, before any of them is carried out.

    An action after another one on the same target is not looked at: it finds what the other leaves. One whose job has
    ended is no reason to refuse: it is skipped, and the rest of the plan holds without it. But where no target is
    there at all, this is more likely another cluster.

    Raises:
        PlanRefused: some do not; the plan is refused as a whole.
        SourceUnavailable: the cluster does not answer.
    """
    first = [actions[position] for position in untouched(actions)]
    found = executor.look(first) if first else ()
    stale = [
        f"{name(action)}: {each.detail}" for action, each in zip(first, found, strict=True) if each.standing == "other"
    ]
    if first and all(each.standing == "gone" for each in found):
        raise PlanRefused(
            f"nothing to do: of {len(first)} actions every target is gone ({_some([each.detail for each in found])}); "
            "expected the cluster that the plan was made for"
        )
    if stale:
        raise PlanRefused(
            f"stale plan: {len(stale)} of {len(first)} actions do not find what the plan found: {_some(stale)}; "
            "make a new plan"
        )


def _moves(plan: Plan) -> list[Migrate]:
    return [action for action in plan.actions if isinstance(action, Migrate)]


def _some(texts: list[str]) -> str:
    more = f"; and {len(texts) - MOST_NAMED} more" if len(texts) > MOST_NAMED else ""
    return f"{'; '.join(one_line(text) for text in texts[:MOST_NAMED])}{more}"


def _ago(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 600
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.0f} h"
    )
