"""Does the planner's world keep count of every GPU, and does a re-optimisation do what it says?"""

import numpy as np
import pytest

from tasks.planner.consolidate import consolidate
from tasks.planner.episode import BUDGETS, Episode, View, episode, play, thinned
from tasks.planner.rules import Every, PayBack, best_of
from tasks.planner.world import DOMAIN_GPUS, TICK_S, Jobs, State, advance, copied, empty_state, score
from tasks.yardsticks.gangs import RollingCpSat, play_cp_sat

DOMAINS = 6


@pytest.fixture
def jobs(rng: np.random.Generator) -> Jobs:
    """A day of jobs that fill six domains."""
    count = 300
    return Jobs(
        np.sort(rng.uniform(0.0, 86_400.0, count)),
        rng.lognormal(8.5, 1.2, count),
        rng.choice([1, 1, 1, 2, 4, 8, 16], count).astype(np.int64),
    )


@pytest.fixture
def given(jobs: Jobs) -> Episode:
    return episode(jobs, DOMAINS, 20_000.0, 80_000.0, restart_h=0.5)


def sound(jobs: Jobs, state: State) -> bool:
    """Return whether every GPU is held once or free, and every running job holds what it asked for."""
    running = state.running[: state.numbers[0]]
    return bool(
        (state.free >= 0).all()
        and (state.held.sum(axis=0) + state.free == DOMAIN_GPUS).all()
        and (state.held[running].sum(axis=1) == jobs.gpus[running]).all()
        and state.held.sum() == jobs.gpus[running].sum()
    )


@pytest.mark.slow
def test_no_gpu_is_held_twice_at_any_tick_whatever_is_moved(jobs: Jobs, rng: np.random.Generator) -> None:
    state = empty_state(jobs, DOMAINS)
    for tick in range(144):
        advance(tick * TICK_S, jobs, state)
        assert sound(jobs, state)
        consolidate(tick * TICK_S, int(rng.choice(BUDGETS)), jobs, state)
        assert sound(jobs, state)


def test_moves_stay_in_the_budget_and_a_smaller_one_is_a_prefix(jobs: Jobs) -> None:
    state = empty_state(jobs, 3 * DOMAINS)
    most = 0
    for tick in range(144):
        now = tick * TICK_S
        advance(now, jobs, state)
        whole = consolidate(now, 128, jobs, copied(state))
        most = max(most, len(whole))
        for budget in (0, 4, 8, 32):
            part = consolidate(now, budget, jobs, copied(state))
            assert part[:, 0].sum() <= budget
            assert np.array_equal(part, whole[: len(part)])
    assert most > 1


def test_a_gang_in_one_domain_is_worth_its_gpus_and_spread_out_less() -> None:
    jobs = Jobs(np.zeros(1), np.full(1, 1e6), np.array([8]))
    state = empty_state(jobs, 2)
    advance(0.0, jobs, state)
    assert score(jobs, state) == pytest.approx(8.0)
    state.held[0] = [4, 4]
    state.free[:] = 4
    assert score(jobs, state) < 1.0
    assert consolidate(0.0, 4, jobs, state)[:, 0].tolist() == [4.0]
    assert score(jobs, state) == pytest.approx(8.0)


def test_rewards_are_scores_less_what_stops(given: Episode) -> None:
    never, always = play(given, Every(0)), play(given, Every(1))
    assert never.lost_h == never.moved == 0.0
    assert always.moved > 0
    assert always.total > never.total
    free = play(Episode(given.jobs, given.start, given.begin_s, given.end_s, 0.0), Every(1))
    assert free.total == pytest.approx(always.total + always.lost_h)


def test_a_play_is_the_same_again_and_leaves_its_episode(given: Episode) -> None:
    before = given.start.held.copy()
    once, again = play(given, PayBack(1.0)), play(given, PayBack(1.0))
    assert np.array_equal(once.reward, again.reward)
    assert np.array_equal(given.start.held, before)


def test_the_best_rule_is_the_best_and_masks_are_kept(given: Episode) -> None:
    rules = (Every(0), Every(1), Every(6, 2))
    best = best_of(rules, [given])
    assert play(given, best).total == max(play(given, rule).total for rule in rules)

    def forbidden(view: View) -> int:
        return int(np.flatnonzero(~view.allowed)[0]) if not view.allowed.all() else 0

    with pytest.raises(ValueError, match="expected one of"):
        play(given, forbidden)


def test_thinning_keeps_an_ordered_part(jobs: Jobs, rng: np.random.Generator) -> None:
    part = thinned(jobs, 0.5, rng)
    assert 0 < part.gpus.size < jobs.gpus.size
    assert (np.diff(part.arrival_s) >= 0).all()


def test_cp_sat_plans_no_worse_than_never(jobs: Jobs) -> None:
    short = episode(jobs, DOMAINS, 20_000.0, 26_000.0, restart_h=0.0)
    assert play_cp_sat(short, RollingCpSat(1.0, 0.2)) >= play(short, Every(0)).total
