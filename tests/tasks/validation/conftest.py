"""A small cluster and a good plan for it, with every figure worked out by hand.

Slots of 600 s, twelve of them. Two gangs that are spread over two NVLink domains change places; one of them gets a
lower cap, so that the job that waits for it starts a slot later; a waiting job gets a GPU; two replicas of a busy
expert are made; a checkpoint is archived.

- Background: 7 nodes of 100 W and 4 * 50 W: 2100 W.
- Draw above idle: red 8 * 750 = 6000 W for 6 slots, with the cap 8 * 550 = 4400 W for 4000 s in 7 slots; blue 8 * 550 =
  4400 W for 12; pinned (assumed to draw 250 W) 2 * 200 = 400 W for 2; old 2 * 100 = 200 W for 1; waiting 300 W for 2,
  before not within the horizon, after from slot 0; later 4 * 400 = 1600 W for 3, from slot 6, after from slot 7.
- Before: 13,100 W, 12,900 W, 4 slots of 12,500 W, 3 of 8100 W, 3 of 6500 W. After: 11,800 W, 11,600 W, 5 slots of
  10,900 W, 3 of 8100 W, 2 of 6500 W. The cap is 12,300 W.
- Completion by GPUs, priority 2 for blue: 8 * 3600, 2 * 8 * 7200, 2 * 1200, 2 * 600, 7200 + 900, 4 * (3600 + 1800)
  GPU-seconds, 177,300; after 8 * 4000, 2 * 8 * 7200, 2 * 1200, 2 * 600, 900, 4 * (4200 + 1800), 175,700; the weights
  add up to 33.
- Experts: of 20 tokens a layer, the fullest of 8 ranks holds 8 and 3, after 4 and 3; the mean is 2.5.
"""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from data.digest import signed, snapshot_digest
from data.schemas.checkpoint import Archive, Checkpoint
from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job, PowerLevel, Worker
from data.schemas.plan import (
    Action,
    AssumedPower,
    Bound,
    Compress,
    Metric,
    Migrate,
    MoveReplicas,
    Place,
    Plan,
    Recap,
    SolverRow,
    Start,
)
from data.schemas.routing import ExpertDeployment, Transition
from data.transition import apply_actions, inverse
from tasks.validation.metrics import recomputed
from tasks.validation.timetable import timetable, with_assumed_power

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
WHOLE = (0, 1, 2, 3)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def node(name: str, rack: str, model: str = "H100") -> Node:
    return Node(name, model, 4, name[0], rack, 200.0, 1000.0, 50.0, 100.0)


@pytest.fixture
def snapshot() -> Snapshot:
    a0, a1, b0, b1 = (Worker(name, WHOLE) for name in ("a0", "a1", "b0", "b1"))
    nodes = (
        node("a0", "r1"),
        node("a1", "r1"),
        node("b0", "r2"),
        node("b1", "r2"),
        replace(node("c0", "r2"), state="drained"),
        replace(node("d0", "r3", "L40"), unavailable_gpus=(3,)),
        node("e0", "r3"),
    )
    levels = (PowerLevel(400.0, 0.5), PowerLevel(600.0, 0.9))
    jobs = (
        Job("red", 2, 4, "running", (a0, b0), gpu_power_w=800.0, traffic_gb_per_s=10.0, power_levels=levels),
        Job("blue", 2, 4, "running", (a1, b1), "", None, 2.0, 7200.0, gpu_power_w=600.0, traffic_gb_per_s=20.0),
        Job("pinned", 1, 2, "running", (Worker("d0", (0, 1)),), gpu_model="L40", remaining_s=1200.0, movable=False),
        Job("old", 1, 2, "running", (Worker("c0", (0, 1)),), gpu_power_w=150.0, remaining_s=600.0),
        Job("waiting", 1, 1, "pending", gpu_model="L40", gpu_power_w=350.0, remaining_s=900.0),
        Job(
            "later", 1, 4, "pending", gpu_model="H100", gpu_power_w=450.0, remaining_s=1800.0, depends_on=("red",),
            planned_start_s=3600.0,
        ),
    )  # fmt: skip
    deployment = ExpertDeployment(
        "moe",
        "blue",
        ranks=8,
        slots_per_rank=1,
        loads=(((1.0,) * 6, (1.0,) * 6), ((8.0, 4.0, 2.0, 2.0, 2.0, 2.0), (3.0, 3.0, 3.0, 3.0, 4.0, 4.0))),
        placement=((0, 1, 2, 3, 4, 5, 5, 5), (0, 1, 2, 3, 4, 5, 4, 5)),
        transitions=(Transition(0, 0, 4, 6.0), Transition(0, 5, 0, 3.0), Transition(0, 1, 1, 1.0)),
    )
    checkpoint = Checkpoint("red-9", "red", "red.safetensors", "safetensors", 9, sha256(GOLDEN / "small.safetensors"))
    limits = Limits(12_300.0, migration_budget_gpus=8, migration_budget_replicas=2, slot_s=600.0, horizon_slots=12)
    return Snapshot(
        "by-hand",
        "2026-01-31T12:00:00+00:00",
        nodes,
        jobs,
        deployments=(deployment,),
        checkpoints=(checkpoint,),
        limits=limits,
    )


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    """The folder that holds the plan's archive."""
    (tmp_path / "checkpoints").mkdir()
    shutil.copy(GOLDEN / "small.qfz", tmp_path / "checkpoints" / "red-9.qfz")
    return tmp_path


@pytest.fixture
def actions() -> tuple[Action, ...]:
    a0, a1, b0, b1 = (Worker(name, WHOLE) for name in ("a0", "a1", "b0", "b1"))
    archive = Archive("checkpoints/red-9.qfz", sha256(GOLDEN / "small.qfz"), (GOLDEN / "small.qfz").stat().st_size)
    return (
        Migrate("red", (a0, b0), (a0, a1), 0, "together", 3.0),
        Migrate("blue", (a1, b1), (b0, b1), 0, "together", 2.0),
        Place("waiting", (), (Worker("d0", (2,)),), "room", 1.0),
        Recap("red", None, 600.0, "under the cap", 1.0),
        Start("waiting", None, 0.0, "room", 1.0),
        Start("later", 3600.0, 4200.0, "its job runs longer", -1.0),
        MoveReplicas("moe", 0, (6, 7), (5, 5), (0, 0), "balance", 0.5),
        Compress("red-9", None, archive, "smaller", 192.0),
    )


@pytest.fixture
def figures() -> tuple[Metric, ...]:
    """What the plan states, worked out by hand."""
    lower: Literal["lower"] = "lower"
    higher: Literal["higher"] = "higher"
    return (
        Metric("placement.cross_domain_traffic_gb_per_s", "GB/s", 120.0, 0.0, lower),
        Metric("placement.racks_per_gang", "racks", 1.5, 1.0, lower),
        Metric("placement.domains_per_gang", "domains", 1.5, 1.0, lower),
        Metric("placement.uneven_gangs", "gangs", 0.0, 0.0, lower),
        Metric("placement.whole_domains", "domains", 1.0, 1.0, higher),
        Metric("placement.whole_domain_gpus", "GPUs", 4.0, 4.0, higher),
        Metric("placement.whole_gangs_fit", "gangs", 0.0, 0.0, higher),
        Metric("placement.stranded_gpus", "GPUs", 1.0, 0.0, lower),
        Metric("placement.waiting_gpus", "GPUs", 5.0, 4.0, lower),
        Metric("placement.moved_gpus", "GPUs", 0.0, 8.0, lower),
        Metric("placement.migration_gpu_h", "GPU-h", 0.0, 2 * 8 * 120 / 3600, lower),
        Metric("power.peak_w", "W", 13_100.0, 11_800.0, lower),
        Metric("power.overload_kwh", "kWh", 2200 * 600 / 3.6e6, 0.0, lower),
        Metric("power.energy_kwh", "kWh", 119_800 * 600 / 3.6e6, 115_200 * 600 / 3.6e6, lower),
        Metric("power.weighted_completion_h", "h", 177_300 / 3600 / 33, 175_700 / 3600 / 33, lower),
        Metric("routing.moe.balancedness", "ratio", 5 / 11, 5 / 7, higher),
        Metric("routing.moe.crossing_share", "share", 0.9, 0.0, lower),
        Metric("routing.moe.moved_replicas", "replicas", 0.0, 2.0, lower),
        Metric("checkpoint.bytes", "bytes", 2272.0, 2080.0, lower),
    )


@pytest.fixture
def plan(snapshot: Snapshot, actions: tuple[Action, ...], figures: tuple[Metric, ...]) -> Plan:
    """A good plan."""
    rows = tuple(
        SolverRow(problem, method, cost, 100, 0, 1, chosen=method != "incumbent")
        for problem, costs in (("placement", (10.0, 5.0)), ("power", (8.0, 8.0)), ("routing:moe", (2.0, 1.5)))
        for method, cost in zip(("incumbent", "classical search"), costs, strict=True)
    )
    return signed(
        Plan(
            snapshot.cluster,
            snapshot_digest(snapshot),
            snapshot.taken_at,
            code_version="1",
            options="{}",
            seed=0,
            actions=actions,
            inverse=inverse(actions),
            assumed_power=(AssumedPower("pinned", 250.0, "median"),),
            metrics=figures,
            solvers=rows,
            bounds=(Bound("placement", 4.0, 0.25, "relaxation"), Bound("power", -1.0, None, "relaxation")),
            fallbacks=(),
            set_aside=(),
            notes=(),
            sha256="0" * 64,
        )
    )


@pytest.fixture
def replan(plan: Plan) -> Callable[[Snapshot, tuple[Action, ...]], Plan]:
    """Return an honest plan of other actions, for another state: digests, inverse and figures are as they should be."""

    def replanned(state: Snapshot, actions: tuple[Action, ...]) -> Plan:
        after = apply_actions(state, actions)
        tables = tuple(timetable(with_assumed_power(each, plan.assumed_power)) for each in (state, after))
        compresses = any(isinstance(action, Compress) for action in actions)
        archived = (2272.0, 2080.0) if compresses else (0.0, 0.0)
        metrics = tuple(
            metric
            for metric in recomputed(state, after, (tables[0], tables[1]), archived)
            if compresses or metric.name != "checkpoint.bytes"
        )
        return signed(
            replace(
                plan,
                snapshot_sha256=snapshot_digest(state),
                actions=actions,
                inverse=inverse(actions),
                metrics=metrics,
            )
        )

    return replanned
