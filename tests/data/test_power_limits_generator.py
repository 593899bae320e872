"""Facts about generated power limits: they can be kept, they contradict nothing, and the same seed makes the same."""

from pathlib import Path

import numpy as np

from data.crosscheck import cross_check
from data.generators.power import day_rates, with_power_limits
from data.readers.snapshot import read_snapshot
from tasks.problems.power import Power

SMALL = Path(__file__).resolve().parents[2] / "data" / "samples" / "small" / "cluster.json"


def test_generated_limits_can_be_kept_and_are_kept() -> None:
    snapshot = read_snapshot(SMALL).snapshot
    made, again = (with_power_limits(snapshot, np.random.default_rng(3)) for _ in range(2))
    assert made == again
    assert cross_check(made) == ()
    assert any(node.power_cap_w is not None for node in made.nodes)
    assert any(job.deadline_s is not None for job in made.jobs)
    problem = Power.from_snapshot(made)
    found = problem.search(problem.incumbent(), 20_000, np.random.default_rng(1)).decision
    assert problem.overload_kwh(found) == 0.0
    assert problem.site_overload_kwh(found) == 0.0
    names = {figure.name for figure in problem.figures(found)}
    assert {"power.peak_high_w", "power.missed_deadlines", "power.energy_usd", "power.carbon_kg"} <= names


def test_rates_follow_the_day_and_are_never_negative() -> None:
    rates = day_rates(48, 3600.0, np.random.default_rng(0), mean=100.0, swing=1.5, noise=0.0)
    assert rates[:24] == rates[24:]
    assert min(rates) == 0.0
    assert max(rates) > 200.0
