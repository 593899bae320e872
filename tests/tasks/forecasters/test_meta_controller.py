"""Does the meta controller learn what features tell, look at nothing to come, and keep to its seed?"""

import numpy as np
import pytest

from tasks.forecasters.meta_controller import Log, MetaController, best_fixed, follow_the_leader
from tasks.forecasters.protocol import ForecastFailed


def told_before(seed: int, windows: int = 24) -> Log:
    """Return a sequence whose first feature gives the better of two forecasters away; of three solvers, 2 is best."""
    rng = np.random.default_rng(seed)
    good = rng.integers(2, size=windows)
    features = np.column_stack([good + 0.1 * rng.standard_normal(windows), rng.standard_normal(windows)])
    forecasters = np.full((windows, 2), 0.3)
    forecasters[np.arange(windows), good] = 0.1
    solvers = np.tile([2.0, 1.5, 1.0], (windows, 1)) + 0.1 * rng.random((windows, 3))
    return Log(features, (forecasters, solvers))


def mean_loss(log: Log, chosen) -> list[float]:
    return [float(losses[np.arange(len(losses)), chosen[:, n]].mean()) for n, losses in enumerate(log.losses)]


@pytest.fixture(scope="module")
def model():
    return MetaController(epochs=120, hidden=8).train(
        [told_before(seed) for seed in range(4)], np.random.default_rng(0)
    )


def test_what_the_features_tell_is_learned_and_beats_both_yardsticks(model):
    """Both yardsticks look at losses alone, and here those of the past say nothing about the next window."""
    unseen = told_before(99)
    ours = mean_loss(unseen, model.choose(unseen))
    leader = mean_loss(unseen, follow_the_leader(unseen))
    fixed = mean_loss(unseen, np.tile(best_fixed([unseen]), (24, 1)))
    assert ours[0] < 0.8 * min(leader[0], fixed[0])
    assert ours[1] <= min(leader[1], fixed[1]) + 0.1


def test_a_choice_never_looks_at_the_losses_of_its_own_window_or_later(model):
    log = told_before(5)
    other = Log(log.features, tuple(np.where(np.arange(24)[:, None] >= 10, 9.0, one) for one in log.losses))
    assert np.array_equal(model.choose(log)[:11], model.choose(other)[:11])


def test_the_same_seed_gives_the_same_weights(model):
    again = MetaController(epochs=120, hidden=8).train([told_before(s) for s in range(4)], np.random.default_rng(0))
    assert [(name, one.tobytes()) for name, one in again.weights] == [(n, one.tobytes()) for n, one in model.weights]


def test_the_leader_is_the_cheapest_so_far_and_first_at_a_tie():
    losses = np.array([[1.0, 0.0], [0.0, 3.0], [5.0, 5.0]])
    log = Log(np.zeros((3, 1)), (losses,))
    assert follow_the_leader(log)[:, 0].tolist() == [0, 1, 0]
    assert best_fixed([log]).tolist() == [0]


def test_other_choices_are_refused(model):
    with pytest.raises(ValueError, match="choices"):
        model.choose(Log(np.zeros((2, 2)), (np.zeros((2, 3)), np.zeros((2, 3)))))


def test_no_windows_teach_nothing():
    with pytest.raises(ForecastFailed, match="no windows"):
        MetaController().train([], np.random.default_rng(0))


def test_losses_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"losses\[0\]: expected shape \(3, ...\)"):
        Log(np.zeros((3, 1)), (np.zeros((2, 2)),))
