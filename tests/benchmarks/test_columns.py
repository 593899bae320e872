"""The harness of the three columns: what it calls a gain, a loss and a tie."""

import numpy as np
import pytest

from tests.benchmarks.columns import CLASSICAL, QUANTUM, Columns, Reached, interval


def columns(quantum: list[float]) -> Columns:
    rows = [Reached(f"i{n:02d}", CLASSICAL, 2.0, 1.0, 1.0, True, 0, {}) for n in range(len(quantum))]
    rows += [Reached(f"i{n:02d}", QUANTUM, 2.0, cost, 1.0, True, 1, {}) for n, cost in enumerate(quantum)]
    return Columns(1.0, 0, tuple(rows))


def test_an_interval_holds_the_mean_and_narrows_with_more():
    rng = np.random.default_rng(0)
    few, many = interval(rng.normal(size=20)), interval(rng.normal(size=2_000))
    assert few.low < few.mean < few.high
    assert many.high - many.low < few.high - few.low


@pytest.mark.parametrize(
    ("costs", "verdict"),
    [
        ([0.9] * 20, "gained"),
        ([1.1] * 20, "lost"),
        ([1.0] * 20, "added nothing"),
        ([0.9, 1.1] * 10, "added nothing"),
        ([1.0] * 13 + [0.9] * 4 + [1.0001] * 3, "added nothing"),  # a few instances carry the mean
    ],
)
def test_the_sentence_says_what_the_figures_say(costs: list[float], verdict: str):
    assert verdict in columns(costs).quantum()


def test_costs_within_rounding_tie():
    assert columns([1.0 + 1e-9, 0.5, 2.0]).record(QUANTUM, CLASSICAL) == (1, 1, 1)


def test_what_is_saved_is_a_share_of_what_is_in_force():
    assert columns([0.5, 0.5]).saved(QUANTUM).mean == pytest.approx(75.0)
