"""The script that trains schedules gives the same bytes again, and its models and objectives are what they say."""

import itertools
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from qiskit_solvers.angles import derive
from qiskit_solvers.angles.derive import PLANS, Plan, Source, assignment, bent, cut, derived, drawn, judged, trained
from qiskit_solvers.angles.fixed import read
from qiskit_solvers.angles.ramp import ramp
from qiskit_solvers.angles.schedule import Schedule, as_json
from qiskit_solvers.ising import energies

TINY = Plan(
    family="transverse",
    training=Source("moves of 5 spins", partial(derive.moves, 5), 3),
    held_out=(Source("glass of 4 spins", partial(derive.glass, 4), 2),),
    layers=2,
    ramps=(3, 4),
    curves=(4,),
    cost_angles=(1.0, 2.0),
    mixer_angles=(0.4, 0.6),
)
ONE_HOT = replace(TINY, family="one_hot", training=Source("3 items in 2 bins", partial(assignment, 3, 2), 3))


@pytest.mark.parametrize("plan", [TINY, ONE_HOT], ids=["transverse", "one_hot"])
def test_the_same_seed_gives_the_same_bytes(plan: Plan):
    assert json.dumps(derived(plan, 3)) == json.dumps(derived(plan, 3))
    assert json.dumps(derived(plan, 3)) != json.dumps(derived(plan, 4))


def test_what_is_written_is_read_back(tmp_path):
    derive.write(tmp_path / "schedules.json", [TINY, ONE_HOT], 3)
    for plan in (TINY, ONE_HOT):
        shipped = read((tmp_path / "schedules.json").read_text(encoding="utf-8"), plan.family)
        expected = derived(plan, 3)
        assert [as_json(shipped.schedules[layers]) for layers in (1, 2, 4)] == [
            {name: one[name] for name in ("gammas", "betas")} for one in expected["schedules"]
        ]
        assert [(ramp.layers, ramp.cost_angle, ramp.mixer_angle) for ramp in shipped.ramps] == [
            (one["layers"], one["cost_angle"], one["mixer_angle"]) for one in expected["ramps"]
        ]


def test_training_meets_no_judge():
    for plan in (TINY, ONE_HOT):
        training, judges = drawn(plan, 5)
        trained_on = {space.costs.tobytes() for space in training}
        assert not trained_on & {space.costs.tobytes() for spaces in judges.values() for space in spaces}


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.family)
def test_every_source_is_standardised(plan: Plan):
    for source in (plan.training, *plan.held_out):
        space = replace(source, instances=1).spaces(np.random.SeedSequence(1))[0]
        assert space.costs.std() == pytest.approx(1.0)


@pytest.mark.parametrize("mean", [derive.mean_energy, derive.mean_log_chance])
def test_the_slopes_of_the_objectives_follow_finite_differences(mean):
    spaces = TINY.training.spaces(np.random.SeedSequence(2))
    angles = np.array([0.4, 0.9, 0.6, 0.3])

    def value(at: np.ndarray) -> float:
        return mean(spaces, Schedule(at[:2].copy(), at[2:].copy())).value

    slope = mean(spaces, Schedule(angles[:2], angles[2:]))
    step = 1e-5 * np.eye(4)
    differences = [(value(angles + d) - value(angles - d)) / 2e-5 for d in step]
    np.testing.assert_allclose(np.concatenate([slope.gammas, slope.betas]), differences, atol=1e-6)


@pytest.mark.parametrize("objective", ["chance", "energy"])
def test_each_layer_improves_the_training_objective(objective):
    spaces = TINY.training.spaces(np.random.SeedSequence(2))
    mean = derive.mean_energy if objective == "energy" else derive.mean_log_chance
    values = [mean(spaces, schedule).value for schedule in trained(spaces, objective, 3)]
    assert values == sorted(values, reverse=True)
    assert mean(spaces, bent(spaces, objective, ramp(4, 1.5, 0.5))).value < mean(spaces, ramp(4, 1.5, 0.5)).value


def test_figures_of_uniform_samples_are_those_of_chance():
    """No layers: the optimum is one of 2**5 strings, and the expected energy is the mean."""
    spaces = TINY.training.spaces(np.random.SeedSequence(2))
    figures = judged(spaces, ramp(0, 1.0, 1.0))
    assert figures["optimum_probability"] == pytest.approx(2.0**-5, abs=1e-4)
    assert figures["approximation_ratio"] == pytest.approx(0.0, abs=1e-4)


def test_an_assignment_costs_what_it_says():
    """Up to a constant: traffic of the pairs that are apart, squared loads, own costs."""
    items, bins = 3, 2
    ising = assignment(items, bins, np.random.default_rng(1))
    rng = np.random.default_rng(1)
    load, traffic = rng.gamma(4.0, 0.25, size=items), rng.gamma(1.0, size=(items, items))
    own = rng.gamma(1.0, size=(items, bins))
    differences = []
    for chosen in itertools.product(range(bins), repeat=items):
        string = np.ones((1, items * bins), dtype=np.int8)
        string[0, [item * bins + b for item, b in enumerate(chosen)]] = -1
        apart = sum(traffic[i, j] for i in range(items) for j in range(i + 1, items) if chosen[i] != chosen[j])
        loads = np.bincount(chosen, weights=load, minlength=bins)
        expected = apart + (loads**2).sum() + sum(own[item, b] for item, b in enumerate(chosen))
        differences.append(energies(ising, string)[0] - expected)
    np.testing.assert_allclose(differences, differences[0], atol=1e-12)


def test_cuts_are_three_regular():
    for weighted in (False, True):
        J = cut(10, np.random.default_rng(2), weighted=weighted).couplings
        assert ((J + J.T > 0).sum(axis=1) == 3).all()
        assert (set(np.unique(J)) == {0.0, 1.0}) is not weighted
