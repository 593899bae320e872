"""What the first-fit scheduler promises, on schedules small enough to work out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.generators.first_fit import ANY, Requests, first_fit
from data.generators.hardware import dgx_nodes, nvl72_racks
from data.schemas.cluster import Node
from data.schemas.job import Worker


def requests(*jobs: tuple[float, float, int, int], after: tuple[int, ...] = (), model: int = 0) -> Requests:
    """Build requests from (arrival, duration, workers, GPUs per worker)."""
    arrival, duration, workers, width = zip(*jobs, strict=True)
    return Requests(
        arrival_s=np.array(arrival, dtype=np.float64),
        duration_s=np.array(duration, dtype=np.float64),
        workers=np.array(workers),
        gpus_per_worker=np.array(width),
        model=np.full(len(jobs), model),
        after=np.array(after or [ANY] * len(jobs)),
        models=("H100", "GB200"),
    )


def test_jobs_take_the_first_free_gpus_in_node_order():
    held = first_fit(dgx_nodes(2), requests((0, 100, 1, 6), (1, 100, 1, 4), (2, 100, 1, 2)), moment_s=3)
    assert held.placement == {
        0: (Worker("dgx-0001", (0, 1, 2, 3, 4, 5)),),
        1: (Worker("dgx-0002", (0, 1, 2, 3)),),
        2: (Worker("dgx-0001", (6, 7)),),
    }


def test_holes_make_a_gang_spread_though_a_whole_node_would_have_done():
    jobs = requests((0, 10, 1, 4), (0, 99, 1, 4), (0, 10, 1, 4), (0, 99, 1, 4), (20, 99, 2, 4))
    held = first_fit(dgx_nodes(3), jobs, moment_s=30)
    assert [worker.node for worker in held.placement[4]] == ["dgx-0001", "dgx-0002"]


def test_finished_jobs_leave_and_whoever_waits_starts_then():
    held = first_fit(dgx_nodes(1), requests((0, 10, 1, 8), (1, 50, 1, 8), (2, 50, 1, 8)), moment_s=20)
    assert held.running == (1,)
    assert held.start_s == {1: 10.0}
    assert held.pending == (2,)
    assert held.finished == 1


def test_small_jobs_overtake_until_somebody_has_waited_too_long():
    jobs = requests((0, 100, 1, 5), (1, 10, 1, 8), (2, 5, 1, 3), (50, 5, 1, 3))
    assert 3 in first_fit(dgx_nodes(1), jobs, moment_s=51, patience_s=1000).running
    assert 3 in first_fit(dgx_nodes(1), jobs, moment_s=51, patience_s=1).pending


def test_a_job_waits_for_its_predecessor_even_when_gpus_are_free():
    jobs = requests((0, 10, 1, 1), (1, 10, 1, 1), after=(ANY, 0))
    assert first_fit(dgx_nodes(1), jobs, moment_s=5).pending == (1,)
    assert first_fit(dgx_nodes(1), jobs, moment_s=12).start_s == {1: 10.0}


def test_jobs_run_only_on_the_model_that_they_need():
    nodes = (*dgx_nodes(1), *nvl72_racks(1, trays=2))
    held = first_fit(nodes, requests((0, 9, 2, 4), model=1), moment_s=1)
    assert {worker.node for worker in held.placement[0]} == {"gb200-001-01", "gb200-001-02"}
    assert first_fit(dgx_nodes(1), requests((0, 9, 2, 4), model=1), moment_s=1).pending == (0,)


def test_gpus_that_are_unavailable_and_nodes_that_are_not_up_are_never_given():
    broken = Node("a", "H100", 4, "a", "r", unavailable_gpus=(0, 2))
    drained = Node("b", "H100", 4, "b", "r", state="drained")
    held = first_fit((broken, drained), requests((0, 9, 1, 2), (0, 9, 1, 1)), moment_s=1)
    assert held.placement == {0: (Worker("a", (1, 3)),)}
    assert held.pending == (1,)


def test_who_comes_above_the_limit_is_turned_away_and_looking_stops_at_the_asked_number():
    jobs = requests((0, 9, 1, 1), (1, 9, 1, 1), (2, 9, 1, 1))
    limited = first_fit(dgx_nodes(1), jobs, moment_s=3, most=2)
    assert (limited.running, limited.turned_away) == ((0, 1), 1)
    early = first_fit(dgx_nodes(1), jobs, until=2)
    assert (early.running, early.moment_s) == ((0, 1), 1.0)


def test_arrays_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="arrival_s"):
        requests((5, 1, 1, 1), (4, 1, 1, 1))
    with pytest.raises(ValueError, match="after"):
        requests((5, 1, 1, 1), after=(0,))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(1, 40), st.integers(1, 3), st.integers(1, 8)), min_size=1, max_size=25
    ),
    st.integers(0, 60),
)
def test_no_gpu_is_held_twice_and_nobody_waits_who_would_fit(jobs: list[tuple[int, int, int, int]], moment: int):
    nodes = dgx_nodes(3)
    asked = requests(*sorted((float(a), float(d), w, g) for a, d, w, g in jobs))
    held = first_fit(nodes, asked, moment_s=float(moment))
    taken = [(w.node, gpu) for placement in held.placement.values() for w in placement for gpu in w.gpus]
    assert len(taken) == len(set(taken))
    free = {node.id: 8 - sum(name == node.id for name, _ in taken) for node in nodes}
    for job in held.running:
        assert len(held.placement[job]) == asked.workers[job]
        assert all(len(worker.gpus) == asked.gpus_per_worker[job] for worker in held.placement[job])
    for job in held.pending:
        assert sum(room // asked.gpus_per_worker[job] for room in free.values()) < asked.workers[job]
    came = int((asked.arrival_s <= moment).sum())
    assert len(held.running) + len(held.pending) + held.finished == came
