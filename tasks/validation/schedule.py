"""Can the planned schedule be kept? Dependencies, GPUs and power in every slot, and caps that the nodes accept."""

from collections.abc import Sequence

import numpy as np

from data.schemas.cluster import Node, Snapshot
from data.schemas.job import Job
from data.schemas.plan import Place, Plan
from tasks.validation.job_run import Run
from tasks.validation.timetable import Timetable, dependencies
from tasks.validation.verdict import Check, judged

_KWH_PER_MW_S = 1e-6 / 3600
_JOULE_KWH = 1.0 / 3.6e6  # what counting in whole units may differ by for each job


def check_dependencies(plan: Plan, before: Timetable, after: Timetable) -> Check:
    """Check that no job starts, or gets GPUs, before those that it depends on have ended.

    What the schedule in force did not keep either is told, and not held against the plan.
    """
    broken = _broken(before.runs, before.slots)
    wrong, kept = [], 0
    for (job, other), problem in _broken(after.runs, after.slots).items():
        if (job, other) in broken:
            kept += 1
        else:
            wrong.append(f"job {job}: {problem}")
    jobs = {run.job.id: run.job for run in before.runs}
    for action in plan.actions:
        waits = [other for other in jobs[action.job].depends_on if other in jobs] if isinstance(action, Place) else []
        if isinstance(action, Place) and waits:
            wrong.append(f"job {action.job}: expected GPUs only once {', '.join(waits)} ended, found them placed now")
    seen = f"{len(dependencies(after.runs))} dependencies"
    return judged("dependencies", wrong, f"{seen}, {kept} broken before and after" if kept else seen)


def check_gpus_per_slot(before: Timetable, after: Timetable) -> Check:
    """Check that jobs ask for no more GPUs than there are, of each model and in sum, in any slot.

    A schedule in force that overbooked already may stay so, but not by more.
    """
    wrong = []
    for model in sorted(after.room, key=str):
        over = np.maximum(0, after.taken(model) - after.room[model])
        over_before = np.maximum(0, before.taken(model) - before.room[model])
        if over.sum() > over_before.sum():
            slot = int(np.argmax(over - over_before))
            name = model if model is not None else "all models"
            found = after.room[model] + int(over[slot])
            wrong.append(f"slot {slot}: expected at most {after.room[model]} GPUs of {name}, found {found}")
    return judged("GPUs per slot", wrong, f"{len(after.room) - 1} GPU model(s) over {after.slots} slots")


def check_power_cap(before: Timetable, after: Timetable, cap_w: float | None) -> Check:
    """Check that the cluster stays under its power cap in every slot.

    Where the schedule in force is above it already, the plan's may be, but not by more energy.
    """
    if cap_w is None:
        return judged("power cap", (), "the cluster has none")
    above, above_before = after.above_cap_mw(), before.above_cap_mw()
    kwh, kwh_before = (float(each.sum()) * after.slot_s * _KWH_PER_MW_S for each in (above, above_before))
    wrong = []
    if int(above.sum()) > int(above_before.sum()):
        slots = np.flatnonzero(above > above_before)
        worst = int(np.argmax(above - above_before))
        found = after.background_w + float(after.drawn_mw()[worst]) / 1e3
        expected = f"at most {kwh_before:.6g} kWh above {cap_w:.6g} W, as in force" if kwh_before else f"{cap_w:.6g} W"
        wrong.append(f"{slots.size} slot(s), worst {worst}: expected {expected}, found {kwh:.6g} kWh and {found:.6g} W")
    if not above_before.any():
        return judged("power cap", wrong, f"never above {cap_w:.6g} W")
    return judged("power cap", wrong, f"{kwh:.6g} kWh above {cap_w:.6g} W, {kwh_before:.6g} kWh in force")


def check_site_caps(before: Timetable, after: Timetable) -> Check:
    """Check that nodes and racks stay under their power caps, and jobs without GPUs under their share of them.

    Where the schedule in force is above them already, the plan's may be, but not by more energy.
    """
    was, now = before.above_sites_mw(), after.above_sites_mw()
    excess, excess_before = after.excess_mw(), before.excess_mw()
    wrong = []
    if sum(now) + excess > sum(was) + excess_before:
        for site, old, new in zip(after.sites, was, now, strict=True):
            if new > old:
                kwh, kwh_before = (each * after.slot_s * _KWH_PER_MW_S for each in (new, old))
                expected = f"at most {kwh_before:.6g} kWh above {site.cap_w:.6g} W, as in force"
                wrong.append(f"{site.name}: expected {expected}, found {kwh:.6g} kWh")
        if excess > excess_before:
            kwh, kwh_before = (each * after.slot_s * _KWH_PER_MW_S for each in (excess, excess_before))
            expected = f"at most {kwh_before:.6g} kWh above their share, as in force"
            wrong.append(f"jobs without GPUs: expected {expected}, found {kwh:.6g} kWh")
    over = sum(1 for each in now if each)
    return judged("node and rack caps", wrong, f"{len(now)} node(s) and rack(s) with a cap, {over} above it")


def check_energy_budget(before: Timetable, after: Timetable, budget_kwh: float) -> Check:
    """Check that all jobs together draw no more energy above idle GPUs until they have ended than the budget.

    Where the schedule in force takes more already, the plan's may too, but not more than that.
    """
    kwh, kwh_before = after.jobs_energy_kwh(), before.jobs_energy_kwh()
    wrong = []
    if kwh > max(budget_kwh, kwh_before) + len(after.runs) * _JOULE_KWH:
        expected = f"{kwh_before:.6g} kWh as in force" if kwh_before > budget_kwh else f"{budget_kwh:.6g} kWh"
        wrong.append(f"all jobs: expected at most {expected}, found {kwh:.6g} kWh")
    told = f"{kwh:.6g} kWh of {budget_kwh:.6g} kWh"
    return judged("energy budget", wrong, f"{told}, {kwh_before:.6g} kWh in force" if kwh > budget_kwh else told)


def check_cap_range(before: Snapshot, after: Snapshot) -> Check:
    """Check that the nodes accept the power cap of every job.

    A cap that the plan sets lies in the range of all nodes that the job holds, or of one that it could get while it
    holds none. A job with a cap in force goes to no node that cannot go as low (one that cannot go as high draws less).
    """
    nodes = {node.id: node for node in before.nodes}
    wrong = []
    for was, now in zip(before.jobs, after.jobs, strict=True):
        cap_w = now.gpu_power_cap_w
        if cap_w is None:
            continue
        if cap_w != was.gpu_power_cap_w:
            hosts = _hosts(now, nodes)
            refusing = [node for node in hosts if not node.gpu_power_min_w <= cap_w <= node.gpu_power_max_w]
            if refusing if now.placement else len(refusing) == len(hosts):
                wrong.append(f"job {now.id}: expected a cap {_range(refusing)}, found {cap_w} W")
        elif now.placement != was.placement:
            lowest = min((node.gpu_power_min_w for node in _hosts(was, nodes)), default=cap_w)
            refusing = [node for node in _hosts(now, nodes) if cap_w < node.gpu_power_min_w]
            if refusing and lowest <= cap_w:
                wrong.append(f"job {now.id}: expected nodes that take its cap of {cap_w} W, found {_range(refusing)}")
    return judged("cap range", wrong, "every cap is one that the nodes accept")


def _broken(runs: Sequence[Run], slots: int) -> dict[tuple[str, str], str]:
    """Return what is wrong with each pair of a job and one that it starts too early after."""
    return {
        (runs[index].job.id, runs[other].job.id): f"expected a start not before slot {_end(runs[other], slots)}, "
        f"when {runs[other].job.id} has ended, found slot {runs[index].planned}"
        for index, other in dependencies(runs)
        if runs[index].planned < _end(runs[other], slots)
    }


def _end(run: Run, slots: int) -> int:
    return min(slots, run.planned + run.duration)


def _hosts(job: Job, nodes: dict[str, Node]) -> list[Node]:
    """Return the nodes that the job holds, or those that it could get while it holds none."""
    if job.placement:
        return [nodes[name] for name in dict.fromkeys(worker.node for worker in job.placement)]
    return [node for node in nodes.values() if job.gpu_model in (None, node.gpu_model)]


def _range(nodes: Sequence[Node]) -> str:
    said = dict.fromkeys(f"{node.gpu_power_min_w} to {node.gpu_power_max_w} W" for node in nodes)
    more = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
    return f"in {' and '.join(said)} of {nodes[0].id}{more}"
