"""On which clusters are power schedules compared? Jobs of the Philly trace with workloads that were swept for Zeus."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.readers.power.zeus_sweep import MeasuredWorkload, read_power_sweep
from data.readers.traces.philly import read_philly
from data.schemas.cluster import Limits, Snapshot
from data.schemas.job import Job
from data.transition import apply_actions
from qiskit_solvers.errors import SolverFailed
from tasks.problems.power import Power
from tasks.yardsticks.power import uniform_cap

MODELS = {"V100": ("v100", 250.0, 100.0), "A40": ("a40", 300.0, 100.0), "RTX6000": ("rtx6000", 260.0, 100.0),
          "P100": ("p100", 250.0, 125.0)}  # fmt: skip
"""File, highest and lowest cap in watts."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """A GPU model with its workloads: those that choices may be made on, and those that are reported on."""

    model: str
    known: tuple[MeasuredWorkload, ...]
    held_out: tuple[MeasuredWorkload, ...]


def sweeps(data: Path) -> tuple[Sweep, ...]:
    """Return the four GPU models, each with its workloads in two halves; which, the hash of the name says."""
    made = []
    for model, (name, _, _) in MODELS.items():
        workloads = read_power_sweep(data / "zeus_nsdi23" / f"summary_power_{name}.csv").workloads
        sides: tuple[list[MeasuredWorkload], list[MeasuredWorkload]] = ([], [])
        for workload in workloads:
            sides[hashlib.sha256(workload.name.encode()).digest()[0] % 2].append(workload)
        made.append(Sweep(model, tuple(sides[0]), tuple(sides[1])))
    return tuple(made)


def instance(data: Path, swept: Sequence[Sweep], jobs: int, seed: int) -> Snapshot:
    """Return ``jobs`` jobs of the trace on about half as many GPUs as they ask for, with held-out workloads."""
    rng = np.random.default_rng(seed)
    sweep = swept[seed % len(swept)]
    _, highest_w, lowest_w = MODELS[sweep.model]
    trace = data / "philly_sia" / "philly_sorted_rows20000_40000.csv"
    reading = read_philly(trace, jobs=jobs, gpus=max(16, jobs // 2 // 8 * 8), speedup=10.0 * (1 + seed % 7))
    nodes = tuple(
        replace(
            node,
            gpu_model=sweep.model,
            gpu_power_min_w=lowest_w,
            gpu_power_max_w=highest_w,
            gpu_idle_w=30.0,
            base_power_w=500.0,
            rack=f"rack-{number // 2:03d}",
        )
        for number, node in enumerate(reading.snapshot.nodes)
    )

    def drawn(job: Job) -> Job:
        work = sweep.held_out[int(rng.integers(len(sweep.held_out)))]
        return replace(
            job,
            gpu_model=None if job.gpu_model is None else sweep.model,
            power_levels=work.levels,
            gpu_power_w=work.gpu_power_w,
            priority=float(rng.choice([1.0, 2.0, 5.0])),
            workload=work.name,
        )

    share = float(rng.choice([0.25, 0.4, 0.6]))
    node_w = 500.0 + 8 * (lowest_w + share * (highest_w - lowest_w))
    limits = Limits(
        power_cap_w=node_w * len(nodes),
        rack_power_cap_w=1.1 * 2 * node_w,
        slot_s=300.0,
        horizon_slots=96,
    )
    return replace(
        reading.snapshot,
        nodes=nodes,
        jobs=tuple(drawn(job) for job in reading.snapshot.jobs),
        links=(),
        limits=limits,
    )


def capped_alike(snapshot: Snapshot) -> Power:
    """Return the problem in which one cap for all, in order of arrival, is in force."""
    problem = Power.from_snapshot(snapshot)
    try:
        schedule = uniform_cap(problem)
    except SolverFailed:  # what runs is above a cap at every share: what the trace left is in force
        return problem
    return Power.from_snapshot(apply_actions(snapshot, problem.actions(schedule)))
