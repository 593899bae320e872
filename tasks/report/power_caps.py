"""Which cap does each GPU of each node get, and what does the plan's schedule draw, cost and save?

``node_caps`` and ``energy_account`` are values; ``as_json`` writes both down, ``as_nvidia_smi`` (also a Slurm prolog)
and ``as_dcgm`` are scripts that print what they would do, and do it only with ``--run``. No clock frequencies are set:
which clock a watt allows differs from GPU to GPU, and the power cap finds it.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from data.schemas.cluster import Snapshot
from data.schemas.plan import Plan
from data.transition import apply_actions
from tasks.problems.power import Power
from tasks.problems.power_board import summed
from tasks.problems.power_curves import curve_of
from tasks.problems.power_rates import held_on
from tasks.report.plain import one_line
from tasks.report.script import ARGUMENTS, HOST, quoted


@dataclass(frozen=True, slots=True)
class NodeCap:
    """One cap on some GPUs of a node.

    Args:
        node: its id.
        gpus: their indexes, rising.
        cap_w: of each.
        jobs: that hold them; empty for GPUs that nobody holds, which get the highest cap.
    """

    node: str
    gpus: tuple[int, ...]
    cap_w: float
    jobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spent:
    """What a schedule needs.

    Args:
        kwh: of the cluster within the horizon, idle GPUs and nodes included.
        usd: for that.
        carbon_kg: of that; None where the snapshot does not know the grid.
        jobs_kwh: that jobs draw above idle GPUs until they have ended, also past the horizon.
        active_gpus: that run jobs in each slot, ``(slots,)``.
        power_w: of the cluster in each slot, ``(slots,)``.
    """

    kwh: float
    usd: float
    carbon_kg: float | None
    jobs_kwh: float
    active_gpus: tuple[int, ...]
    power_w: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class EnergyAccount:
    """What is predicted before and after a plan.

    Args:
        slot_s: length of a slot.
        before: with the schedule in force.
        after: with that of the plan.
        saved_jobs_kwh: of the jobs' energy until they have ended: the same work, so that this is a saving.
        curves: jobs by where their speed under a cap is from, in words.
    """

    slot_s: float
    before: Spent
    after: Spent
    saved_jobs_kwh: float
    curves: tuple[tuple[str, int], ...]


def node_caps(plan: Plan, snapshot: Snapshot) -> tuple[NodeCap, ...]:
    """Return the caps of all nodes that are not down once ``plan`` is carried out, by node and first GPU."""
    after = apply_actions(snapshot, plan.actions)
    nodes = {node.id: node for node in after.nodes}
    held: dict[str, dict[float, list[tuple[int, str]]]] = {
        node.id: defaultdict(list) for node in after.nodes if node.state != "down"
    }
    for job in after.jobs:
        for worker in job.placement:
            if worker.node in held:
                highest_w = nodes[worker.node].gpu_power_max_w
                cap_w = highest_w if job.gpu_power_cap_w is None else min(highest_w, job.gpu_power_cap_w)
                held[worker.node][cap_w] += [(gpu, job.id) for gpu in worker.gpus]
    made = []
    for name, by_cap in held.items():
        taken = {gpu for pairs in by_cap.values() for gpu, _ in pairs}
        free = tuple(gpu for gpu in range(nodes[name].gpus) if gpu not in taken)
        here = [
            NodeCap(name, tuple(sorted(gpu for gpu, _ in pairs)), cap_w, tuple(dict.fromkeys(job for _, job in pairs)))
            for cap_w, pairs in by_cap.items()
        ]
        made += sorted([*here, *([NodeCap(name, free, nodes[name].gpu_power_max_w, ())] if free else [])], key=_first)
    return tuple(made)


def _first(cap: NodeCap) -> int:
    return cap.gpus[0]


def energy_account(plan: Plan, snapshot: Snapshot) -> EnergyAccount:
    """Return what is predicted with the schedule in force and with that of ``plan``."""
    states = [_assumed(state, plan) for state in (snapshot, apply_actions(snapshot, plan.actions))]
    before, after = (_spent(state) for state in states)
    models = {node.id: node.gpu_model for node in snapshot.nodes}
    curves: dict[str, int] = defaultdict(int)
    for job in states[1].jobs:
        model = models[job.placement[0].node] if job.placement else job.gpu_model
        curves["measured on the job" if job.power_levels else curve_of(model).origin] += 1
    saved_kwh = before.jobs_kwh - after.jobs_kwh
    return EnergyAccount(snapshot.limits.slot_s, before, after, saved_kwh, tuple(sorted(curves.items())))


def _assumed(snapshot: Snapshot, plan: Plan) -> Snapshot:
    """Return the snapshot with the draws that the plan assumed."""
    said = {entry.job: entry for entry in plan.assumed_power}
    jobs = []
    for job in snapshot.jobs:
        if job.gpu_power_w is None and job.id in said:
            high_w = said[job.id].gpu_power_high_w if job.gpu_power_high_w is None else job.gpu_power_high_w
            jobs.append(replace(job, gpu_power_w=said[job.id].gpu_power_w, gpu_power_high_w=high_w))
        else:
            jobs.append(job)
    return replace(snapshot, jobs=tuple(jobs))


def _spent(snapshot: Snapshot) -> Spent:
    limits = snapshot.limits
    problem = Power.from_snapshot(snapshot)
    decision = problem.incumbent()
    kwh = problem.power_w(decision) * limits.slot_s / 3.6e6
    usd = held_on(limits.energy_prices_usd_per_kwh or (limits.energy_price_usd_per_kwh,), kwh.size)
    grams = held_on(limits.carbon_g_per_kwh, kwh.size) if limits.carbon_g_per_kwh else None
    duration = problem.work.duration[np.arange(len(snapshot.jobs)), decision.level]
    gpus = np.array([job.gpus for job in snapshot.jobs], dtype=np.int64)
    return Spent(
        kwh=float(kwh.sum()),
        usd=float(kwh @ usd),
        carbon_kg=None if grams is None else float(kwh @ grams) / 1e3,
        jobs_kwh=problem.energy_kwh(decision),
        active_gpus=tuple(summed(gpus, problem.slots, decision.start, duration).tolist()),
        power_w=tuple(problem.power_w(decision).tolist()),
    )


def as_json(caps: Sequence[NodeCap], account: EnergyAccount) -> str:
    """Return caps and account as JSON."""
    return json.dumps({"node_caps": [asdict(cap) for cap in caps], "energy": asdict(account)}, indent=1) + "\n"


def as_nvidia_smi(plan: Plan, caps: Sequence[NodeCap]) -> str:
    """Return a script that sets the caps of the node that it runs on, by hand or as a prolog of Slurm; needs root."""
    cases: dict[str, list[str]] = defaultdict(list)
    for cap in caps:
        cases[cap.node].append(f"    {_step('nvidia-smi', '-i', _indexes(cap.gpus), '-pl', _watts(cap))}")
    lines = [f"  {quoted(node)})\n" + "\n".join(commands) + " ;;" for node, commands in cases.items()]
    head = _head(
        plan, "Power caps of each node with nvidia-smi. Run it on every node as root, or as a prolog of Slurm."
    )
    return "\n".join([head, 'case "${SLURMD_NODENAME:-$(hostname -s)}" in', *lines, "esac\n"])


def as_dcgm(plan: Plan, caps: Sequence[NodeCap]) -> str:
    """Return a script that sets the caps of all nodes from one place, through their DCGM host engines."""
    head = _head(plan, "Power caps of all nodes through the DCGM host engine of each (nv-hostengine must listen).")
    lines = [
        f"cap {quoted(cap.node)} {_indexes(cap.gpus)} {_watts(cap)}"
        if HOST.fullmatch(cap.node)
        else f"# left out, no name of a host: {one_line(cap.node)}"
        for cap in caps
    ]
    return "\n".join([head, _DCGM, *lines, ""])


_DCGM = """\
# Caps GPUs of a node (NODE GPU,GPU WATTS): makes a group of them, sets it, and drops the group; the caps stay.
cap() {
  local name="quantumflow-$3-${2//,/-}" group=GROUP
  printf '+'; printf ' %q' dcgmi group --host "$1" -c "$name" -a "$2"; printf '\\n'
  if [ "$run" = yes ]; then
    group="$(dcgmi group --host "$1" -c "$name" -a "$2" | sed -n 's/.*group ID of \\([0-9][0-9]*\\).*/\\1/p')"
  fi
  step dcgmi config --host "$1" -g "$group" --set -P "$3"
  step dcgmi group --host "$1" -d "$group"
}
"""


def _head(plan: Plan, what: str) -> str:
    told = [f"{what} REVIEW BEFORE RUNNING.", f"Plan {plan.sha256[:12]} for {one_line(plan.cluster)}."]
    told.append("Without --run it prints the commands and changes nothing.")
    comment = "\n".join(f"# {line}" for line in told)
    return f"#!/usr/bin/env bash\n{comment}\n{ARGUMENTS}"


def _step(*words: str) -> str:
    return " ".join(["step", *(quoted(word) for word in words)])


def _indexes(gpus: Sequence[int]) -> str:
    return ",".join(map(str, gpus))


def _watts(cap: NodeCap) -> str:
    """Return whole watts, rounded down: what DCGM and older drivers accept."""
    return str(int(cap.cap_w))
