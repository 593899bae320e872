"""The figures are what their published definitions say, on cases small enough to work out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job, PowerLevel, Worker
from data.schemas.plan import AssumedPower, Metric
from data.schemas.routing import ExpertDeployment, Transition
from tasks.validation.measure import Measure
from tasks.validation.placement_measures import placement_measures
from tasks.validation.power_measures import power_measures
from tasks.validation.routing_measures import moved_replicas, routing_measures
from tasks.validation.timetable import Run, timetable, with_assumed_power

PAIR = (0, 1)


def cluster(*jobs: Job, nodes: int = 2, limits: Limits | None = None, **changes: object) -> Snapshot:
    """Return a cluster of two-GPU nodes ``n0``, ``n1`` ..., each a domain and a rack, idle 50 W, highest cap 500 W."""
    machines = tuple(
        Node(f"n{index}", "H100", 2, f"n{index}", f"r{index}", 100.0, 500.0, 50.0) for index in range(nodes)
    )
    limits = limits or Limits(slot_s=100.0, horizon_slots=10)
    state = Snapshot("small", "2026-01-31T12:00:00+00:00", machines, jobs, limits=limits)
    return replace(state, **changes)  # type: ignore[arg-type]


def run_of(job: Job, **changes: object) -> Run:
    return next(run for run in timetable(cluster(job, **changes)).runs if run.job.id == job.id)  # type: ignore[arg-type]


def waiting(name: str, gpus: int, seconds: float, planned_s: float | None, *after: str) -> Job:
    return Job(name, 1, gpus, "pending", remaining_s=seconds, planned_start_s=planned_s, depends_on=after)


def starts(*jobs: Job, nodes: int = 1) -> dict[str, int]:
    return {run.job.id: run.start for run in timetable(cluster(*jobs, nodes=nodes)).runs}


def test_the_figures_of_the_good_plan_are_those_worked_out_by_hand(
    snapshot: Snapshot, figures: tuple[Metric, ...]
) -> None:
    state = with_assumed_power(snapshot, (AssumedPower("pinned", 250.0, "median"),))
    deployment = state.deployments[0]
    found = (
        *placement_measures(state, state),
        *power_measures(timetable(state)),
        *routing_measures(deployment, deployment, state),
    )
    assert [measure.name for measure in found] == [figure.name for figure in figures[:-1]]
    assert [measure.value for measure in found] == pytest.approx([figure.before for figure in figures[:-1]], rel=1e-12)


@pytest.mark.parametrize(
    ("levels", "cap_w", "power_w", "speed"),
    [
        ((), None, 450.0, 1.0),
        ((), 450.0, 450.0, 1.0),  # the cap does not bind
        ((), 250.0, 450.0, 0.853),  # half of the top: a point of the default curve
        ((), 275.0, 450.0, (0.853 + 0.899) / 2),
        ((), 100.0, 450.0, 0.725 / 2),  # below the curve: in proportion
        (((200.0, 0.5), (400.0, 0.9)), None, 450.0, 1.0),  # joined to 1 at the top
        (((200.0, 0.5), (400.0, 0.9)), 450.0, 300.0, 0.95),  # measured levels count also where the cap does not bind
        (((200.0, 0.5), (400.0, 0.9)), 300.0, 450.0, 0.7),
        (((200.0, 0.5), (400.0, 0.9)), 100.0, 450.0, 0.25),
        (((200.0, 0.5), (600.0, 0.9)), None, 450.0, 0.8),
        (((200.0, 0.5),), 500.0, 450.0, 1.0),
    ],
)
def test_a_job_runs_as_fast_as_its_levels_say_under_its_cap(
    levels: tuple[tuple[float, float], ...], cap_w: float | None, power_w: float, speed: float
) -> None:
    points = tuple(PowerLevel(cap, at) for cap, at in levels)
    job = Job(
        "job", 1, 2, "running", (Worker("n0", PAIR),), gpu_power_w=power_w, gpu_power_cap_w=cap_w, power_levels=points
    )
    run = run_of(job)
    assert run.seconds == pytest.approx(3600.0 / speed, rel=1e-12)
    assert run.draw_mw == 2000 * (min(power_w, 500.0 if cap_w is None else cap_w) - 50.0)


def test_a_job_draws_what_the_nodes_that_it_holds_allow() -> None:
    nodes = cluster().nodes
    unlike = (nodes[0], replace(nodes[1], gpu_power_max_w=700.0, gpu_idle_w=30.0))
    job = Job("job", 2, 1, "running", (Worker("n0", (0,)), Worker("n1", (0,))))
    state = replace(cluster(job), nodes=unlike)
    assert timetable(state).runs[0].draw_mw == 1000 * 2 * (700 - 30)  # unknown draw: the largest cap, the least idle
    alone = replace(job, workers=1, placement=(Worker("n0", (0,)),))
    assert timetable(replace(state, jobs=(alone,))).runs[0].draw_mw == 1000 * (500 - 50)
    assert timetable(replace(state, jobs=(replace(alone, state="pending", placement=()),))).runs[0].draw_mw == 670_000


def test_a_duration_is_counted_in_whole_slots() -> None:
    for seconds, slots in ((0.0, 1), (99.0, 1), (100.0, 1), (100.1, 2), (200.0, 2), (5000.0, 50)):
        assert run_of(Job("job", 1, 1, "running", (Worker("n0", (0,)),), remaining_s=seconds)).duration == slots


def test_a_planned_start_is_the_first_slot_that_begins_then_or_later() -> None:
    for planned_s, slot in ((None, 10), (0.0, 1), (100.0, 1), (101.0, 2), (899.0, 9), (950.0, 10), (5000.0, 10)):
        assert starts(waiting("job", 1, 50.0, planned_s))["job"] == slot  # it holds no GPUs: not before slot 1


def test_a_start_that_cannot_be_kept_is_put_off_to_where_there_is_room() -> None:
    holder = Job("holder", 1, 1, "running", (Worker("n0", (0,)),), remaining_s=300.0)
    jobs = (
        holder,
        waiting("first", 2, 200.0, 100.0),
        waiting("second", 1, 100.0, 150.0),
        waiting("third", 1, 100.0, 300.0),
    )
    # first waits for the holder's GPU until slot 3, second fits in slot 2, third is behind first's two slots
    assert starts(*jobs) == {"holder": 0, "first": 3, "second": 2, "third": 5}


def test_a_start_before_its_dependency_has_ended_is_put_off() -> None:
    jobs = (waiting("child", 1, 100.0, 100.0, "parent"), waiting("parent", 1, 250.0, 200.0, "gone"))
    assert starts(*jobs) == {"child": 5, "parent": 2}
    never = (waiting("child", 1, 100.0, 100.0, "parent"), waiting("parent", 1, 250.0, None))
    assert starts(*never) == {"child": 10, "parent": 10}


def test_a_job_too_large_for_the_open_nodes_never_starts() -> None:
    drained = tuple(replace(node, state="drained") for node in cluster().nodes)
    table = timetable(cluster(waiting("job", 1, 100.0, 100.0), nodes=2))
    assert table.runs[0].start == 1
    assert timetable(replace(cluster(waiting("job", 1, 100.0, 100.0)), nodes=drained)).runs[0].start == 10


def test_overload_counts_only_above_the_cap_and_background_counts_always() -> None:
    limits = Limits(power_cap_w=800.0, slot_s=100.0, horizon_slots=4)
    jobs = tuple(
        Job(name, 1, 2, "running", (Worker(node, PAIR),), remaining_s=seconds, gpu_power_w=350.0)
        for name, node, seconds in (("one", "n0", 100.0), ("two", "n1", 300.0))
    )
    table = timetable(cluster(*jobs, limits=limits))  # idle 200 W, 600 W more for each job
    assert (table.background_w + table.drawn_mw() / 1e3).tolist() == [1400.0, 800.0, 800.0, 200.0]
    peak, overload, energy, completion = (measure.value for measure in power_measures(table))
    assert peak == 1400.0
    assert overload == pytest.approx(600 * 100 / 3.6e6)
    assert energy == pytest.approx(3200 * 100 / 3.6e6)
    assert completion == pytest.approx(200 / 3600)


def test_an_empty_cluster_measures_nothing() -> None:
    empty = Snapshot("none", "2026-01-31T12:00:00+00:00", ())
    measures: tuple[Measure, ...] = (*placement_measures(empty, empty), *power_measures(timetable(empty)))
    assert [measure.value for measure in measures] == [0.0] * (len(placement_measures(empty, empty)) + 4)


def test_a_gang_is_measured_over_all_of_its_placed_jobs() -> None:
    jobs = (
        Job("a", 1, 2, "running", (Worker("n0", PAIR),), gang="g", traffic_gb_per_s=3.0),
        Job("b", 1, 1, "running", (Worker("n1", (0,)),), gang="g", traffic_gb_per_s=6.0),
        Job("c", 1, 2, "pending", gang="g", traffic_gb_per_s=100.0),
    )
    state = cluster(*jobs, nodes=4)
    state = replace(state, nodes=(*state.nodes[:3], replace(state.nodes[3], unavailable_gpus=(0, 1))))
    values = {measure.name.removeprefix("placement."): measure.value for measure in placement_measures(state, state)}
    assert values.pop("cross_domain_traffic_gb_per_s") == pytest.approx(12.0 * (1 - (4 + 1) / 9))
    assert values == {
        "racks_per_gang": 2.0,
        "domains_per_gang": 2.0,
        "uneven_gangs": 0.0,
        "whole_domains": 1.0,  # n2; n3 has nothing that can be used
        "whole_domain_gpus": 2.0,
        "whole_gangs_fit": 1.0,
        "stranded_gpus": 1.0,
        "waiting_gpus": 2.0,
        "moved_gpus": 0.0,
        "migration_gpu_h": 0.0,
    }


def test_workers_that_change_places_have_not_moved() -> None:
    job = Job("a", 2, 1, "running", (Worker("n0", (0,)), Worker("n1", (0,))))
    for placement, gpus in (
        ((Worker("n1", (0,)), Worker("n0", (0,))), 0.0),
        ((Worker("n1", (0,)), Worker("n1", (1,))), 1.0),
    ):
        after = cluster(replace(job, placement=placement))
        assert Measure("placement.moved_gpus", "GPUs", gpus, "lower") in placement_measures(after, cluster(job))


def experts(*layers: tuple[int, ...], **changes: object) -> ExpertDeployment:
    """Return a deployment of four experts on two ranks, one on each of two nodes."""
    loads = (((4.0, 2.0, 1.0, 1.0),) * len(layers),)
    return replace(ExpertDeployment("moe", "job", 2, 3, loads, layers), **changes)  # type: ignore[arg-type]


def test_tokens_cross_in_the_share_of_replicas_that_are_away_from_the_target() -> None:
    steps = (Transition(0, 0, 1, 8.0), Transition(0, 1, 2, 2.0), Transition(0, 2, 3, 0.0))
    deployment = experts((0, 0, 1, 0, 2, 3), (1, 1, 0, 2, 3, 3), transitions=steps)
    host = Job("job", 2, 1, "running", (Worker("n0", (0,)), Worker("n1", (0,))))
    share = routing_measures(deployment, deployment, cluster(host))[1]
    # expert 0 has a third of its replicas in n1, where expert 1 of the next layer is not; 1 -> 2 crosses whole
    assert share.value == pytest.approx((8 / 3 + 2) / 10)
    together = replace(host, workers=1, gpus_per_worker=2, placement=(Worker("n0", PAIR),))
    homeless = replace(host, state="pending", placement=())
    for job in (together, homeless):
        assert routing_measures(deployment, deployment, cluster(job))[1].value == 0.0


def test_replicas_count_as_moved_when_a_rank_must_load_them() -> None:
    before = experts((0, 0, 1, 0, 2, 3), (0, 1, 2, 3, 3, 3))
    reordered = experts((1, 0, 0, 3, 2, 0), (2, 1, 0, 3, 3, 3))
    assert moved_replicas(before, reordered) == 0
    assert moved_replicas(before, experts((0, 2, 1, 0, 2, 3), (3, 3, 3, 0, 1, 2))) == 7


def test_a_deployment_without_load_is_balanced() -> None:
    idle = experts((0, 0, 1, 0, 2, 3), loads=(((0.0,) * 4,),))
    state = cluster(Job("job", 1, 2, "running", (Worker("n0", PAIR),)))
    assert routing_measures(idle, idle, state)[0].value == 1.0
    busy = experts((0, 0, 1, 0, 2, 3))
    # expert 0 has three replicas with 4/3 each: ranks 8/3 + 2 and 4/3 + 2
    assert routing_measures(busy, busy, state)[0].value == pytest.approx(4 / (14 / 3))


def test_gpus_taken_in_a_slot_are_those_of_the_jobs_that_run_in_it() -> None:
    holder = Job("holder", 1, 2, "running", (Worker("n0", PAIR),), remaining_s=150.0)
    table = timetable(cluster(holder, waiting("next", 1, 10_000.0, 200.0)))
    assert np.array_equal(table.taken(None), [2, 2, *[1] * 8])
    assert np.array_equal(table.taken("H100"), [2, 2, *[0] * 8])  # next may run on any model
    assert table.room == {None: 4, "H100": 4}
