"""What would somebody write who may name jobs, nodes and files? Words that break out of bad text, and plans of them.

The words go past the readers, which would refuse most of them: what renders must not rely on what reads.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

from data.digest import signed
from data.readers.snapshot import read_snapshot
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
from data.schemas.transfers import RoundSchedule
from data.transition import inverse
from tasks.validation.verdict import Check, Verdict

WORDS = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(2)>",
    "' onmouseover='alert(3)",
    "</style><svg/onload=alert(4)>",
    "javascript:alert(5)",
    "-->]]></svg><a href=//evil.example>alert</a>",
    "[click](javascript:alert(6)) ![i](http://evil.example/i.png)",
    "<http://evil.example> \\[x](http://evil.example)",
    "```\n# alert\n<img src=x>\n```",
    "`` `<img src=x>` ``",
    "a | b\n| --- | --- |",
    "$(touch owned)`touch owned`;touch owned|touch owned&touch owned",
    "'; touch owned; '\n touch owned #",
    "${file(\"/etc/passwd\")} %{ if true } {{ x }} {% x %}",
    "\x1b[2J\x1b]0;alert\x07\x9b31m[red]alert[/red][/]",
    "\u202ealert\u2066\u2028\x85\r\n- evil: true",
    "--alert=x",
    "-rf",
    "../../../../etc/alert",
    "=HYPERLINK(\"http://evil.example\",\"alert\")",
    "!!python/object/apply:os.system [touch owned]",
    "alert\0\ud83d\ufeff".encode("utf-8", "replace").decode(),
)  # fmt: skip
ALL = " ".join(WORDS)
_FIXTURE = Path(__file__).resolve().parents[1] / "data" / "fixtures" / "two_racks.json"


@cache
def hostile_snapshot(words: str = ALL) -> Snapshot:
    """Return the cluster of the fixture with ``words`` in every name."""
    found = read_snapshot(_FIXTURE).snapshot
    first = found.nodes[0]
    name = f"node {words}"
    nodes = (replace(first, id=name, rack=f"rack {words}", nvlink_domain=f"domain {words}"), *found.nodes[1:])

    def renamed(workers: tuple[Worker, ...]) -> tuple[Worker, ...]:
        return tuple(replace(worker, node=name if worker.node == first.id else worker.node) for worker in workers)

    jobs = tuple(
        replace(job, id=f"{job.id} {words}", placement=renamed(job.placement), depends_on=(), gang=f"gang {words}")
        for job in found.jobs
    )
    owner = next(job for job in jobs if job.placement)
    experts = ExpertDeployment(
        f"chat {words}", owner.id, 2, 2, loads=(((8.0, 4.0, 2.0, 2.0), (1.0, 1.0, 1.0, 1.0)),),
        placement=((0, 1, 2, 3),) * 2,
    )  # fmt: skip
    return replace(
        found,
        cluster=f"cluster {words}",
        nodes=nodes,
        jobs=jobs,
        deployments=(experts,),
        checkpoints=(Checkpoint(f"step {words}", owner.id, "red.pt", "torch"),),
        limits=Limits(power_cap_w=30_000.0, migration_budget_gpus=16, horizon_slots=24),
    )


@cache
def hostile_plan(words: str = ALL) -> Plan:
    """Return a plan with one action of each kind and ``words`` wherever a plan has room for words."""
    state = hostile_snapshot(words)
    running = next(job for job in state.jobs if job.placement and job.movable)
    pending = next(job for job in state.jobs if not job.placement)
    free = Worker(state.nodes[-1].id, tuple(range(running.gpus_per_worker)))
    there = (free,) * len(running.placement)
    actions: tuple[Action, ...] = (
        Migrate(running.id, running.placement, there, 0, words, 8.0),
        Place(pending.id, (), (Worker(state.nodes[0].id, (0,)),), words, 4.0),
        Recap(running.id, None, 650.0, words, 0.25),
        Start(pending.id, None, 3_600.0, words, -1.0),
        MoveReplicas(state.deployments[0].id, 0, (1, 2), (1, 2), (2, 1), words, 0.4),
        Compress(state.checkpoints[0].id, None, Archive(f"a {words}", "c" * 64, 600), words, 400.0),
    )
    return signed(
        Plan(
            f"cluster {words}", "0" * 64, state.taken_at, words, words, 7, actions, inverse(actions),
            (AssumedPower(running.id, 300.0, words),),
            (Metric(f"routing.{words}.balancedness", words, 1.0, 2.0, "higher"),),
            (
                SolverRow(f"placement {words}", "incumbent", 10.0, 0, 0, 0, chosen=False),
                SolverRow(f"placement {words}", f"qaoa {words}", 8.0, 0, 0, 0, chosen=True),
            ),
            (Bound(f"placement {words}", 1.0, 0.5, words),), (Fallback(words, words, words, words),),
            (SetAside(words, words, words),), (words,), "0" * 64,
        )
    )  # fmt: skip


def verdict_of(plan: Plan) -> Verdict:
    """Return a verdict that fails, in the words of the plan."""
    return Verdict(False, (Check(plan.notes[0], False, plan.notes[0]), Check("inverse", True, plan.notes[0])))


def hostile_rounds(words: str = ALL) -> RoundSchedule:
    """Return an account of rounds in hostile words."""
    rows = (SolverRow(words, words, 1.0, 0, 0, 0, chosen=True),)
    fallbacks = (Fallback(words, words, words, words),)
    return RoundSchedule(
        words,
        words,
        2.0,
        1.0,
        optimal=False,
        conflicts=0,
        congestion_s=0.0,
        cut=False,
        before_s=3.0,
        rounds=(),
        solvers=rows,
        fallbacks=fallbacks,
        notes=(words,),
    )
