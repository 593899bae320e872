"""A cluster that a hook changes, and a sound plan for it: what an apply of a whole flow needs."""

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data.digest import PLAN, signed, snapshot_digest
from data.readers.plan import write_plan
from data.readers.snapshot import write_snapshot
from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job, Worker
from data.schemas.plan import Action, Migrate, Place, Plan, Recap, SolverRow
from data.transition import apply_actions, inverse
from tasks.validation.metrics import recomputed
from tasks.validation.timetable import timetable

WHOLE = (0, 1, 2, 3)


def on(*names: str) -> tuple[Worker, ...]:
    return tuple(Worker(name, WHOLE) for name in names)


ACTIONS: tuple[Action, ...] = (
    Migrate("red", on("east-0", "west-0"), on("east-0", "east-2"), 0, "onto one NVLink domain", 1.0),
    Place("waiting", (), on("west-2", "west-3"), "room on one NVLink domain", 1.0),
    Recap("blue", None, 700.0, "leaves power to others", 0.1),
)


def state(taken_at: str) -> Snapshot:
    """Return two racks of four nodes; one gang is spread over both, another waits."""
    nodes = tuple(
        Node(f"{rack}-{index}", "GB200", 4, rack, rack, 200.0, 1200.0, 60.0, 500.0)
        for rack in ("east", "west")
        for index in range(4)
    )
    jobs = (
        Job("red", 2, 4, "running", on("east-0", "west-0"), gpu_power_w=900.0),
        Job("blue", 2, 4, "running", on("east-1", "west-1"), gpu_power_w=800.0, priority=2.0),
        Job("waiting", 2, 4, "pending", gpu_power_w=900.0),
    )
    return Snapshot("two-racks", taken_at, nodes, jobs, limits=Limits(migration_budget_gpus=16))


def sound_plan(snapshot: Snapshot, actions: tuple[Action, ...] = ACTIONS) -> Plan:
    """Return a plan that the validator finds nothing wrong with."""
    after = apply_actions(snapshot, actions)
    figures = recomputed(snapshot, after, (timetable(snapshot), timetable(after)), (0.0, 0.0))
    rows = tuple(
        SolverRow(problem, method, cost, 100, 0, 1, chosen=method != "incumbent")
        for problem in ("placement", "power")
        for method, cost in (("incumbent", 10.0), ("classical search", 5.0))
    )
    return signed(
        Plan(
            cluster=snapshot.cluster,
            snapshot_sha256=snapshot_digest(snapshot),
            snapshot_taken_at=snapshot.taken_at,
            code_version="0",
            options="{}",
            seed=0,
            actions=actions,
            inverse=inverse(actions),
            assumed_power=(),
            metrics=tuple(metric for metric in figures if metric.name != "checkpoint.bytes"),
            solvers=rows,
            bounds=(),
            fallbacks=(),
            set_aside=(),
            notes=(),
            sha256="0" * 64,
        )
    )


@dataclass(frozen=True, slots=True)
class HookCluster:
    """A folder with a plan to apply, and a hook with the state that it changes.

    Args:
        folder: of the hook; it is to be listed in ``QUANTUMFLOW_HOOKS``.
        run: folder of the plan.
    """

    folder: Path
    run: Path

    @property
    def executor(self) -> dict[str, Any]:
        hook = str(self.folder / "hook")
        return {"kind": "shell", "migrate": hook, "place": hook, "recap": hook, "start": hook}

    @property
    def sha256(self) -> str:
        return hashlib.sha256((self.run / "plan.json").read_bytes()).hexdigest()

    @property
    def jobs(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return found

    @property
    def changes(self) -> list[str]:
        log = self.folder / "changes.txt"
        return log.read_text().splitlines() if log.exists() else []

    def set(self, job: str, **fields: object) -> None:
        """Do what somebody else does to a job."""
        jobs = self.jobs
        jobs[job] |= fields
        (self.folder / "state.json").write_text(json.dumps(jobs))

    def params(self, **fields: object) -> Mapping[str, Any]:
        """Return parameters of the flow."""
        return {"plan": str(self.run), "sha256": self.sha256, "executor": self.executor, "approval": "given", **fields}


def hook_cluster(folder: Path, run: Path, taken_at: str | None = None) -> HookCluster:
    """Make a cluster and a plan of now.

    Args:
        folder: of the hook.
        run: of the plan.
        taken_at: when the state was read.
    """
    snapshot = state(taken_at or datetime.now(UTC).isoformat(timespec="seconds"))
    for each in (folder, run):
        each.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    hook = folder / "hook"
    text = Path(__file__).with_name("hook.py").read_text()
    hook.write_text(f"#!{shutil.which('python3', path='/usr/bin') or sys.executable}\n{text}")
    hook.chmod(0o700)
    jobs = {job.id: {"place": _plain(job.placement), "cap": None, "start": None} for job in snapshot.jobs}
    (folder / "state.json").write_text(json.dumps(jobs))
    write_snapshot(snapshot, run / "snapshot.json")
    write_plan(sound_plan(snapshot), run / "plan.json")
    return HookCluster(folder, run)


def after() -> dict[str, Any]:
    """Return the jobs of a hook's cluster once the plan is in force."""
    then = apply_actions(state("2026-01-31T12:00:00+00:00"), ACTIONS)
    return {
        job.id: {"place": _plain(job.placement), "cap": job.gpu_power_cap_w, "start": job.planned_start_s}
        for job in then.jobs
    }


def _plain(placement: tuple[Worker, ...]) -> list[dict[str, Any]]:
    return [{"node": worker.node, "gpus": list(worker.gpus)} for worker in placement]


def altered(cluster: HookCluster, **fields: object) -> None:
    """Sign another plan in the place of the first one."""
    plan = PLAN.validate_json((cluster.run / "plan.json").read_bytes())
    write_plan(signed(replace(plan, **fields)), cluster.run / "plan.json")  # type: ignore[arg-type]  # a test names fields
