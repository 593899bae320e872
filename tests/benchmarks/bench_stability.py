"""A small change in the input: how small is the change in the plan, with and without the last plan to begin at?

A plan is made for a cluster. Then one job that it does not move is taken away, or one like another arrives, or a node
is drained (for experts: their loads change by a few percent), and a plan is made again, once from nothing and once
begun at the first plan; neither was applied. Told are the share of the first plan's changes that are in the second one
too, of those that are still possible, and the gain of beginning at the last plan beside that of beginning from nothing.
Both searches get the same effort, but one of them goes on where another has been, from which it may gain.

Clusters: those that replayed traces leave in pieces (``tests/benchmarks/placement/instances.py``), of the half that was
not looked at while tuning, and the sample. A full run takes about six minutes.

Run: ``python -m tests.benchmarks.bench_stability [--gpus N] [--evaluations N] [--stability S] [--tuning] [--out DIR]``.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from data.schemas.cluster import Snapshot
    from data.schemas.plan import Action
    from tasks.problems.protocol import Steady
    from tasks.refine import Effort

ROOT = Path(__file__).resolve().parents[2]
LOAD_ERROR = 0.05
"""Standard deviation of the logarithm of what an expert's load is multiplied by."""


@dataclass(frozen=True, slots=True)
class Row:
    """One change of one cluster: changes of the first plan that are still possible, those kept, and the gains."""

    cluster: str
    problem: str
    change: str
    possible: int
    kept_from_nothing: int
    kept_from_last: int
    gain_from_nothing: float
    gain_from_last: float


Pose = Callable[["Snapshot"], "Steady[Any]"]


def main() -> None:
    """Print the rows, the shares and the gain given up, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, default=512, help="of the clusters from traces")
    parser.add_argument("--evaluations", type=int, default=400_000, help="of each search: the standard effort")
    parser.add_argument("--stability", type=float, default=0.01, help="share of the gain that may be given up")
    parser.add_argument("--tuning", action="store_true", help="the halves of the traces to tune on, not the others")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-stability"), help="folder of the JSON")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"  # each library reads it when it is first loaded
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a long run is read while it goes on
    from flows.environment import prepare
    from tasks.refine import Effort

    prepare()
    effort = Effort(evaluations=options.evaluations, rounds=10, window=14, patience=6)
    print(f"{'cluster':24} {'problem':10} {'change':13} changes kept: from nothing, from the last plan; gain of each")
    rows = []
    for cluster, pose, snapshot in cases(options.gpus, tuning=options.tuning):
        for row in compared(cluster, pose, snapshot, effort, options.stability, options.seed):
            rows.append(row)
            print(
                f"{row.cluster:24} {row.problem:10} {row.change:13} {row.kept_from_nothing:4} {row.kept_from_last:4} "
                f"of {row.possible:4}   {row.gain_from_nothing:10.3f} {row.gain_from_last:10.3f}"
            )
    told = summed(rows)
    print()
    for line in told:
        print(
            f"{line['problem']:10} {line['change']:13} kept from nothing {line['from_nothing']:6.1%}, from the last "
            f"plan {line['from_last']:6.1%}; gain {line['gain']:+.2%} beside from nothing ({line['rows']} clusters)"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"rows": [asdict(row) for row in rows], "sums": told}, indent=1)
    (options.out / "stability.json").write_text(text + "\n")
    print(f"\nwritten: {options.out / 'stability.json'}")


def cases(gpus: int, *, tuning: bool) -> Iterator[tuple[str, Pose, "Snapshot"]]:
    """Yield clusters with what is posed of each: gangs, schedule and experts of the sample, gangs of the others."""
    from data.readers.sources import Sample
    from tasks.problems.placement import Placement
    from tasks.problems.power import Power
    from tasks.problems.routing import Routing
    from tests.benchmarks.placement.instances import instances

    sample = Sample()().snapshot
    known = tuple(replace(job, gpu_power_w=job.gpu_power_w or 500.0) for job in sample.jobs)
    yield "sample", Placement.from_snapshot, sample
    yield "sample", Power.from_snapshot, replace(sample, jobs=known)
    yield "sample", lambda state: Routing.from_snapshot(state, state.deployments[0].id), sample
    folder = Path(os.environ.get("QUANTUMFLOW_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "philly_sia").is_dir() or not (folder / "alibaba_gpu_v2023").is_dir():
        print(f"skipped the traces: {folder} has none of Philly and openb (set QUANTUMFLOW_DATA)")
        return
    for name, snapshot in instances(folder, "tuning" if tuning else "held-out", gpus=gpus, each=1):
        yield name, Placement.from_snapshot, snapshot


def compared(
    cluster: str, pose: Pose, snapshot: "Snapshot", effort: "Effort", stability: float, seed: int
) -> Iterator[Row]:
    """Yield one row for each small change of ``snapshot``."""
    import numpy as np

    from qiskit_solvers.anneal import Anneal
    from tasks.earlier_plan import aims
    from tasks.refine import LastPlan, refine

    def planned(problem: "Steady[Any]", last: LastPlan[Any] | None) -> tuple[tuple["Action", ...], float]:
        refined = refine(problem, Anneal(), np.random.default_rng(seed), effort=effort, last=last)
        return problem.actions(refined.decision), refined.costs[0] - refined.costs[-1]

    problem = pose(snapshot)
    first, _ = planned(problem, None)
    touched = {str(key[1]) for key in aims(first)}
    for change, state in changes(snapshot, touched, problem.name, np.random.default_rng(seed)):
        posed = pose(state)
        carried = posed.carried(first)
        possible = aims(posed.actions(carried))
        fresh, gain = planned(posed, None)
        again, gain_again = planned(posed, LastPlan(carried, posed.nearer, stability))
        left, kept = (sum(aims(made).get(key) == aim for key, aim in possible.items()) for made in (fresh, again))
        yield Row(cluster, problem.name.partition(":")[0], change, len(possible), left, kept, gain, gain_again)


def changes(
    snapshot: "Snapshot", touched: set[str], problem: str, rng: "np.random.Generator"
) -> Iterator[tuple[str, "Snapshot"]]:
    """Yield states that differ a little from ``snapshot``, of whose jobs a plan changes those ``touched``."""
    if problem.startswith("routing"):
        yield "loads differ", _with_other_loads(snapshot, rng)
        return
    still = [job for job in snapshot.jobs if job.placement and job.id not in touched]
    if still:
        gone = still[rng.integers(len(still))]
        yield "a job left", replace(snapshot, jobs=tuple(job for job in snapshot.jobs if job is not gone))
    like = snapshot.jobs[rng.integers(len(snapshot.jobs))]
    new = replace(like, id="newcomer", state="pending", placement=(), gang="", depends_on=(), planned_start_s=None)
    yield "a job came", replace(snapshot, jobs=(*snapshot.jobs, new))
    held = sorted({worker.node for job in snapshot.jobs for worker in job.placement})
    out = held[rng.integers(len(held))]
    nodes = tuple(replace(node, state="drained") if node.id == out else node for node in snapshot.nodes)
    yield "a node drained", replace(snapshot, nodes=nodes)


def _with_other_loads(snapshot: "Snapshot", rng: "np.random.Generator") -> "Snapshot":
    """Return the cluster with the last window of each deployment multiplied by noise."""
    import numpy as np

    deployments = []
    for each in snapshot.deployments:
        window = np.array(each.loads[-1])
        noisy = (window * rng.lognormal(0.0, LOAD_ERROR, window.shape)).round(3)
        deployments.append(replace(each, loads=(*each.loads[:-1], tuple(map(tuple, noisy.tolist())))))
    return replace(snapshot, deployments=tuple(deployments))


def summed(rows: list[Row]) -> list[dict[str, Any]]:
    """Return the shares and the gain by problem and change, over all clusters."""
    told = []
    for problem, change in dict.fromkeys((row.problem, row.change) for row in rows):
        those = [row for row in rows if (row.problem, row.change) == (problem, change)]
        possible = max(1, sum(row.possible for row in those))
        gain = sum(row.gain_from_nothing for row in those)
        told.append(
            {
                "problem": problem,
                "change": change,
                "rows": len(those),
                "from_nothing": sum(row.kept_from_nothing for row in those) / possible,
                "from_last": sum(row.kept_from_last for row in those) / possible,
                "gain": sum(row.gain_from_last for row in those) / gain - 1.0 if gain else 0.0,
            }
        )
    return told


if __name__ == "__main__":
    main()
