"""Annealing over paths ends at low strings, in any unit of energy."""

import numpy as np
import pytest
from scipy import sparse

from qiskit_solvers import Ising, diagonal, energies
from qiskit_solvers.one_hot import feasible
from qiskit_solvers.path_integral import PathIntegral, unit_field

SPINS = [0, 1, 2, 5, 9, 13]


def model(spins: int, seed: int = 7) -> Ising:
    rng = np.random.default_rng(seed)
    return Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)), 1), 1.5)


@pytest.mark.parametrize("spins", SPINS)
def test_small_models_end_at_the_optimum(spins: int):
    ising = model(spins)
    strings = PathIntegral()(ising, np.random.default_rng(1))
    assert energies(ising, strings)[0] == pytest.approx(diagonal(ising).min())


def test_annealed_strings_are_far_below_random_ones():
    ising = model(40)
    found = energies(ising, PathIntegral(reads=8)(ising, np.random.default_rng(0)))
    drawn = energies(ising, 1 - 2 * np.random.default_rng(1).integers(0, 2, size=(2000, 40), dtype=np.int8))
    assert found.max() < drawn.min()


def test_the_schedules_cross():
    solver = PathIntegral(sweeps=10, inverse_temperature=6.0, transverse_field=0.5)
    assert solver.costs == pytest.approx(0.6 * (np.arange(10) + 0.5))
    assert solver.fields == pytest.approx(0.3 * (9.5 - np.arange(10)))
    assert (PathIntegral(sweeps=4, transverse_field=0.0).fields == 0.0).all()


def test_the_unit_is_the_field_that_a_spin_feels():
    ising = model(9)
    h, J = ising.h, ising.J + ising.J.T
    unit = unit_field(ising)
    strings = 1 - 2 * ((np.arange(2**9)[:, None] >> np.arange(9)) & 1)
    felt = np.sqrt(((h + strings @ J) ** 2).mean())
    assert unit.h == pytest.approx(h / felt)
    assert unit.couplings == pytest.approx(ising.J / felt)
    assert not unit_field(Ising(np.zeros(2), np.zeros((2, 2)), 3.0)).h.any()


@pytest.mark.parametrize("unit", [2.0**-600, 2.0**500])
def test_strings_do_not_depend_on_the_unit_of_energy(unit: float):
    ising = model(10)
    first = PathIntegral()(ising, np.random.default_rng(4))
    second = PathIntegral()(Ising(ising.h * unit, ising.J * unit), np.random.default_rng(4))
    assert np.array_equal(first, second)


def test_sparse_couplings_and_names_change_nothing():
    ising = model(10)
    other = Ising(ising.h, sparse.csr_array(ising.J), ising.offset, names=tuple("jihgfedcba"))
    first, second = (PathIntegral()(one, np.random.default_rng(4)) for one in (ising, other))
    assert np.array_equal(first, second)


def test_groups_are_kept():
    rng = np.random.default_rng(0)
    groups = tuple(tuple(range(item * 3, item * 3 + 3)) for item in range(5))
    ising = Ising(rng.normal(size=16), np.triu(rng.normal(size=(16, 16)), 1), groups=groups)
    strings = PathIntegral()(ising, rng)
    assert feasible(ising, strings).all()
    assert list(energies(ising, strings)) == sorted(energies(ising, strings))


@pytest.mark.parametrize(
    "options",
    [{"sweeps": 0}, {"reads": 0}, {"strings": 0}, {"inverse_temperature": 0.0}, {"transverse_field": np.inf}],
)
def test_options_are_checked(options: dict[str, float]):
    with pytest.raises(ValueError, match="expected"):
        PathIntegral(**options)
