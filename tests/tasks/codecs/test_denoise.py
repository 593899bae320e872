"""Putting a quantised matrix nearer to what it was, never further than was promised."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.codecs.denoise import DenoiserTraining, Grid, LevelTable, level_table, mean_squared_error, within


def quantised(matrix: np.ndarray, step: float) -> Grid:
    return Grid(np.rint(matrix / step).astype(np.int32), np.array(step))


def smooth(seed: int, side: int = 64) -> np.ndarray:
    """A sum of plane waves: neighbours say much of an element."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    waves = [np.sin(rows * a + columns * b + c) for a, b, c in rng.uniform(-0.1, 0.1, (4, 3))]
    return np.sum(waves, axis=0)


@settings(max_examples=50)
@given(
    step=st.floats(1e-30, 1e30),
    slack=st.floats(0.5, 3.0),
    seed=st.integers(0, 2**32 - 1),
    wild=st.sampled_from([1.0, 1e6, np.inf, np.nan]),
)
def test_no_output_leaves_its_cell_or_breaks_the_limit(step: float, slack: float, seed: int, wild: float):
    rng = np.random.default_rng(seed)
    grid = Grid(rng.integers(-9, 9, (5, 7)).astype(np.int32), step * rng.uniform(0.5, 2.0, (5, 1)))
    original = grid.values + rng.uniform(-0.5, 0.5, (5, 7)) * grid.steps
    proposed = grid.values + rng.normal(size=(5, 7)) * wild * grid.steps
    limit = slack * grid.steps
    last_digit = 8 * np.finfo(np.float64).eps * (np.abs(grid.values) + grid.steps)
    freely = within(proposed, grid)
    assert (np.abs(freely - grid.values) <= grid.steps / 2).all()
    assert (np.abs(freely - original) <= grid.steps + last_digit).all()
    bounded = within(proposed, grid, limit)
    assert (np.abs(bounded - grid.values) <= grid.steps / 2).all()
    assert (np.abs(bounded - original) <= limit + last_digit).all()


def test_a_limit_of_half_a_step_leaves_the_middle():
    grid = quantised(smooth(0), 0.3)
    np.testing.assert_array_equal(within(grid.values + 1.0, grid, 0.15), grid.values)


def test_the_table_holds_the_mean_of_each_level():
    grid = Grid(np.array([[0, 0, 1, 3]], dtype=np.int32), np.array(2.0))
    table = level_table([grid], [[[0.4, 0.8, 1.5, 6.0]]])
    assert table.lowest == 0
    np.testing.assert_allclose(table.offsets, [0.3, -0.25, 0.0, 0.0])
    np.testing.assert_allclose(table(grid), [[0.6, 0.6, 1.5, 6.0]])
    unknown = Grid(np.array([[-5, 9]], dtype=np.int32), np.array(2.0))
    np.testing.assert_array_equal(table(unknown), unknown.values)


def test_the_table_is_nearer_where_numbers_crowd_to_the_middle():
    rng = np.random.default_rng(1)
    learnt, judged = rng.normal(size=(100, 100)), rng.normal(size=(100, 100))
    table = level_table([quantised(learnt, 1.5)], [learnt])
    grid = quantised(judged, 1.5)
    gain = mean_squared_error(grid.values, judged) / mean_squared_error(table(grid), judged)
    assert gain > 1.1


def test_the_network_beats_the_table_where_neighbours_tell():
    matrices = [smooth(seed) for seed in range(4)]
    grids = [quantised(matrix, 0.8) for matrix in matrices]
    training = DenoiserTraining(channels=8, steps=60, patch=24, batch=4)
    denoiser = training(grids[:3], matrices[:3], np.random.default_rng(2))
    by_network = mean_squared_error(denoiser(grids[3]), matrices[3])
    by_table = mean_squared_error(level_table(grids[:3], matrices[:3])(grids[3]), matrices[3])
    unchanged = mean_squared_error(grids[3].values, matrices[3])
    assert by_network < 0.9 * min(by_table, unchanged)
    again = training(grids[:3], matrices[:3], np.random.default_rng(2))
    np.testing.assert_array_equal(again(grids[3]), denoiser(grids[3]))


def test_a_network_that_is_no_gain_changes_nothing():
    rng = np.random.default_rng(3)
    matrices = [rng.uniform(-4.5, 4.5, (16, 16)) for _ in range(2)]  # flat within each cell: nothing to be learnt
    grids = [quantised(matrix, 1.0) for matrix in matrices]
    denoiser = DenoiserTraining(channels=2, layers=2, steps=30, learning_rate=0.3)(grids, matrices, rng)
    assert denoiser.gain == 1.0
    np.testing.assert_array_equal(denoiser(grids[1]), grids[1].values)


def test_what_does_not_fit_is_refused():
    grid = quantised(smooth(0, 4), 1.0)
    with pytest.raises(ValueError, match="steps: expected finite numbers above 0"):
        Grid(grid.levels, np.array(0.0))
    with pytest.raises(ValueError, match=r"steps: expected a shape that fits levels \(4, 4\)"):
        Grid(grid.levels, np.ones((5, 4, 4)))
    with pytest.raises(ValueError, match="originals: expected one for each of some matrices, got 0"):
        level_table([], [])
    with pytest.raises(ValueError, match=r"originals: expected shape \(4, 4\)"):
        level_table([grid], [np.ones((2, 2))])
    with pytest.raises(ValueError, match="at least two matrices"):
        DenoiserTraining()([grid], [smooth(0, 4)], np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least 2 layers"):
        DenoiserTraining(layers=1)
    with pytest.raises(ValueError, match="65536 levels"):
        level_table([Grid(np.array([[0, 70000]], dtype=np.int32), np.array(1.0))], [np.zeros((1, 2))])
    assert LevelTable(0, np.zeros(1))(grid).shape == (4, 4)
