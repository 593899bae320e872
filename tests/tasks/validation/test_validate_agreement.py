"""The optimiser and the validator were written apart from the same definitions: what one states, the other finds."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.crosscheck import cross_check
from data.readers.snapshot import read_snapshot
from data.schemas.cluster import Snapshot
from data.schemas.job import Job, PowerLevel
from data.transition import apply_actions
from qiskit_solvers.anneal import Anneal
from tasks.plan import Part, assemble
from tasks.problems.placement import Placement
from tasks.problems.power import Power
from tasks.problems.protocol import Problem
from tasks.problems.routing import Routing
from tasks.refine import Effort, refine
from tasks.validate import validate

SAMPLES = Path(__file__).resolve().parents[3] / "data" / "samples"
BRIEF = Effort(evaluations=5_000, rounds=3, window=8, patience=3)


def disturbed(snapshot: Snapshot, rng: np.random.Generator) -> Snapshot:
    """Return the snapshot with unlike nodes, caps, measured levels, odd planned starts and dependencies."""
    nodes = tuple(
        replace(
            node,
            gpu_power_max_w=node.gpu_power_max_w + 50.0 * rng.integers(3),
            gpu_idle_w=node.gpu_idle_w + 7.3 * rng.integers(3),
            state="drained" if rng.random() < 0.1 else node.state,
        )
        for node in snapshot.nodes
    )
    jobs = tuple(_disturbed_job(job, snapshot.jobs, rng) for job in snapshot.jobs)
    cap_w = None if rng.random() < 0.3 else float(rng.integers(120_000, 240_000))
    limits = replace(snapshot.limits, slot_s=float(rng.choice([300.0, 77.7, 33.3])), power_cap_w=cap_w)
    return replace(snapshot, nodes=nodes, jobs=jobs, limits=limits)


def _disturbed_job(job: Job, jobs: tuple[Job, ...], rng: np.random.Generator) -> Job:
    levels = (PowerLevel(300.0, 0.5), PowerLevel(float(rng.integers(400, 700)), 0.8))
    changed = replace(
        job,
        gpu_power_cap_w=float(rng.integers(200, 700)) if rng.random() < 0.2 else job.gpu_power_cap_w,
        power_levels=levels if rng.random() < 0.2 else job.power_levels,
        gpu_power_w=None if rng.random() < 0.2 else job.gpu_power_w,
        movable=rng.random() > 0.1,
    )
    if job.state == "running":
        return replace(changed, state="pending") if rng.random() < 0.05 else changed
    earlier = jobs[: jobs.index(job)]
    parents = (earlier[int(rng.integers(len(earlier)))].id,) if earlier and rng.random() < 0.3 else ()
    start = float(rng.integers(0, 9_000)) if rng.random() < 0.6 else None
    return replace(changed, depends_on=parents, planned_start_s=start)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sample", ["small", "fragmented", "over-cap"])
def test_what_the_nouns_state_the_validator_finds(sample: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    snapshot = read_snapshot(SAMPLES / sample / "cluster.json").snapshot
    snapshot = disturbed(snapshot, rng) if seed else snapshot
    assert not cross_check(snapshot)
    builds: list[Callable[[Snapshot], Problem[Any]]] = [Placement.from_snapshot, Power.from_snapshot]
    builds += [partial(Routing.from_snapshot, deployment_id=each.id) for each in snapshot.deployments]
    state, parts = snapshot, []
    for build in builds:
        problem, origin = build(state), build(snapshot)
        refined = refine(problem, Anneal(), rng, effort=BRIEF)
        parts.append(
            Part(
                actions=problem.actions(refined.decision),
                before=origin.figures(origin.incumbent()),
                after=problem.figures(refined.decision),
                rows=refined.rows,
                bounds=(refined.bound,),
            )
        )
        state = apply_actions(state, parts[-1].actions)
    plan = assemble(
        snapshot, parts, assumed_power=(), set_aside=(), notes=(), code_version="1", options="{}", seed=seed
    )
    assert len(plan.actions) > 0
    assert [check for check in validate(plan, snapshot, None).checks if not check.passed] == []
