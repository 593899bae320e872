"""The shipped schedules are what their script gives, and beat random strings on models of other families."""

import json
from importlib import resources

import numpy as np
import pytest

from qiskit_solvers.angles.derive import PLANS, assignment, cut, drawn, glass, judged, optima
from qiskit_solvers.angles.fixed import FILE as NAME
from qiskit_solvers.angles.fixed import fixed, read
from qiskit_solvers.angles.ramp import ramp, tuned_ramp
from qiskit_solvers.angles.schedule import Schedule, from_json, rescaled
from qiskit_solvers.ising import Ising
from qiskit_solvers.simulation.full import FullSpace
from qiskit_solvers.simulation.subspace import Subspace

DEPTHS = [1, 2, 3, 4, 5, 10, 20, 30]
FILE = json.loads(resources.files("qiskit_solvers.angles").joinpath(NAME).read_text(encoding="utf-8"))


def chance_over_uniform(ising: Ising, schedule: Schedule) -> float:
    """The probability of the optimum, in units of that among random strings of the start state."""
    space = Subspace(ising) if ising.groups else FullSpace(ising)
    own = rescaled(schedule, float(space.costs.std()))
    best = optima(space)
    return float(space.probabilities(own.gammas, own.betas) @ best / best.mean())


@pytest.mark.parametrize("family", ["transverse", "one_hot"])
@pytest.mark.parametrize("layers", DEPTHS)
def test_these_depths_are_shipped(family, layers: int):
    schedule = fixed(layers, family)
    assert schedule.layers == layers
    assert (schedule.gammas > 0).all()
    assert (schedule.betas > 0).all()
    with pytest.raises(ValueError, match="read-only"):
        schedule.gammas[0] = 0.0


@pytest.mark.parametrize("layers", [-1, 0, 6, 15])
def test_other_depths_are_refused(layers: int):
    with pytest.raises(ValueError, match="layers"):
        fixed(layers, "transverse")


def test_an_unknown_family_is_refused():
    with pytest.raises(ValueError, match="family"):
        fixed(1, "ring")  # type: ignore[arg-type]


FACTORS = {1: 5, 3: 20, 5: 40, 10: 80, 30: 140}
DRAWS = {
    "glass": lambda rng: glass(11, rng),
    "cut": lambda rng: cut(12, rng, weighted=False),
    "weighted cut": lambda rng: cut(12, rng, weighted=True),
    "assignment": lambda rng: assignment(5, 3, rng),
    "wide assignment": lambda rng: assignment(4, 6, rng),
}


@pytest.mark.parametrize("name", DRAWS)
def test_schedules_beat_random_strings_where_they_were_not_trained(name: str):
    """Median over 15 models; the least seen over the five families was 8, 30, 56, 122 and 214."""
    family = "one_hot" if "assignment" in name else "transverse"
    for layers, factor in FACTORS.items():
        rng = np.random.default_rng(7)
        gains = [chance_over_uniform(DRAWS[name](rng), fixed(layers, family)) for _ in range(15)]
        assert np.median(gains) > factor


@pytest.mark.parametrize("layers", [20, 30])
@pytest.mark.parametrize("name", DRAWS)
def test_the_schedules_of_many_layers_beat_the_ramp_that_they_were_trained_from(name: str, layers: int):
    """Geometric mean over 15 models."""
    family = "one_hot" if "assignment" in name else "transverse"
    rng = np.random.default_rng(8)
    models = [DRAWS[name](rng) for _ in range(15)]
    trained, straight = (
        np.mean([np.log(chance_over_uniform(model, schedule)) for model in models])
        for schedule in (fixed(layers, family), tuned_ramp(layers, family))
    )
    assert trained > straight


@pytest.mark.parametrize("family", ["transverse", "one_hot"])
def test_the_file_is_complete_and_in_range(family):
    held = FILE[family]
    assert [one["layers"] for one in held["schedules"]] == DEPTHS
    assert [one["layers"] for one in held["ramps"]] == [10, 20, 30, 60, 100]
    plan = next(plan for plan in PLANS if plan.family == family)
    assert held["training"]["source"] == plan.training.name
    assert held["training"]["instances"] == plan.training.instances
    assert held["objective"] == plan.objective
    for one in (*held["schedules"], *held["ramps"]):
        assert list(one["figures"]) == [plan.training.name, *(source.name for source in plan.held_out)]
        for figures in one["figures"].values():
            assert 0.0 < figures["optimum_probability"] <= 1.0
            assert 0.0 < figures["approximation_ratio"] <= 1.0


def test_the_figures_are_those_of_the_schedules():
    """Judge the one-hot schedules again, on the same instances."""
    held = FILE["one_hot"]
    plan = next(plan for plan in PLANS if plan.family == "one_hot")
    _, judges = drawn(plan, held["training"]["seed"])
    for name in ("5 items in 4 bins", "4 items in 5 bins"):
        for one in held["schedules"]:
            again = judged(judges[name], from_json({key: one[key] for key in ("gammas", "betas")}))
            assert again == pytest.approx(one["figures"][name], abs=2e-4)
        ten = held["ramps"][0]
        again = judged(judges[name], ramp(10, ten["cost_angle"], ten["mixer_angle"]))
        assert again == pytest.approx(ten["figures"][name], abs=2e-4)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"transverse": {"schedules": []}}',
        '{"transverse": {"schedules": [{"gammas": [1]}], "ramps": []}}',
        '{"transverse": {"schedules": [{"gammas": [1], "betas": ["x"]}], "ramps": []}}',
        '{"transverse": {"schedules": [], "ramps": [{"layers": 1}]}}',
    ],
)
def test_a_damaged_file_is_refused(text: str):
    with pytest.raises(ValueError, match="schedules"):
        read(text, "transverse")
