"""Elimination by correlations ends at good strings, whatever the model looks like."""

import networkx as nx
import numpy as np
import pytest
from scipy import sparse

from qiskit_solvers import Exact, Ising, TooLarge, diagonal, energies
from qiskit_solvers.angles.closed_form import ClosedForm, best_angles
from qiskit_solvers.one_hot import feasible
from qiskit_solvers.rqaoa import Rqaoa, descended


def model(spins: int, seed: int = 7) -> Ising:
    rng = np.random.default_rng(seed)
    return Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)), 1), 1.5)


def weighted_cut(spins: int, seed: int) -> Ising:
    """Weighted 3-regular MaxCut, sparse."""
    graph = nx.random_regular_graph(3, spins, seed=seed)
    weights = np.random.default_rng(seed).random((spins, spins))
    J = np.triu(nx.to_numpy_array(graph, nodelist=range(spins)), 1) * weights
    return Ising(np.zeros(spins), sparse.csr_array(J))


def assignment(items: int, bins: int, seed: int) -> Ising:
    rng = np.random.default_rng(seed)
    spins = items * bins
    groups = tuple(tuple(range(item * bins, item * bins + bins)) for item in range(items))
    return Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)), 1), groups=groups)


@pytest.mark.parametrize("spins", [1, 2, 5, 9, 13])
def test_small_models_end_at_the_optimum(spins: int):
    ising = model(spins)
    strings = Rqaoa(enumerated=4)(ising, np.random.default_rng(0))
    assert energies(ising, strings)[0] == pytest.approx(diagonal(ising).min())


def test_the_first_step_is_the_strongest_correlation_of_the_state():
    """With one spin to eliminate, the strings are the lowest among those that obey the strongest expectation."""
    for seed in range(8):
        ising = model(6, seed)
        angles, pairs = best_angles(ising), ising.pairs
        seen = ClosedForm(ising).correlations(angles.gamma, angles.beta)
        strings = Exact(strings=64)(ising, np.random.default_rng(0)).astype(int)
        if np.abs(seen.spins).max() > np.abs(seen.pairs).max():
            strongest = int(np.abs(seen.spins).argmax())
            obeys = strings[:, strongest] == np.sign(seen.spins[strongest])
        else:
            strongest = int(np.abs(seen.pairs).argmax())
            products = strings[:, pairs.rows[strongest]] * strings[:, pairs.columns[strongest]]
            obeys = products == np.sign(seen.pairs[strongest])
        found = Rqaoa(runs=1, enumerated=5)(ising, np.random.default_rng(1))
        assert np.array_equal(found, strings[obeys])


@pytest.mark.parametrize("seed", range(3))
def test_a_sparse_cut_of_thirty_spins_is_solved(seed: int):
    ising = weighted_cut(30, seed)
    found = energies(ising, Rqaoa()(ising, np.random.default_rng(0)))[0]
    assert found == pytest.approx(_optimum_of_cut(ising), rel=1e-9)


def _optimum_of_cut(ising: Ising) -> float:
    """Return the lowest energy by dynamic programming over the spins in order of their numbers."""
    J = ising.couplings
    J = J + J.T
    order = list(nx.utils.reverse_cuthill_mckee_ordering(nx.from_numpy_array(J)))
    last = {i: max([order.index(j) for j in np.flatnonzero(J[i])] + [order.index(i)]) for i in order}
    lowest: dict[tuple[tuple[int, int], ...], float] = {(): 0.0}
    for place, spin in enumerate(order):
        step: dict[tuple[tuple[int, int], ...], float] = {}
        for state, energy in lowest.items():
            for value in (1, -1):
                added = energy + value * (ising.h[spin] + sum(J[spin, other] * at for other, at in state))
                kept = tuple((other, at) for other, at in (*state, (spin, value)) if last[other] > place)
                step[kept] = min(step.get(kept, np.inf), added)
        lowest = step
    return ising.offset + min(lowest.values())


def test_a_tree_of_a_hundred_spins_keeps_all_its_couplings():
    rng, spins = np.random.default_rng(3), 100
    J = np.zeros((spins, spins))
    for spin in range(1, spins):
        J[rng.integers(spin), spin] = rng.normal()
    ising = Ising(np.zeros(spins), sparse.csr_array(J))
    strings = Rqaoa(runs=1)(ising, np.random.default_rng(0))
    assert energies(ising, strings)[0] == pytest.approx(-np.abs(J).sum())


def test_more_runs_never_end_higher():
    ising = model(24, 1)
    lowest = [energies(ising, Rqaoa(runs=runs)(ising, np.random.default_rng(5)))[0] for runs in (1, 2, 4)]
    assert lowest == sorted(lowest, reverse=True)


def test_strings_do_not_depend_on_the_unit_of_energy():
    ising = model(14, 2)
    for unit in (2.0**-600, 2.0**500):
        scaled = Ising(ising.h * unit, ising.J * unit)
        first, second = (Rqaoa()(one, np.random.default_rng(4)) for one in (ising, scaled))
        assert np.array_equal(first, second)


def test_lone_spins_follow_their_fields_and_chance():
    h = np.array([1.0, -2.0, 0.0, 0.5] + [0.0] * 12)
    J = np.zeros((16, 16))
    J[2, 3] = -3.0
    strings = Rqaoa(runs=8, enumerated=2)(Ising(h, J), np.random.default_rng(0))
    assert (strings[:, :2] == [-1, 1]).all()
    assert (strings[0, 2:4] == -1).all()
    assert len(strings) > 2  # spins without terms are left to chance


def test_groups_are_kept():
    ising = assignment(6, 3, 0)
    strings = Rqaoa()(ising, np.random.default_rng(0))
    assert feasible(ising, strings).all()
    assert list(energies(ising, strings)) == sorted(energies(ising, strings))


def test_descent_ends_where_no_flip_saves_and_is_off_by_default():
    ising = model(20, 3)
    J = ising.couplings + ising.couplings.T
    ends = descended(ising, 1 - 2 * np.random.default_rng(0).integers(0, 2, size=(10, 20), dtype=np.int8))
    assert (ends * (ising.h + ends @ J) <= 1e-9).all()
    assert not Rqaoa().descend
    plain, polished = (
        energies(ising, Rqaoa(runs=1, descend=descend)(ising, np.random.default_rng(0)))[0] for descend in (False, True)
    )
    assert polished <= plain


def test_a_model_above_the_limit_is_refused_with_both_numbers():
    with pytest.raises(TooLarge, match="at most 5 spins, got 6"):
        Rqaoa(max_spins=5)(model(6), np.random.default_rng(0))


@pytest.mark.parametrize(
    "options", [{"runs": 0}, {"enumerated": 0}, {"strings": 0}, {"spread": -1.0}, {"spread": np.inf}]
)
def test_options_are_checked(options: dict[str, float]):
    with pytest.raises(ValueError, match="at least"):
        Rqaoa(**options)
