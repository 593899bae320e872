"""Ramps follow their formula, and find the optimum of windows without any search."""

import numpy as np
import pytest

from qiskit_solvers.angles.derive import optima, window
from qiskit_solvers.angles.fixed import shipped
from qiskit_solvers.angles.ramp import ramp, tuned_ramp
from qiskit_solvers.angles.schedule import Schedule, rescaled
from qiskit_solvers.simulation.full import FullSpace


def test_a_ramp_takes_the_angles_at_the_midpoints_of_its_layers():
    four = ramp(4, 8.0, 0.8)
    np.testing.assert_allclose(four.gammas, [1.0, 3.0, 5.0, 7.0])
    np.testing.assert_allclose(four.betas, [0.7, 0.5, 0.3, 0.1])
    assert ramp(0, 8.0, 0.8).layers == 0


@pytest.mark.parametrize(("layers", "cost", "says"), [(-1, 1.0, "at least 0"), (2, np.nan, "finite")])
def test_a_ramp_refuses_what_is_none(layers: int, cost: float, says: str):
    with pytest.raises(ValueError, match=says):
        ramp(layers, cost, 0.5)


@pytest.mark.parametrize("family", ["transverse", "one_hot"])
def test_tuned_ramps_are_the_shipped_ones_and_lie_between_them(family):
    ends = shipped(family).ramps
    for end in ends:
        np.testing.assert_allclose(
            tuned_ramp(end.layers, family).gammas, ramp(end.layers, end.cost_angle, end.mixer_angle).gammas
        )
    assert tuned_ramp(1, family).betas[0] == pytest.approx(ends[0].mixer_angle / 2)
    assert tuned_ramp(1000, family).betas[0] == pytest.approx(ends[-1].mixer_angle * (1 - 0.5 / 1000))
    between = tuned_ramp(45, family).betas[0] / (1 - 0.5 / 45)
    assert ends[3].mixer_angle <= between <= ends[2].mixer_angle
    assert tuned_ramp(0, family).layers == 0


def test_an_unknown_family_is_refused():
    with pytest.raises(ValueError, match="family"):
        tuned_ramp(10, "ring")  # type: ignore[arg-type]


def chance(schedule: Schedule, spins: int, rng: np.random.Generator) -> float:
    space = FullSpace(window(spins, rng, conflicts=0.1))
    own = rescaled(schedule, float(space.costs.std()))
    return float(space.probabilities(own.gammas, own.betas) @ optima(space))


@pytest.mark.parametrize("spins", [12, 14])
def test_thirty_layers_find_the_optimum_of_windows(spins: int):
    rng = np.random.default_rng(spins)
    assert np.median([chance(tuned_ramp(30, "transverse"), spins, rng) for _ in range(15)]) > 0.4


def test_deeper_ramps_are_better():
    medians = []
    for layers in (10, 30, 100):
        rng = np.random.default_rng(4)
        medians.append(np.median([chance(tuned_ramp(layers, "transverse"), 11, rng) for _ in range(15)]))
    assert medians[0] < medians[1] < medians[2]
