"""How much sooner is a plan ready with more workers, and is it the same plan?

Forecasting and archives are left out, and so is Prefect: what is timed is :func:`flows.capabilities.improve`, from a
snapshot to the parts of its plan, the start of the workers included. Two clusters: the small sample as it ships (one
served model), and the same with eight served models, each the sample's with its experts renumbered by chance.

Who computes takes turns, ``--repeats`` times over; medians are reported, with the speed-up over this process and the
efficiency, that is the speed-up over the processes that compute. The digest of all parts must be the same everywhere,
or the benchmark fails. What more workers would give than this machine has cores is on paper: the steps that were timed
in this process are dealt out in the order in which a team takes them (greedily, each step to the first free worker;
Graham 1969, doi 10.1137/0117039), without any cost of starting or sending; and Amdahl's law with the serial share that
the two measured points give.

Run: ``python -m tests.benchmarks.bench_scale [--effort standard] [--repeats 5] [--dask] [--folder runs/bench-scale]``.
"""

import argparse
import hashlib
import heapq
import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from data.readers.sources import Sample
from data.schemas.cluster import Snapshot
from flows import refining
from flows.capabilities import improve
from flows.params import EFFORTS, OptimizeParams, Workers
from flows.watch import Watch
from tasks.fan_out.dask import Dask
from tasks.fan_out.processes import Processes
from tasks.fan_out.workers import Local
from tasks.predict import Forecast, predict
from tasks.refine import refine_plan
from tasks.scaling.laws import Span
from tasks.scaling.speedup_laws import Amdahl

ROOT = Path(__file__).resolve().parents[2]
ON_PAPER = (1, 2, 4, 8, 16, 32)
NEVER_S = 1e9

Steps = Mapping[str, Sequence[float]]
"""Seconds of each problem's classical search, then of each solver's windows."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one way to compute took: all runs, their median, and how that compares with this process."""

    cluster: str
    who: str
    workers: int
    seconds: tuple[float, ...]
    median_s: float
    speedup: float
    efficiency: float


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--effort", choices=list(EFFORTS), default="standard")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clusters", default="small,served", help="small, served or both")
    parser.add_argument("--dask", action="store_true", help="Dask's workers too")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "bench-scale")
    options = parser.parse_args()
    refining.refine_plan = refine_plan.fn  # type: ignore[attr-defined]  # the step without Prefect's record of it
    refining.get_run_logger = lambda: logging.getLogger("bench")  # type: ignore[attr-defined]
    rows, papers = list[Row](), dict[str, dict[int, float]]()
    for name in options.clusters.split(","):
        measured, steps = measure(name, options.effort, options.repeats, dask=options.dask)
        rows += measured
        show(measured)
        here = measured[0].median_s
        paper = {count: on_paper(steps, here, count) for count in ON_PAPER}
        papers[name] = paper
        serial = serial_share(measured)
        law = Amdahl(Span(0.0, 1.0))
        amdahl = law.value(np.array([[1.0, serial]]), np.array(ON_PAPER, float))
        print(f"  on paper, {name}: serial share {serial:.0%} by Amdahl's law from 1 and 2 processes")
        for count, by_law in zip(ON_PAPER, amdahl.ravel().tolist(), strict=True):
            times = f"{here / paper[count]:5.2f}x dealt out   {by_law:5.2f}x by Amdahl's law"
            print(f"  {count:3} workers   {paper[count]:8.2f} s   {times}")
    options.folder.mkdir(parents=True, exist_ok=True)
    report = {"effort": options.effort, "rows": [asdict(row) for row in rows], "on_paper_s": papers}
    (options.folder / "scale.json").write_text(json.dumps(report, indent=1) + "\n")


def measure(name: str, effort: str, repeats: int, *, dask: bool) -> tuple[list[Row], Steps]:
    """Return what each way to compute took on a cluster, in turns, and the seconds of its steps in this process."""
    snapshot = cluster(name)
    forecast = predict(snapshot, None, np.random.default_rng(0))
    ways: list[tuple[Workers, int]] = [(Local(), 1), (Processes(count=1), 1), (Processes(count=2), 2)]
    if dask:
        ways += [(Dask(count=1), 1), (Dask(count=2), 2)]
    seconds: dict[tuple[str, int], list[float]] = {(way.kind, count): [] for way, count in ways}
    digests, steps = set[str](), dict[str, list[float]]()
    improved(snapshot, forecast, effort, Local())  # kernels are loaded, once
    for turn in range(repeats):
        for way, count in (*ways[turn % len(ways) :], *ways[: turn % len(ways)]):
            spent, digest, laps = improved(snapshot, forecast, effort, way)
            seconds[way.kind, count].append(spent)
            digests.add(digest)
            if way.kind == "local":
                steps = steps_of(laps)
    if len(digests) != 1:
        sys.exit(f"{name}: expected the same parts whoever computes, found {len(digests)} kinds of them")
    here = median(seconds["local", 1])
    rows = [
        Row(name, who, count, tuple(spent), median(spent), here / median(spent), here / median(spent) / count)
        for (who, count), spent in seconds.items()
    ]
    return rows, steps


def cluster(name: str) -> Snapshot:
    """Return the sample as it ships, or with eight served models."""
    snapshot = Sample()().snapshot
    if name == "small":
        return snapshot
    if name != "served":
        raise ValueError(f"clusters: expected small or served, got {name!r}")
    (served,) = snapshot.deployments
    rng = np.random.default_rng(8)
    models = []
    for number in range(8):
        order = rng.permutation(served.experts)
        loads = tuple(tuple(tuple(np.array(layer)[order].tolist()) for layer in window) for window in served.loads)
        models.append(replace(served, id=f"{served.id}-{number}", loads=loads, transitions=()))
    return replace(snapshot, deployments=tuple(models))


def improved(
    snapshot: Snapshot, forecast: Forecast, effort: str, workers: Workers
) -> tuple[float, str, list[tuple[str, float]]]:
    """Return the seconds until all parts of a plan are there, their digest, and what each phase took."""
    params = OptimizeParams.model_validate({"source": Sample(), "effort": effort, "workers": workers})
    watch = Watch(NEVER_S, lambda _phase, _share: None)
    began = time.monotonic()
    parts = improve(forecast.assumed(snapshot), forecast, params, watch)
    spent = time.monotonic() - began
    watch.finish()
    return spent, hashlib.sha256(repr(parts).encode()).hexdigest(), watch.laps


def steps_of(laps: Sequence[tuple[str, float]]) -> dict[str, list[float]]:
    """Return the seconds of each problem's steps, in order."""
    steps = dict[str, list[float]]()
    for phase, spent in laps:
        stage, _, method = phase.rpartition(": ")
        if stage and (method == "classical search" or method.endswith(" on windows")):
            steps.setdefault(stage.removeprefix("refine "), []).append(spent)
    return steps


def on_paper(steps: Steps, here_s: float, workers: int) -> float:
    """Return the seconds that steps would take on so many workers, each when it may begin, to whoever is free first.

    Power waits for placement, windows for their search; what is no step stays serial.

    Args:
        steps: measured in this process.
        here_s: of the whole run in this process.
        workers: processes that compute.
    """
    serial = max(0.0, here_s - sum(map(sum, steps.values())))
    ready: list[tuple[float, int, str, int]] = []
    order = {name: number for number, name in enumerate(sorted(steps, key=lambda name: name != "placement"))}
    left = {name: len(spent) - 1 for name, spent in steps.items()}
    ended = dict.fromkeys(steps, 0.0)
    free = [0.0] * workers
    for name in steps:
        if name != "power" or "placement" not in steps:
            heapq.heappush(ready, (0.0, order[name], name, 0))
    finish = 0.0
    while ready:
        at = heapq.heappop(free)
        soonest = max(at, min(ready)[0])
        chosen = min((each for each in ready if each[0] <= soonest), key=lambda each: each[1:])
        ready.remove(chosen)
        heapq.heapify(ready)
        _, number, name, step = chosen
        end = soonest + steps[name][step]
        heapq.heappush(free, end)
        finish, ended[name] = max(finish, end), max(ended[name], end)
        if step == 0:
            for each in range(1, len(steps[name])):
                heapq.heappush(ready, (end, number, name, each))
        else:
            left[name] -= 1
        if left[name] == 0 and name == "placement" and "power" in steps:
            heapq.heappush(ready, (ended[name], order["power"], "power", 0))
    return serial + finish


def serial_share(rows: Sequence[Row]) -> float:
    """Return the serial share that Amdahl's law (1967, doi 10.1145/1465482.1465560) gives to one and two processes."""
    one, two = (next(row.median_s for row in rows if (row.who, row.workers) == ("processes", n)) for n in (1, 2))
    return float(np.clip(2.0 * two / one - 1.0, 1e-6, 1.0 - 1e-6))


def show(rows: Sequence[Row]) -> None:
    """Print what was measured on one cluster."""
    print("cluster   who computes   workers  median s    from      to  speed-up  efficiency")
    for row in rows:
        least, most = min(row.seconds), max(row.seconds)
        print(
            f"{row.cluster:10}{row.who:14}{row.workers:8}{row.median_s:10.2f}{least:8.2f}{most:8.2f}"
            f"{row.speedup:9.2f}x{row.efficiency:11.0%}"
        )


if __name__ == "__main__":
    main()
