"""Placement and the caps of racks and nodes: what no cap could hold there is not placed."""

from dataclasses import replace

import pytest

from data.schemas.cluster import Node, Snapshot
from data.schemas.job import Job, Worker
from data.schemas.plan import Migrate, SolverRow
from flows.capabilities import _within_site_caps
from tasks.plan import Part

HERE, THERE = (Worker("a", (0, 1, 2, 3)),), (Worker("b", (0, 1, 2, 3)),)


def cluster(cap_w: float | None) -> Snapshot:
    nodes = (
        Node("a", "H100", 4, nvlink_domain="a", rack="a"),
        Node("b", "H100", 4, nvlink_domain="b", rack="b", power_cap_w=cap_w),
    )
    job = Job("train", 1, 4, "running", HERE, gpu_power_w=650.0)
    return Snapshot("pair", "2026-01-31T12:00:00+00:00", nodes, (job,))


@pytest.fixture
def part() -> Part:
    rows = tuple(SolverRow("placement", name, 1.0, 0, 0, 0, chosen=name != "incumbent") for name in ("incumbent", "x"))
    return Part(actions=(Migrate("train", HERE, THERE, 0, "", 1.0),), rows=rows)


@pytest.mark.parametrize(
    ("cap_w", "recaps", "moves"),
    [
        (None, False, True),
        (3_000.0, False, True),  # 4 x 650 W fit
        (1_200.0, True, True),  # 4 x 200 W fit, once the job is brought down to its lowest cap
        (1_200.0, False, False),
        (500.0, True, False),
    ],
)
def test_a_move_onto_a_node_that_cannot_feed_it_is_not_made(
    part: Part, cap_w: float | None, recaps: bool, moves: bool
) -> None:
    kept = _within_site_caps(part, cluster(cap_w), recaps=recaps)
    assert bool(kept.actions) is moves
    assert [row.method for row in kept.rows if row.chosen] == (["x"] if moves else ["incumbent"])
    assert bool(kept.fallbacks) is not moves


def test_what_is_above_a_cap_already_may_stay(part: Part) -> None:
    above = cluster(500.0)
    back = replace(above, jobs=(replace(above.jobs[0], placement=THERE),))
    moved = replace(part, actions=(Migrate("train", THERE, HERE, 0, "", 1.0),))
    assert _within_site_caps(moved, back, recaps=False).actions
