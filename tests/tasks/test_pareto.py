"""Frontiers: what nothing dominates, by its definition, by listing, by programmes, by evolution, on real regions."""

import csv
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import LinearConstraint

from qiskit_solvers.errors import TooLarge
from tasks.pareto import (
    Frontier,
    hypervolume,
    non_dominated,
    of_points,
    of_programme,
    of_subsets,
    of_sums,
)
from tasks.pareto_evolved import evolved, levels_of, subsets_of

REFERENCE = (3.3, 700.0)
"""Of price in USD an hour and carbon in g CO2eq per kWh."""


@pytest.fixture(scope="module")
def regions(real_data: Path) -> tuple[list[str], np.ndarray]:
    """Name, price of t2d-standard-48 and grid carbon of each region of Google Cloud, ``(regions, 2)``."""
    prices = real_data / "skypilot_catalog" / "gcp_t2d_standard_48_region_prices_v8.csv"
    carbon = real_data / "gcp_carbon" / "2024.csv"
    for path in (prices, carbon):
        if not path.is_file():
            pytest.skip(f"no real data: {path} is missing (set QUANTUMFLOW_DATA)")
    with prices.open(encoding="utf-8") as file:
        price = {row["region"]: float(row["ondemand_usd_h"]) for row in csv.DictReader(file)}
    with carbon.open(encoding="utf-8") as file:
        grams = {row[0]: float(row[3]) for row in list(csv.reader(file))[1:] if row[3]}
    names = sorted(set(price) & set(grams))
    return names, np.array([[price[name], grams[name]] for name in names])


small = st.integers(1, 4).flatmap(
    lambda objectives: st.integers(1, 14).flatmap(
        lambda points: arrays(np.float64, (points, objectives), elements=st.integers(0, 5).map(float))
    )
)


@settings(max_examples=80)
@given(values=small)
def test_what_is_kept_is_what_nothing_dominates_by_definition(values: np.ndarray):
    kept = non_dominated(values)
    expected = {
        tuple(point)
        for point in values.tolist()
        if not any(
            all(a <= b for a, b in zip(other, point, strict=True)) and other != point for other in values.tolist()
        )
    }
    assert {tuple(values[one].tolist()) for one in kept} == expected
    assert len(kept) == len(expected)
    assert values[kept, 0].tolist() == sorted(values[kept, 0].tolist())


@settings(max_examples=40)
@given(values=small)
def test_the_hypervolume_is_the_number_of_cells_that_are_dominated(values: np.ndarray):
    cells = product(range(5), repeat=values.shape[1])
    expected = sum(any((point <= np.array(cell)).all() for point in values) for cell in cells)
    assert hypervolume(values, [5.0] * values.shape[1]) == pytest.approx(expected)


def test_four_regions_of_google_cloud_have_the_published_frontier(regions: tuple[list[str], np.ndarray]):
    names, values = regions
    alone = of_points(values)
    assert [names[one] for one in alone.choices] == ["asia-south1", "us-west1", "northamerica-northeast1"]
    found = of_subsets(values, 4)
    assert found.method == "enumeration of 82251 subsets"
    assert len(found.values) == 23
    assert found.hypervolume(REFERENCE) == pytest.approx(915.8056, abs=5e-5)
    np.testing.assert_allclose(values[found.choices].mean(axis=1), found.values)


def test_the_programme_finds_the_same_frontier_of_four_regions(regions: tuple[list[str], np.ndarray]):
    _, values = regions
    listed = of_subsets(values, 4)
    found = of_programme(values.T / 4.0, [LinearConstraint(np.ones((1, len(values))), 4.0, 4.0)], np.ones(len(values)))
    assert found.exact
    np.testing.assert_allclose(found.values, listed.values, rtol=1e-12)
    assert found.ratio(listed, REFERENCE) == pytest.approx(1.0, abs=1e-12)


def test_evolution_reaches_nearly_all_of_the_hypervolume(regions: tuple[list[str], np.ndarray]):
    _, values = regions
    listed = of_subsets(values, 4)
    found = evolved(
        lambda keys: values[subsets_of(keys, 4)].mean(axis=1),
        len(values),
        np.random.default_rng(0),
        population=60,
        generations=40,
    )
    assert not found.exact
    assert 0.98 <= found.ratio(listed, REFERENCE) <= 1.0 + 1e-12
    for value, keys in zip(found.values, found.choices, strict=True):
        np.testing.assert_allclose(values[subsets_of(keys[None, :], 4)[0]].mean(axis=0), value)


@pytest.mark.slow
def test_evolution_finds_all_points_at_twenty_thousand_choices(regions: tuple[list[str], np.ndarray]):
    _, values = regions
    found = evolved(lambda keys: values[subsets_of(keys, 4)].mean(axis=1), len(values), np.random.default_rng(0))
    assert found.ratio(of_subsets(values, 4), REFERENCE) >= 0.999


def test_sums_over_groups_are_the_frontier_of_all_choices():
    rng = np.random.default_rng(4)
    groups = [rng.uniform(0.0, 1.0, (count, 3)) for count in (3, 4, 2, 5)]
    found = of_sums(groups)
    every = np.array(list(product(*(range(len(group)) for group in groups))))
    values = sum(group[every[:, k]] for k, group in enumerate(groups))
    listed = of_points(np.asarray(values))
    np.testing.assert_allclose(found.values, listed.values)
    np.testing.assert_array_equal(found.choices, every[listed.choices])


def test_levels_evolve_towards_the_frontier_of_a_budget():
    rng = np.random.default_rng(6)
    scale = np.array([1.0, 2.0, 4.0, 8.0])
    groups = [np.column_stack([rng.uniform(1, 9) * scale, -rng.uniform(0.2, 0.9) * np.log(scale)]) for _ in range(5)]
    exact = of_sums(groups)
    counts = np.full(5, 4)

    def evaluate(keys: np.ndarray) -> np.ndarray:
        level_of = levels_of(keys, counts)
        return np.asarray(sum(group[level_of[:, k]] for k, group in enumerate(groups)))

    reference = exact.values.max(axis=0) + 1.0
    once, again = (evolved(evaluate, 5, np.random.default_rng(1), population=40, generations=20) for _ in range(2))
    assert 0.9 < once.ratio(exact, reference.tolist()) <= 1.0 + 1e-12
    np.testing.assert_array_equal(once.values, again.values)


def test_a_programme_that_nothing_satisfies_is_refused_and_one_that_is_cut_short_is_not_exact():
    one = LinearConstraint(np.ones((1, 3)), 4.0, 4.0)
    objectives = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    with pytest.raises(ValueError, match="found none"):
        of_programme(objectives, [one], np.ones(3))
    with pytest.raises(ValueError, match="expected shape"):
        of_programme(objectives[:1], [one], np.ones(3))
    assert not of_programme(objectives, [one], np.full(3, 4.0), most=2).exact
    assert len(of_programme(objectives, [one], np.full(3, 4.0)).values) == 9


def test_impossible_questions_are_refused():
    values = np.ones((40, 2))
    with pytest.raises(ValueError, match="1 to 40"):
        of_subsets(values, 41)
    with pytest.raises(TooLarge, match="at most 20000000 subsets"):
        of_subsets(values, 20)
    with pytest.raises(ValueError, match=r"found \[nan, 1.0\] at point 1"):
        non_dominated(np.array([[1.0, 1.0], [np.nan, 1.0]]))
    with pytest.raises(ValueError, match="expected 2 objectives"):
        hypervolume(values, [1.0])
    with pytest.raises(ValueError, match="an exact frontier"):
        of_points(values).ratio(Frontier(values, np.arange(40), "NSGA-II", exact=False), (2.0, 2.0))
    with pytest.raises(ValueError, match="same objectives"):
        of_sums([])
    with pytest.raises(ValueError, match="at least 1"):
        evolved(lambda keys: keys, 0, np.random.default_rng(0))
