"""The order of migrations: GPUs are free when they are taken, circles are broken over free ones where that pays."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.schemas.cluster import Snapshot
from data.schemas.job import Worker
from data.schemas.plan import Migrate
from data.transition import inverse
from tasks.problems.migration import Gpu, SpareRoom, ordered_batches
from tasks.problems.placement import Placement


def migration(job: str, before: str, after: str) -> Migrate:
    return Migrate(job, (Worker(before, (0,)),), (Worker(after, (0,)),), 0, "why", 0.0)


def gpus(workers: Sequence[Worker]) -> list[Gpu]:
    return [(worker.node, gpu) for worker in workers for gpu in worker.gpus]


def carry_out(steps: Sequence[Migrate], holder: dict[Gpu, str]) -> dict[Gpu, str]:
    """Return who holds which GPU after ``steps``; fails where a GPU is held twice or let go by somebody else."""
    holder = dict(holder)
    batches = [batch for batch, _ in groupby(steps, lambda step: step.batch)]
    assert batches == sorted(set(batches))
    for _, group in groupby(steps, lambda step: step.batch):
        batch = list(group)
        for step in batch:
            for gpu in gpus(step.before):
                assert holder.pop(gpu) == step.job
        for step in batch:
            for gpu in gpus(step.after):
                assert gpu not in holder, f"{gpu} is held by {holder[gpu]}"
                holder[gpu] = step.job
    return holder


def random_moves(seed: int) -> tuple[list[Migrate], set[Gpu]]:
    """Jobs of one to three workers of one or two GPUs, put elsewhere at random, and the GPUs left free."""
    rng = np.random.default_rng(seed)
    nodes = int(rng.integers(2, 7))
    halves = [(f"n{node}", (2 * half, 2 * half + 1)) for node in range(nodes) for half in range(2)]
    used = int(rng.integers(2, len(halves) + 1))
    before, after = (rng.permutation(len(halves))[:used] for _ in range(2))
    moves, at = [], 0
    while at < used:
        workers, width = int(rng.integers(1, 4)), int(rng.integers(1, 3))
        picked = slice(at, min(used, at + workers))
        was, then = (
            tuple(Worker(halves[half][0], halves[half][1][:width]) for half in side[picked]) for side in (before, after)
        )
        if was != then:
            moves.append(Migrate(f"j{at}", was, then, 0, "why", 1.0))
        at += workers
    held = {gpu for move in moves for gpu in gpus(move.before)}
    return moves, {(name, gpu) for name, pair in halves for gpu in pair} - held


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=150)
def test_no_gpu_is_held_twice_at_any_step_and_everybody_arrives(seed: int, room: bool) -> None:
    moves, free = random_moves(seed)
    price = {move.job: float(number % 3) for number, move in enumerate(moves)}
    steps = ordered_batches(moves, SpareRoom(free, price=price) if room else None)
    start = {gpu: move.job for move in moves for gpu in gpus(move.before)}
    end = {gpu: move.job for move in moves for gpu in gpus(move.after)}
    assert carry_out(steps, start) == end
    back = [step for step in inverse(steps) if isinstance(step, Migrate)]
    assert carry_out(back, end) == start
    stops = [step.job for step in steps]
    assert set(stops) == {move.job for move in moves}
    assert all(stops.count(job) <= (2 if room else 1) for job in stops)
    assert steps == ordered_batches(moves, SpareRoom(free, price=price) if room else None)


def test_batches_free_what_the_next_batch_takes() -> None:
    chain = [migration("a", "n0", "n1"), migration("b", "n1", "n2"), migration("c", "n2", "n3")]
    circle = [migration("x", "m0", "m1"), migration("y", "m1", "m0")]
    batches = {move.job: move.batch for move in ordered_batches([*chain, *circle])}
    assert batches == {"c": 0, "b": 1, "a": 2, "x": 0, "y": 0}


CIRCLE = (migration("x", "m0", "m1"), migration("y", "m1", "m2"), migration("z", "m2", "m0"))


def test_the_cheapest_of_a_circle_steps_aside_and_no_one_else_stops_twice() -> None:
    steps = ordered_batches(CIRCLE, SpareRoom({("free", 0)}, price={"x": 3.0, "y": 1.0, "z": 2.0}))
    assert [(step.job, step.batch, step.after[0].node) for step in steps] == [
        ("y", 0, "free"), ("x", 1, "m1"), ("z", 2, "m0"), ("y", 3, "m2"),
    ]  # fmt: skip
    assert "steps aside" in steps[0].reason
    assert steps[0].gain == -1.0
    assert [step.reason for step in steps[1:]] == ["why"] * 3


@pytest.mark.parametrize(
    "room",
    [
        SpareRoom(),
        SpareRoom({("free", 0)}, accepts=lambda _job, _node: False),
        SpareRoom({("free", 0)}, price=dict.fromkeys("xyz", 1.0), allowance=1.0),
    ],
    ids=["no room", "room that does not suit", "dearer than the plan gains"],
)
def test_a_circle_that_cannot_step_aside_moves_at_once_and_says_so(room: SpareRoom) -> None:
    steps = ordered_batches(CIRCLE, room)
    assert [(step.job, step.batch) for step in steps] == [("x", 0), ("y", 0), ("z", 0)]
    assert "changes places with y, z: all stop before any starts" in steps[0].reason


def test_nobody_steps_aside_onto_gpus_that_another_goes_to() -> None:
    moves = [*CIRCLE, migration("later", "n0", "free")]
    steps = ordered_batches(moves, SpareRoom({("free", 0)}))
    assert len(steps) == 5
    assert next(step.after[0].node for step in steps if "steps aside" in step.reason) == "n0"
    assert next(step.batch for step in steps if "steps aside" in step.reason) == 1


def test_only_workers_that_stand_in_the_way_step_aside() -> None:
    two = (Worker("m0", (0,)), Worker("k0", (0,)))
    moves = [
        Migrate("x", two, (Worker("m1", (0,)), Worker("k0", (1,))), 0, "why", 0.0),
        migration("y", "m1", "m0"),
    ]
    steps = ordered_batches(moves, SpareRoom({("free", 0), ("k0", 1)}, price={"y": 1.0}))
    assert steps[0].job == "x"
    assert steps[0].after == (Worker("free", (0,)), Worker("k0", (0,)))


def test_gangs_that_change_places_do_so_over_free_gpus(cluster: Snapshot, rng: np.random.Generator) -> None:
    problem = Placement.from_snapshot(cluster)
    steps = [
        step
        for step in problem.actions(problem.search(problem.incumbent(), 5_000, rng).decision)
        if isinstance(step, Migrate)
    ]
    start = {gpu: job.id for job in cluster.jobs for gpu in gpus(job.placement)}
    carry_out(steps, start)
    assert not any("changes places" in step.reason for step in steps)
