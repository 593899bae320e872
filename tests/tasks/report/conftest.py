"""A plan with one action of each kind and everything else that a report tells, and the same with hostile names."""

from dataclasses import dataclass, replace

import pytest

from data.digest import signed, snapshot_digest
from data.schemas.checkpoint import Archive, Checkpoint
from data.schemas.cluster import Limits, Snapshot
from data.schemas.job import Worker
from data.schemas.plan import (
    Action,
    AssumedPower,
    Bound,
    Compress,
    Fallback,
    Metric,
    Migrate,
    MoveReplicas,
    Place,
    Plan,
    Recap,
    SetAside,
    SolverRow,
    Start,
)
from data.schemas.routing import ExpertDeployment
from data.transition import apply_actions, inverse
from tasks.validation.verdict import Check, Verdict

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>$(touch pwned)`touch pwned`\n\x1b[2Jtouch pwned"


@dataclass(frozen=True, slots=True)
class Case:
    """A plan with both of its states."""

    before: Snapshot
    plan: Plan

    @property
    def after(self) -> Snapshot:
        """The state that the plan leads to."""
        return apply_actions(self.before, self.plan.actions)


def plan_of(snapshot: Snapshot, actions: tuple[Action, ...]) -> Plan:
    """Return a signed plan of ``actions`` and nothing else."""
    digest = snapshot_digest(snapshot)
    empty: tuple[()] = ()
    return signed(
        Plan(
            snapshot.cluster, digest, snapshot.taken_at, "0.1.0", '{"effort":"quick"}', 7, actions, inverse(actions),
            empty, empty, empty, empty, empty, empty, empty, "0" * 64,
        )
    )  # fmt: skip


def on(*places: str) -> tuple[Worker, ...]:
    return tuple(Worker(place, (0, 1, 2, 3)) for place in places)


@pytest.fixture
def before(cluster: Snapshot) -> Snapshot:
    """The two racks with an uneven MoE deployment, a checkpoint, a broken GPU, a drained node and a power cap."""
    nodes = tuple(
        replace(node, unavailable_gpus=(3,)) if node.id == "west-2"
        else replace(node, state="drained") if node.id == "west-3"
        else node
        for node in cluster.nodes
    )  # fmt: skip
    jobs = tuple(replace(job, planned_start_s=600.0) if job.id == "later" else job for job in cluster.jobs)
    deployment = ExpertDeployment(
        "chat", "red", 2, 2, loads=(((8.0, 4.0, 2.0, 2.0), (1.0, 1.0, 1.0, 1.0)),), placement=((0, 1, 2, 3),) * 2
    )
    checkpoint = Checkpoint("red-step-9", "red", "checkpoints/red.pt", "torch")
    limits = Limits(power_cap_w=30_000.0, migration_budget_gpus=16, horizon_slots=24)
    return replace(cluster, nodes=nodes, jobs=jobs, deployments=(deployment,), checkpoints=(checkpoint,), limits=limits)


@pytest.fixture
def case(before: Snapshot) -> Case:
    """One action of each kind; the solvers tie on one problem and improve on the other."""
    archive = Archive("checkpoints/red-step-9.qfz", "a" * 64, 600)
    actions: tuple[Action, ...] = (
        Migrate("red", on("east-0", "west-0"), on("east-0", "east-1"), 0, "gang on 1 rack instead of 2", 8.0),
        Migrate("blue", on("east-1", "west-1"), on("west-0", "west-1"), 0, "gang on 1 rack instead of 2", 7.5),
        Place("waiting", (), on("east-3"), "room for a waiting job", 4.0),
        Recap("blue", None, 650.0, "leaves power to others", 0.25),
        Start("later", 600.0, 3_600.0, "waits for red", -1.0),
        MoveReplicas("chat", 0, (1, 2), (1, 2), (2, 1), "evens out layer 0", 0.4),
        Compress("red-step-9", None, archive, "restored and compared", 400.0),
    )
    bare = plan_of(before, actions)
    rows = (
        SolverRow("placement", "incumbent", 100.0, 0, 0, 0, chosen=False),
        SolverRow("placement", "classical search", 80.0, 50_000, 0, 12, chosen=True),
        SolverRow("placement", "exact on windows", 80.0, 56, 4, 0, chosen=False),
        SolverRow("placement", "qaoa on windows", 80.0, 56, 4, 0, chosen=False),
        SolverRow("routing:chat", "incumbent", 10.0, 0, 0, 0, chosen=False),
        SolverRow("routing:chat", "classical search", 8.0, 50_000, 0, 3, chosen=False),
        SolverRow("routing:chat", "exact on windows", 7.6, 56, 4, 2, chosen=False),
        SolverRow("routing:chat", "qaoa on windows", 7.6, 14, 1, 1, chosen=True),
        SolverRow("routing:chat", "exact on windows, standing in for qaoa", 8.0, 0, 0, 0, chosen=False),
    )
    plan = replace(
        bare,
        assumed_power=(AssumedPower("pinned", 700.0, "the node's limit"),),
        metrics=(
            Metric("placement.whole_domain_gpus", "GPUs", 0.0, 16.0, "higher"),
            Metric("placement.moved_gpus", "GPUs", 0.0, 8.0, "lower"),
            Metric("power.peak_w", "W", 31_000.0, 29_500.0, "lower"),
            Metric("power.weighted_completion_h", "h", 2.0, 2.5, "lower"),
            Metric("routing.chat.balancedness", "ratio", 0.75, 0.9, "higher"),
        ),
        solvers=rows,
        bounds=(
            Bound("placement", 60.0, 1 / 3, "closed-form relaxation"),
            Bound("routing:chat", 0.0, None, "closed-form relaxation"),
        ),
        fallbacks=(Fallback("refine routing:chat", "qaoa", "exact", "the child was killed by signal 9"),),
        set_aside=(SetAside("cluster.json: jobs[3].workers", "at least 1", "0"),),
        notes=("GPU indexes were not told",),
    )
    return Case(before, signed(plan))


@pytest.fixture
def hostile(case: Case) -> Case:
    """The same cluster with names and texts that try to break out of wherever they are put."""
    first, second, *rest = case.before.nodes
    nodes = (
        replace(first, id=f"node{HOSTILE}", rack=f"rack{HOSTILE}", nvlink_domain=f"domain{HOSTILE}"),
        second,
        *rest,
    )
    jobs = tuple(
        replace(job, id=f"red{HOSTILE}", placement=on(f"node{HOSTILE}", "west-0")) if job.id == "red"
        else replace(job, depends_on=())
        for job in case.before.jobs
    )  # fmt: skip
    (deployment,) = case.before.deployments
    (checkpoint,) = case.before.checkpoints
    before = replace(
        case.before,
        cluster=f"cluster{HOSTILE}",
        nodes=nodes,
        jobs=jobs,
        deployments=(replace(deployment, id=f"chat{HOSTILE}", job=f"red{HOSTILE}"),),
        checkpoints=(replace(checkpoint, id=f"checkpoint{HOSTILE}"),),
    )
    actions: tuple[Action, ...] = (
        Migrate(f"red{HOSTILE}", jobs[0].placement, on("west-1", f"node{HOSTILE}"), 0, HOSTILE, 1.0),
        Place("waiting", (), on("east-3"), HOSTILE, 1.0),
        MoveReplicas(f"chat{HOSTILE}", 0, (1,), (1,), (0,), HOSTILE, 0.0),
        Recap(f"red{HOSTILE}", None, 500.0, HOSTILE, 0.0),
        Compress(f"checkpoint{HOSTILE}", None, Archive(f"a{HOSTILE}", "b" * 64, 3), HOSTILE, 0.0),
    )
    rows = tuple(replace(row, problem=f"p{HOSTILE}", method=f"m{HOSTILE}") for row in case.plan.solvers)
    plan = replace(
        plan_of(before, actions),
        options=HOSTILE,
        code_version=HOSTILE,
        metrics=(Metric(f"routing.x{HOSTILE}.balancedness", HOSTILE, 1.0, 2.0, "higher"),),
        solvers=rows,
        bounds=(Bound(f"p{HOSTILE}", 1.0, 0.5, HOSTILE),),
        fallbacks=(Fallback(HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
        set_aside=(SetAside(HOSTILE, HOSTILE, HOSTILE),),
        assumed_power=(AssumedPower(f"red{HOSTILE}", 300.0, HOSTILE),),
        notes=(HOSTILE,),
    )
    return Case(before, plan)


@pytest.fixture
def passed() -> Verdict:
    return Verdict(True, (Check("constraints", True, "32 GPUs"), Check("inverse", True, "leads back")))


@pytest.fixture
def make_plan():
    """Return a plan from a snapshot and actions."""
    return plan_of


@pytest.fixture
def hostile_text() -> str:
    return HOSTILE
