"""Is this plan right? Every promise once more from scratch, by code that shares nothing with the optimiser."""

from collections.abc import Iterator
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from data.schemas.cluster import Snapshot
from data.schemas.plan import Plan
from data.transition import apply_actions
from tasks.validation.account import check_never_worse
from tasks.validation.archives import Archived, archive_bytes, look_at_archives
from tasks.validation.expert_moves import check_expert_moves, check_failed_ranks
from tasks.validation.identity import (
    check_experts,
    check_format,
    check_fresh,
    check_signature,
    check_state_after,
    check_state_before,
)
from tasks.validation.metrics import check_metrics, recomputed
from tasks.validation.movement import (
    check_gpu_models,
    check_migration_budget,
    check_migration_order,
    check_nodes,
    check_pinned_jobs,
    check_spare_nodes,
)
from tasks.validation.schedule import (
    check_cap_range,
    check_dependencies,
    check_energy_budget,
    check_gpus_per_slot,
    check_power_cap,
    check_site_caps,
)
from tasks.validation.targets import check_in_force, check_inverse, check_targets
from tasks.validation.timetable import timetable, with_assumed_power
from tasks.validation.verdict import Check, Verdict

__all__ = ["Check", "Verdict", "validate", "validate_plan"]


def validate(plan: Plan, snapshot: Snapshot, archives: Path | None) -> Verdict:
    """Re-check ``plan`` against the state that it claims to be made for; a bad plan is told, never raised.

    Checks build on one another: those that need what an earlier one found missing (a state after actions that do not
    apply) are left out of the verdict, which then fails by the earlier one.

    Args:
        plan: of any origin.
        snapshot: the state before.
        archives: the folder to which the paths of archives are relative; None leaves the archives unexamined.
    """
    checks = tuple(_checks(plan, snapshot, archives))
    return Verdict(all(check.passed for check in checks), checks)


def _checks(plan: Plan, snapshot: Snapshot, archives: Path | None) -> Iterator[Check]:
    yield (well_formed := check_format(plan))
    if not well_formed.passed:
        return
    yield check_signature(plan)
    yield check_fresh(plan, snapshot)
    yield check_never_worse(plan)
    yield (sound := check_state_before(snapshot))
    yield (aimed := check_targets(plan, snapshot))
    if not (sound.passed and aimed.passed):
        return
    examined = look_at_archives(plan, snapshot, archives)
    if examined.check is not None:
        yield examined.check
    yield (current := check_in_force(plan, snapshot))
    if not current.passed:
        return
    after = apply_actions(snapshot, plan.actions)
    yield check_inverse(plan, snapshot, after)
    yield (consistent := check_state_after(after))
    yield (held := check_experts(after))
    if consistent.passed and held.passed:
        yield from _outcome(plan, snapshot, after, examined)


def _outcome(plan: Plan, before: Snapshot, after: Snapshot, examined: Archived) -> Iterator[Check]:
    """Yield the checks of a planned state that does not contradict itself."""
    yield check_migration_budget(before, after)
    yield check_pinned_jobs(before, after)
    yield check_nodes(before, after)
    yield check_gpu_models(before, after)
    yield check_spare_nodes(before, after)
    yield check_migration_order(plan, before, after)
    yield check_failed_ranks(before, after)
    yield check_expert_moves(plan, before, after)
    now, then = (timetable(with_assumed_power(state, plan.assumed_power)) for state in (before, after))
    yield check_dependencies(plan, now, then)
    yield check_gpus_per_slot(now, then)
    yield check_power_cap(now, then, before.limits.power_cap_w)
    if now.sites:
        yield check_site_caps(now, then)
    if before.limits.energy_budget_kwh is not None:
        yield check_energy_budget(now, then, before.limits.energy_budget_kwh)
    yield check_cap_range(before, after)
    archived = (examined.source_bytes, archive_bytes(plan))
    yield check_metrics(plan, recomputed(before, after, (now, then), archived))


@task(name="validate", cache_policy=NO_CACHE)
def validate_plan(plan: Plan, snapshot: Snapshot, archives: Path | None) -> Verdict:
    """Run :func:`validate` as a Prefect task."""
    return validate(plan, snapshot, archives)
