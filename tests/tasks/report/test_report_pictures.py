"""Facts about what the pictures of a report compute: rank loads, balance, energy above the cap, layouts, spans."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data.schemas.cluster import Node
from data.schemas.routing import ExpertDeployment
from tasks.report.gangs import changed_gangs, coloured_gangs, natural
from tasks.report.heat_map import MOST_COLUMNS, balancedness, heat_maps, rank_times
from tasks.report.power_chart import PowerSeries, power_chart
from tasks.report.topology_layout import PER_ROW, TALLEST, WIDTH, lay_out


def deployed(placement, ranks, **fields):
    rows = tuple(tuple(int(expert) for expert in row) for row in placement)
    experts = 1 + max(max(row) for row in rows)
    loads = (tuple((0.0,) * experts for _ in rows),)
    return ExpertDeployment("chat", "job", ranks, len(rows[0]) // ranks, loads, rows, **fields)


@given(arrays(np.float64, (3, 6), elements=st.floats(0, 1e9)), st.integers(0, 2**32 - 1))
def test_no_token_is_lost_when_experts_are_spread_over_ranks(loads, seed):
    rng = np.random.default_rng(seed)
    placement = np.stack([rng.permutation([*range(6), *rng.integers(0, 6, 2)]) for _ in range(3)])
    tokens = rank_times(deployed(placement, 4), loads)
    assert tokens.sum(axis=1) == pytest.approx(loads.sum(axis=1), rel=1e-9, abs=1e-6)


def test_balance_is_mean_over_maximum_summed_over_layers_first():
    loads = np.array([[8.0, 4.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
    tokens = rank_times(deployed([[0, 1, 2, 3], [0, 1, 2, 3]], 2), loads)
    assert tokens.tolist() == [[12.0, 4.0], [2.0, 2.0]]
    assert balancedness(tokens) == pytest.approx((8.0 + 2.0) / (12.0 + 2.0))
    assert balancedness(np.zeros((2, 2))) == 1.0


def test_replicas_share_the_tokens_of_their_expert():
    loads = np.array([[6.0, 2.0]])
    assert rank_times(deployed([[0, 1, 0, 0]], 2), loads).tolist() == [[4.0, 4.0]]
    stated = deployed([[0, 1, 0, 0]], 2, shares=((0.5, 1.0, 0.5, 0.0),))
    assert rank_times(stated, loads).tolist() == [[5.0, 3.0]]


def test_a_slow_rank_takes_longer_and_a_failed_one_nothing():
    loads = np.array([[6.0, 2.0]])
    slow = deployed([[0, 1, 0, 1]], 2, rank_speed=(1.0, 0.5))
    assert rank_times(slow, loads).tolist() == [[4.0, 8.0]]
    failed = deployed([[0, 1, 0, 1]], 2, rank_speed=(1.0, 0.0))
    assert rank_times(failed, loads).tolist() == [[8.0, 0.0]]


def test_heat_maps_of_many_ranks_keep_the_highest_and_stay_small():
    ranks, layers = 2_000, 120
    loads = tuple(tuple(1.0 for _ in range(ranks)) for _ in range(layers))
    placement = tuple(tuple(range(ranks)) for _ in range(layers))
    crowded = ((0, *range(1, ranks - 1), 0), *placement[1:])
    hot = (((*(1.0 for _ in range(ranks - 1)), 0.0), *loads[1:]),)
    before = ExpertDeployment("wide", "job", ranks, 1, hot, crowded)
    maps = heat_maps(before, before)
    assert maps.before == maps.after.replace("after the plan", "before the plan")
    assert "8 rank(s) of 2 layer(s)" in maps.note
    assert len(maps.before) < 40 * MOST_COLUMNS * 100


def test_energy_above_the_cap_counts_only_what_is_above():
    series = PowerSeries(1_800.0, (900.0, 1_500.0, 1_000.0), (900.0, 900.0, 900.0), 1_000.0)
    assert series.overload_kwh(series.before_w) == pytest.approx(0.25)
    assert series.overload_kwh(series.after_w) == 0.0
    assert PowerSeries(300.0, (5.0,), (5.0,), None).overload_kwh((1e9,)) == 0.0


@pytest.mark.parametrize(
    "wrong",
    [((), (), None), ((1.0,), (1.0, 2.0), None), ((float("nan"),), (1.0,), None), ((1.0,), (1.0,), float("inf"))],
    ids=["no slots", "lengths differ", "not a number", "endless cap"],
)
def test_impossible_power_series_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        PowerSeries(300.0, *wrong)


@pytest.mark.parametrize("watts", [0.0, 1.0, 999.0, 1e6, 4.2e9], ids=str)
def test_a_level_draw_of_any_size_can_be_drawn(watts):
    assert "nan" not in power_chart(PowerSeries(300.0, (watts,) * 4, (watts,) * 4, None))


def test_only_what_lies_above_the_cap_is_shaded():
    drawn = power_chart(PowerSeries(300.0, (900.0, 1_500.0), (900.0, 800.0), 1_000.0))
    assert "over-before" in drawn
    assert "over-after" not in drawn


@given(st.lists(st.tuples(st.integers(1, 16), st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=60))
def test_no_two_gpus_share_a_square_of_the_map(shapes):
    nodes = [
        Node(f"n{number}", "H100", gpus, f"r{rack}-d{domain}", f"r{rack}")
        for number, (gpus, rack, domain) in enumerate(shapes)
    ]
    layout = lay_out(nodes)
    squares = [layout.square(node.id, gpu) for node in nodes for gpu in range(node.gpus)]
    cell = layout.cell
    assert all(x >= 0 and x + cell <= WIDTH and y >= 0 and y + cell <= layout.height for x, y in squares)
    for (x1, y1), (x2, y2) in itertools.combinations(sorted(squares)[:200], 2):
        assert abs(x1 - x2) >= cell - 1e-6 or abs(y1 - y2) >= cell - 1e-6


def test_144_gpus_get_squares_that_carry_a_letter():
    nodes = [Node(f"gb-{n:02d}", "GB200", 4, f"rack-{n // 18}", f"rack-{n // 18}") for n in range(36)]
    layout = lay_out(nodes)
    assert layout.cell >= 10
    assert layout.height <= TALLEST
    assert PER_ROW == 8


def test_numbers_inside_names_sort_as_numbers():
    names = ["rack-10", "rack-9", "10", "9", "rack-9b", ""]
    assert sorted(names, key=natural) == ["", "9", "10", "rack-9", "rack-9b", "rack-10"]


def test_changed_gangs_tell_their_spread_before_and_after(case):
    rows = {row.gang: row for row in changed_gangs(case.before, case.after)}
    assert set(rows) == {"red", "blue", "waiting"}
    red = rows["red"]
    assert (red.gpus_changed, red.before.racks, red.after.racks) == (4, 2, 1)
    assert (rows["waiting"].before.gpus, rows["waiting"].after.gpus) == (0, 4)


def test_gangs_that_move_get_a_colour_before_big_ones_that_stay(case):
    coloured = [gang for gang, _ in coloured_gangs(case.before, case.after)]
    assert set(coloured[:3]) == {"red", "blue", "waiting"}
    assert coloured[3:] == ["pinned"]
