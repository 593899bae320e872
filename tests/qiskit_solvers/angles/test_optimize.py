"""Optimised angles are never worse than their start, and reach what is known in closed form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qiskit_solvers.angles.optimize import Cvar, Expectation, optimised, tail_observable
from qiskit_solvers.angles.ramp import ramp
from qiskit_solvers.angles.schedule import Schedule
from qiskit_solvers.ising import Ising
from qiskit_solvers.simulation.full import FullSpace


def dense(spins: int, rng: np.random.Generator, unit: float = 1.0) -> Ising:
    return Ising(unit * rng.normal(size=spins), unit * np.triu(rng.normal(size=(spins, spins)), 1), unit * 3.0)


def ring(spins: int) -> Ising:
    J = np.zeros((spins, spins))
    J[np.arange(spins - 1), np.arange(1, spins)] = 1.0
    J[0, -1] = 1.0
    return Ising(np.zeros(spins), J)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_ring_of_disagrees_reaches_its_known_ratio(layers: int):
    """Farhi, Goldstone and Gutmann 2014, arXiv:1411.4028: (2p+1)/(2p+2) of the edges, if the ring is longer."""
    spins = 8
    found = optimised(FullSpace(ring(spins)), ramp(layers, 0.6, 0.6), max_iterations=200)
    cut = (spins - found.value) / 2
    assert cut / spins == pytest.approx((2 * layers + 1) / (2 * layers + 2), abs=1e-6)
    assert found.converged


def test_one_layer_on_the_ring_gives_the_known_angles():
    """In closed form <s s'> = -sin 4 beta sin 4 gamma / 2 here, lowest at pi/8 and pi/8."""
    found = optimised(FullSpace(ring(6)), Schedule(np.array([0.3]), np.array([0.2])))
    assert found.schedule.gammas[0] == pytest.approx(np.pi / 8, abs=1e-5)
    assert found.schedule.betas[0] == pytest.approx(np.pi / 8, abs=1e-5)


def sampled_mean(costs: np.ndarray, weights: np.ndarray, share: int) -> float:
    """The mean of the ``share`` lowest samples, of which ``weights`` count each cost."""
    return float(np.sort(np.repeat(costs, weights))[:share].mean())


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.booleans())
def test_cvar_is_the_mean_of_the_best_samples(seed: int, share: int, ties: bool):
    rng = np.random.default_rng(seed)
    costs = rng.normal(size=20)
    costs = np.round(costs) if ties else costs
    weights = rng.multinomial(60, rng.dirichlet(np.ones(20)))
    tail = tail_observable(costs, weights / 60, share / 60)
    assert weights / 60 @ tail == pytest.approx(sampled_mean(costs, weights, share), abs=1e-9)


@pytest.mark.parametrize("alpha", [0.05, 0.3, 1.0])
def test_the_slope_of_cvar_follows_finite_differences(alpha: float):
    rng = np.random.default_rng(3)
    slope_at = Cvar(alpha).on(FullSpace(dense(6, rng)))
    gammas, betas = rng.uniform(0.1, 0.4, size=(2, 2))
    slope = slope_at(Schedule(gammas, betas))
    step = 1e-6
    for layer in range(2):
        move = step * np.eye(2)[layer]
        by_gamma = slope_at(Schedule(gammas + move, betas)).value - slope_at(Schedule(gammas - move, betas)).value
        by_beta = slope_at(Schedule(gammas, betas + move)).value - slope_at(Schedule(gammas, betas - move)).value
        assert slope.gammas[layer] == pytest.approx(by_gamma / (2 * step), abs=1e-4)
        assert slope.betas[layer] == pytest.approx(by_beta / (2 * step), abs=1e-4)


def test_the_whole_distribution_is_the_expectation():
    space, start = FullSpace(dense(5, np.random.default_rng(4))), ramp(2, 0.3, 0.4)
    assert Cvar(1.0).on(space)(start).value == pytest.approx(Expectation().on(space)(start).value)


@pytest.mark.parametrize("objective", [Expectation(), Cvar(0.1), Cvar(0.5)], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_the_search_is_never_worse_than_its_start(objective: Expectation | Cvar, seed: int):
    rng = np.random.default_rng(seed)
    space = FullSpace(dense(6, rng))
    start = Schedule(rng.uniform(-2, 2, size=2), rng.uniform(-2, 2, size=2))
    before = objective.on(space)(start).value
    found = optimised(space, start, objective, max_iterations=30)
    assert found.value < before
    assert objective.on(space)(found.schedule).value == pytest.approx(found.value)
    assert found.evaluations > 1


def test_the_search_does_not_depend_on_the_unit_of_energy():
    """The slope of :class:`FullSpace` at 1e12 is that at 1, times 1e12; so are the angles found, inversely."""
    ones, large = (dense(5, np.random.default_rng(5), unit) for unit in (1.0, 1e12))
    small = optimised(FullSpace(ones), ramp(1, 0.3, 0.4))
    huge = optimised(FullSpace(large), ramp(1, 0.3e-12, 0.4))
    np.testing.assert_allclose(huge.schedule.gammas * 1e12, small.schedule.gammas, rtol=1e-4)
    np.testing.assert_allclose(huge.schedule.betas, small.schedule.betas, rtol=1e-4)


def test_what_needs_no_search_is_answered():
    space = FullSpace(dense(3, np.random.default_rng(6)))
    none = optimised(space, ramp(0, 1.0, 1.0))
    assert none.schedule.layers == 0
    assert none.value == pytest.approx(space.costs.mean())
    assert none.converged
    flat = FullSpace(Ising(np.zeros(3), np.zeros((3, 3)), 2.0))
    assert optimised(flat, ramp(2, 1.0, 1.0)).value == pytest.approx(2.0)
    start = ramp(2, 1.0, 0.5)
    only_looked = optimised(space, start, max_iterations=0)
    assert only_looked.value == pytest.approx(space.energy(start.gammas, start.betas))
    assert only_looked.schedule is start
    assert not only_looked.converged


@pytest.mark.parametrize("alpha", [0.0, -0.1, 1.1, np.nan])
def test_cvar_refuses_a_share_that_is_none(alpha: float):
    with pytest.raises(ValueError, match="alpha"):
        Cvar(alpha)


def test_a_negative_number_of_iterations_is_refused():
    with pytest.raises(ValueError, match="max_iterations"):
        optimised(FullSpace(ring(3)), ramp(1, 1.0, 1.0), max_iterations=-1)
