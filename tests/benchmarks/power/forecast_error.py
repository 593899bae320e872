"""How often are caps exceeded where draws were forecast wrongly, with and without a margin?"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.readers.power.zeus_sweep import MeasuredWorkload
from data.schemas.cluster import Snapshot
from tasks.problems.power import Power, Schedule
from tasks.problems.power_board import site_draws
from tests.benchmarks.power.beside import told
from tests.benchmarks.power.instances import MODELS, Sweep, instance

QUANTILES = (0.5, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Broken:
    """Caps exceeded by true draws, over plans, at one quantile."""

    quantile: float
    margin: bool
    plans: int
    plans_above: int
    slots_above_percent: float
    worst_percent: float
    completion_percent: float


def forecast_w(workload: MeasuredWorkload, known: Sequence[MeasuredWorkload]) -> float:
    """Return the draw to be expected: the median of known workloads of the same network, else data set, else of all."""
    networks = [each for each in known if each.network == workload.network]
    sets = [each for each in known if each.network.split("-")[0] == workload.network.split("-")[0]]
    return statistics.median(each.gpu_power_w for each in networks or sets or known)


def margins(sweep: Sweep) -> list[float]:
    """Return true over forecast draw of each known workload, forecast from the others."""
    return [
        workload.gpu_power_w / forecast_w(workload, [other for other in sweep.known if other is not workload])
        for workload in sweep.known
    ]


def violations(data: Path, swept: Sequence[Sweep], instances: int, jobs: int) -> list[Broken]:
    """Return how often caps are exceeded by true draws, at each quantile with the margin, and without it."""
    rows: dict[tuple[float, bool], list[tuple[float, float, float, float]]] = {}
    for seed in range(200, 200 + instances):
        truth = instance(data, swept, jobs, seed)
        sweep = swept[seed % len(swept)]
        by_name = {workload.name: workload for workload in sweep.held_out}
        _, highest_w, _ = MODELS[sweep.model]
        expected = {
            job.id: min(highest_w, round(forecast_w(by_name[job.workload], sweep.known), 1)) for job in truth.jobs
        }
        judged, begun = Power.from_snapshot(truth), 0.0
        for quantile, margin in ((0.5, False), *((each, True) for each in QUANTILES)):
            factor = max(1.0, float(np.quantile(margins(sweep), quantile)))
            jobs_planned = tuple(
                replace(
                    job,
                    gpu_power_w=expected[job.id],
                    gpu_power_high_w=min(highest_w, expected[job.id] * factor) if margin else None,
                )
                for job in truth.jobs
            )
            problem = Power.from_snapshot(replace(truth, jobs=jobs_planned))
            decision = problem.search(problem.incumbent(), 60_000, np.random.default_rng(seed)).decision
            over, worst = above(judged, decision, truth)
            hours = float(told(judged, decision)[1])
            begun = begun or hours
            rows.setdefault((quantile, margin), []).append(
                (float(over > 0), float(over), worst, 100.0 * (hours / begun - 1.0))
            )
    made = []
    for (quantile, margin), found in rows.items():
        plans, slots, worst_of, slower = np.array(found).T
        share = 100.0 * float(slots.mean()) / judged.slots
        worst = float(worst_of.max())
        made.append(Broken(quantile, margin, len(found), int(plans.sum()), share, worst, float(slower.mean())))
    return made


def above(judged: Power, decision: Schedule, truth: Snapshot) -> tuple[int, float]:
    """Return the slots in which the true draw is above a cap, and the worst in percent of that cap."""
    cap_w = truth.limits.power_cap_w or np.inf
    cluster_w = judged.power_w(decision)
    racks_mw = site_draws(judged.work, judged.slots, decision.start, decision.level)
    over_mw = racks_mw - judged.work.site_room[:, None]
    rack_w = truth.limits.rack_power_cap_w or np.inf
    slots = (cluster_w > cap_w + 1e-3) | (over_mw > 0).any(axis=0)
    worst = max(float(cluster_w.max()) / cap_w - 1.0, float(over_mw.max()) / 1e3 / rack_w, 0.0)
    return int(slots.sum()), 100.0 * worst
