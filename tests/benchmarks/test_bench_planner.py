"""Does the planner's benchmark count bandwidth as it says?"""

import numpy as np
import pytest

from tasks.planner.world import Jobs, empty_state
from tests.benchmarks.planner.bandwidth import Traffic, built, gpus_at_full_speed


@pytest.mark.parametrize("traffic", ["ring", "all-to-all"])
def test_a_gang_in_one_domain_runs_at_full_speed_and_one_apart_at_its_adapters(traffic: Traffic) -> None:
    jobs = Jobs(np.zeros(2), np.full(2, 1e6), np.array([4, 2]))
    fabric = built(8)
    together, apart = empty_state(jobs, 8), empty_state(jobs, 8)
    together.held[0, 3] = 4
    apart.held[1, 0] = apart.held[1, 7] = 1
    for state, job in ((together, 0), (apart, 1)):
        state.running[0], state.numbers[0] = job, 1
    assert gpus_at_full_speed(jobs, together, fabric, traffic) == pytest.approx(4.0)
    assert gpus_at_full_speed(jobs, apart, fabric, traffic) == pytest.approx(2.0 * 50.0 / 450.0)
