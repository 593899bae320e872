"""What becomes of the pipeline if it runs on a schedule for an afternoon and nobody looks?

``python -m tests.soak --cycles 200 --interval 15`` starts a Prefect server and a worker on loopback, deploys
``optimize-cluster/periodic``, shortens its interval, and lets the scheduler do the rest. Beside it lives a generated
cluster: after each run its plan is checked from scratch, carried out by a dry run, undone and done again on a copy, and
a quarter of an hour passes, in which jobs end and arrive and nodes fail. What was promised and did not hold is a
violation; the command then ends with exit code 1.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from data.crosscheck import cross_check
from data.digest import snapshot_digest
from data.errors import ApplyFailed, PlanRefused
from data.generators.cluster import Experts, Scenario, snapshot_of
from data.generators.hardware import dgx_nodes, nvl72_racks
from data.generators.passing_time import Passing, later
from data.generators.power import cluster_draw_w
from data.readers.plan import read_plan
from data.readers.snapshot import read_snapshot, write_snapshot
from data.schemas.apply import Opened, Process, Resumed
from data.schemas.cluster import Snapshot
from data.schemas.job import Job
from data.schemas.plan import Plan
from data.transition import apply_actions
from tasks.apply.dry_run import DryRun
from tasks.apply.journal import new_journal, old_journal
from tasks.apply.loop import go_on
from tasks.apply.targets import starts_first
from tasks.forecasters.model_file import FILE_NAME, save_model
from tasks.predict import train_on
from tasks.validate import validate
from tests.asks_again import AsksAgain
from tests.prefect_database import fresh_database

ROOT = Path(__file__).resolve().parent.parent
PREFECT = Path(sys.executable).with_name("prefect")
DEPLOYMENT = "periodic"
PASSES_S = 900.0
"""Time that passes in the cluster from one run to the next: what the deployment's interval is in earnest."""

PATIENCE_S = 600.0
"""In which something must happen: a server must start, a run must end."""

EFFORT = {"evaluations": 20_000, "rounds": 2, "window": 10, "patience": 2, "tries": 8}
CLUSTER = Scenario(
    cluster="soak",
    taken_at="2026-03-02T06:00:00+00:00",
    nodes=nvl72_racks(1) + dgx_nodes(4),
    jobs=40,
    mean_gpus=4.0,
    largest=32,
    load=1.5,
    turnover=4.0,
    samples=12,
    interval_s=300.0,
    experts=Experts(ranks=8, slots_per_rank=3, layers=4, experts=16, windows=4, targets_kept=3),
)


@dataclass(slots=True)
class Cycle:
    """What one run came to; sizes in MB."""

    run: str
    seconds: float
    actions: int
    applied: bool
    jobs: int
    server_mb: float
    worker_mb: float
    database_mb: float
    violations: list[str] = field(default_factory=list)


@dataclass(slots=True)
class World:
    """The cluster beside which the pipeline runs: what it is now, and the file where the pipeline reads it."""

    snapshot: Snapshot
    kinds: tuple[Job, ...]
    file: Path
    rng: np.random.Generator

    @classmethod
    def made(cls, file: Path, seed: int) -> "World":
        """Return a fresh cluster under a power cap that binds, written to ``file``."""
        rng = np.random.default_rng(seed)
        snapshot = snapshot_of(CLUSTER, rng)
        limits = replace(snapshot.limits, power_cap_w=round(0.97 * cluster_draw_w(snapshot), -3))
        world = cls(replace(snapshot, limits=limits), snapshot.jobs, file, rng)
        write_snapshot(world.snapshot, file)
        return world

    def live_on(self, plan: Plan | None) -> None:
        """Let the plan, where there is one, come into force and a quarter of an hour pass."""
        now = self.snapshot if plan is None else apply_actions(self.snapshot, plan.actions)
        passing = Passing(arrivals_per_h=7.0, failures_per_h=0.6, repair_h=1.0)
        self.snapshot = later(now, PASSES_S, self.rng, self.kinds, passing)
        write_snapshot(self.snapshot, self.file)


def judged(folder: Path, world: World) -> tuple[Plan, bool, list[str]]:
    """Return the plan of a run, whether it is for the cluster as it is now, and which promises it breaks."""
    plan = read_plan(folder / "plan.json")
    state = read_snapshot(folder / "snapshot.json").snapshot
    fresh = plan.snapshot_sha256 == snapshot_digest(world.snapshot)
    violations = [f"{check.name}: {check.detail}" for check in validate(plan, state, folder).checks if not check.passed]
    after = apply_actions(state, plan.actions)
    if apply_actions(after, plan.inverse) != state:
        violations.append("the inverse does not lead back")
    violations += [f"state after the plan: {each.field}" for each in cross_check(after)]
    for row in plan.solvers:
        before = next(each for each in plan.solvers if each.problem == row.problem and each.method == "incumbent")
        if row.chosen and row.cost > before.cost + 1e-9 * max(1.0, abs(before.cost)):
            violations.append(f"{row.problem}: {row.method} costs {row.cost}, and what was in force {before.cost}")
    return plan, fresh, violations


@dataclass(frozen=True, slots=True)
class Service:
    """The server and the worker that run.

    Args:
        api: of the server.
        database: its file.
        server: its process.
        worker: likewise.
    """

    api: httpx.Client
    database: Path
    server: int
    worker: int

    def counts(self) -> dict[str, int]:
        """Return how many runs of the deployment are in which state."""
        runs: list[dict[str, Any]] = []
        while True:
            asked = {"sort": "EXPECTED_START_TIME_ASC", "limit": 200, "offset": len(runs)}
            page = self.api.post("/flow_runs/filter", json=asked).raise_for_status().json()
            runs += page
            if len(page) < 200:
                break
        states = [run["state_name"] for run in runs]
        return {name: states.count(name) for name in sorted(set(states)) if name not in ("Scheduled",)}

    def database_mb(self) -> float:
        """Return the size of the database with its journal."""
        files = self.database.parent.glob(f"{self.database.name}*")
        return sum(file.stat().st_size for file in files) / 1e6


@contextmanager
def running(folder: Path, params: Mapping[str, object], interval_s: float) -> Iterator[Service]:
    """Start a server and a worker, deploy, and switch the shortened schedule on; end both afterwards."""
    port = _free_port()
    home = folder / "prefect"
    fresh_database(home / "prefect.db")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")} | {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "DO_NOT_TRACK": "1",
        "QUANTUMFLOW_ROOT": str(ROOT),
        "QUANTUMFLOW_ROOTS": str(folder),
    }
    with ExitStack() as stack:
        api = stack.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{port}/api", timeout=60.0, transport=AsksAgain())
        )
        server = stack.enter_context(_process(("server", "start"), environment, folder / "server.log"))
        _wait_for(api, server)
        for words in (
            ("work-pool", "create", "quantumflow", "--type", "process"),
            ("--no-prompt", "deploy", "--name", DEPLOYMENT),
        ):
            done = subprocess.run(
                [PREFECT, *words], cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=600
            )
            if done.returncode:
                raise RuntimeError(f"prefect {' '.join(words)}: {done.stdout}{done.stderr}")
        worker = stack.enter_context(
            _process(("worker", "start", "--pool", "quantumflow"), environment, folder / "worker.log")
        )
        deployment = api.get(f"/deployments/name/optimize-cluster/{DEPLOYMENT}").raise_for_status().json()
        where = f"/deployments/{deployment['id']}"
        api.patch(where, json={"parameters": {"params": dict(params)}}).raise_for_status()
        schedule = {"interval": interval_s, "timezone": "UTC"}
        changed = api.patch(
            f"{where}/schedules/{deployment['schedules'][0]['id']}", json={"active": True, "schedule": schedule}
        )
        changed.raise_for_status()
        yield Service(api, home / "prefect.db", server.pid, worker.pid)


def soak(folder: Path, cycles: int, interval_s: float, seed: int) -> tuple[list[Cycle], dict[str, int]]:
    """Let ``cycles`` scheduled runs happen in ``folder``, and return what each came to and how many runs ended how."""
    runs = folder / "runs"
    runs.mkdir(parents=True)
    world = World.made(folder / "cluster.json", seed)
    model = folder / FILE_NAME
    measured = replace(CLUSTER, nodes=nvl72_racks(4) + dgx_nodes(8), jobs=200)
    save_model(train_on(snapshot_of(measured, world.rng), world.rng), model)
    params = {
        "source": {"kind": "snapshot", "path": str(world.file)},
        "nouns": ["placement", "power", "routing"],
        "custom_effort": EFFORT,
        "power_model": str(model),
        "previous_plan": str(runs),
        "output": str(runs),
    }
    found: list[Cycle] = []
    with running(folder, params, interval_s) as service, (folder / "cycles.jsonl").open("w") as log:
        seen: set[str] = set()
        since = time.monotonic()
        while len(found) < cycles:
            new = sorted(path for path in runs.glob("[0-9]*") if path.is_dir() and path.name not in seen)
            if not new:
                if time.monotonic() - since > PATIENCE_S:
                    raise TimeoutError(f"no run ended within {PATIENCE_S:.0f} s: {service.counts()} ({folder})")
                time.sleep(0.2)
                continue
            for path in new[: cycles - len(found)]:
                seen.add(path.name)
                found.append(_cycle(path, world, service, time.monotonic() - since))
                since = time.monotonic()
                print(json.dumps(asdict(found[-1])), file=log, flush=True)
                if sys.stderr.isatty() or len(found) % 10 == 0:
                    print(_line(len(found), found[-1]), file=sys.stderr, flush=True)
        return found, service.counts()


def _cycle(path: Path, world: World, service: Service, seconds: float) -> Cycle:
    plan, fresh, violations = judged(path, world)
    if fresh:
        try:
            violations += _carried_out(plan, world.snapshot, path)
        except (ApplyFailed, PlanRefused) as error:
            violations.append(f"the plan could not be carried out: {error}")
    world.live_on(plan if fresh else None)
    return Cycle(
        run=path.name,
        seconds=round(seconds, 2),
        actions=len(plan.actions),
        applied=fresh,
        jobs=len(world.snapshot.jobs),
        server_mb=round(_memory_mb(service.server), 1),
        worker_mb=round(_memory_mb(service.worker), 1),
        database_mb=round(service.database_mb(), 2),
        violations=violations,
    )


def _carried_out(plan: Plan, snapshot: Snapshot, folder: Path) -> list[str]:
    """Carry the plan out by a dry run, undo it by its journal, and return what is wrong with either."""
    by = Process("", "localhost", os.getpid(), "soak")
    file = folder / "plan.json"
    opened = Opened(
        by=by,
        cluster=plan.cluster,
        plan=str(file),
        file_sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        plan_sha256=plan.sha256,
        snapshot_sha256=plan.snapshot_sha256,
        snapshot_taken_at=plan.snapshot_taken_at,
        executor="dry-run",
        options="{}",
        approved_by="soak",
        comment="",
        notes=(),
        actions=starts_first(plan.actions),
    )
    executor = DryRun(snapshot)
    path = folder.parents[1] / "applies" / f"{folder.name}.jsonl"
    with new_journal(path, opened, _now, lambda _: None) as journal:
        applied = go_on(journal, executor)
    wrong = []
    if applied.outcome != "applied" or applied.done != len(plan.actions):
        wrong.append(f"apply: {applied.outcome}, {applied.done} of {len(plan.actions)} actions: {applied.why}")
    if executor.state != apply_actions(snapshot, plan.actions):
        wrong.append("apply: the state is not that of the plan")
    with old_journal(path, _now, lambda _: None) as journal:
        journal.append(Resumed(by, "back"))
        back = go_on(journal, executor)
    if back.outcome != "rolled-back" or executor.state != snapshot:
        wrong.append(f"rollback: {back.outcome}, and the state is {'not ' * (executor.state != snapshot)}as before")
    return wrong


def _now() -> datetime:
    return datetime.now(UTC)


def _line(number: int, cycle: Cycle) -> str:
    broken = f", {len(cycle.violations)} VIOLATIONS" if cycle.violations else ""
    return (
        f"cycle {number}: {cycle.seconds:.1f} s, {cycle.actions} actions{'' if cycle.applied else ' (stale)'}, "
        f"{cycle.jobs} jobs, server {cycle.server_mb:.0f} MB, database {cycle.database_mb:.1f} MB{broken}"
    )


def summary(cycles: Sequence[Cycle], counts: Mapping[str, int], seconds: float) -> str:
    """Return the account of a soak: runs, plans, growth, violations."""
    half = cycles[len(cycles) // 2 :]
    violations = [f"  {cycle.run}: {each}" for cycle in cycles for each in cycle.violations]

    def grown(name: str) -> str:
        each = (getattr(half[-1], name) - getattr(half[0], name)) / max(1, len(half) - 1)
        first, last = getattr(cycles[0], name), getattr(cycles[-1], name)
        return f"{first:.1f} MB at first, {last:.1f} MB at last; {1000 * each:+.0f} kB a cycle in the second half"

    ended = ", ".join(f"{count} {name}" for name, count in counts.items())
    median = float(np.median([cycle.seconds for cycle in cycles]))
    return "\n".join(
        (
            f"{len(cycles)} cycles in {seconds / 60:.1f} minutes, {median:.1f} s from one plan to the next (median)",
            f"runs         {ended}",
            f"plans        {sum(cycle.applied for cycle in cycles)} carried out by dry run, "
            f"{sum(not cycle.applied for cycle in cycles)} stale and refused, "
            f"{sum(cycle.actions for cycle in cycles)} actions",
            f"server       {grown('server_mb')}",
            f"worker       {grown('worker_mb')}",
            f"database     {grown('database_mb')}",
            f"violations   {len(violations)}",
            *violations,
        )
    )


@contextmanager
def _process(words: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [PREFECT, *words], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT,
            # where this was started with `&`, children would ignore SIGINT, and with it Prefect's SIGTERM
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(api: httpx.Client, server: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if server.poll() is not None:
            raise TimeoutError(f"the server ended with exit code {server.returncode}")
        try:
            if api.get("/health").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise TimeoutError(f"the server did not answer within {PATIENCE_S:.0f} s")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _memory_mb(process: int) -> float:
    """Return what a process holds in memory, without the processes that it started."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> int:
    """Run the soak that the command line asks for, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--interval", type=float, default=15.0, help="seconds from one scheduled run to the next")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep everything there; otherwise it is removed")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="soak-"))
    begun = time.monotonic()
    try:
        cycles, counts = soak(folder, asked.cycles, asked.interval, asked.seed)
        print(summary(cycles, counts, time.monotonic() - begun))
    finally:
        if asked.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    failed = sum(counts.get(name, 0) for name in ("Failed", "Crashed", "TimedOut"))
    return 1 if failed or any(cycle.violations for cycle in cycles) else 0


if __name__ == "__main__":
    sys.exit(main())
