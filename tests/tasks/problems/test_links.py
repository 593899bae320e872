"""Is the links noun exact, bounded, and as good as an exhaustive search where one is possible?"""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from data.schemas.transfers import Transfer
from tasks.problems.links import Assigned, Links
from tasks.yardsticks.colouring import cp_sat


def transfers(count: int, rng: np.random.Generator) -> list[Transfer]:
    """Return messages between four hosts over two planes."""
    made = []
    for _ in range(count):
        a, b = rng.choice(4, 2, replace=False).tolist()
        made.append(
            Transfer(f"h{a}", f"h{b}", float(rng.integers(1, 9)), 2.0, (f"plane{rng.integers(2)}-{min(a, b)}",))
        )
    return made


def by_definition(items: list[Transfer], round_of: np.ndarray, congestion: float) -> float:
    """Price rounds once more, pair by pair."""
    total = 0.0
    for number in set(round_of.tolist()):
        inside = [item for item, where in zip(items, round_of, strict=True) if where == number]
        total += max(item.seconds for item in inside)
        for k, one in enumerate(inside):
            for other in inside[:k]:
                if one.source == other.source or one.target == other.target or set(one.uses) & set(other.uses):
                    total += congestion * min(one.seconds, other.seconds)
    return total


@pytest.mark.parametrize("rounds", [1, 3, 9])
def test_the_cost_is_that_of_the_definition(rounds: int, rng: np.random.Generator) -> None:
    items = transfers(12, rng)
    problem = Links.from_transfers(items, rounds=rounds)
    for _ in range(5):
        round_of = rng.integers(rounds, size=12)
        assert problem.cost(Assigned(round_of)) == pytest.approx(by_definition(items, round_of, 2.0))


@pytest.mark.parametrize("rounds", [2, 4])
def test_search_and_bound_enclose_the_exhaustive_optimum(rounds: int, rng: np.random.Generator) -> None:
    items = transfers(6, rng)
    problem = Links.from_transfers(items, rounds=rounds)
    best = min(problem.cost(Assigned(np.array(r))) for r in product(range(rounds), repeat=6))
    found = problem.search(problem.incumbent(), 20_000, rng).decision
    assert problem.cost(found) == pytest.approx(best)
    assert problem.bound() <= best
    exact = cp_sat(problem, 0, work=20.0)
    assert exact.proven
    assert problem.cost(exact.decision) == pytest.approx(best)


def test_with_enough_rounds_nothing_clashes_and_given_rounds_are_in_force(rng: np.random.Generator) -> None:
    items = transfers(30, rng)
    problem = Links.from_transfers(items)
    found = problem.search(problem.incumbent(), 20_000, rng).decision
    assert problem.clashes(found) == 0
    given = [replace(item, given_round=number) for item, number in zip(items, found.round_of.tolist(), strict=True)]
    later = Links.from_transfers(given)
    assert np.array_equal(later.incumbent().round_of, found.round_of)
    assert later.cost(later.incumbent()) == pytest.approx(problem.cost(found))


def test_the_same_seed_gives_the_same_rounds(rng: np.random.Generator) -> None:
    problem = Links.from_transfers(transfers(40, rng), rounds=12)
    once, again = (problem.search(problem.incumbent(), 20_000, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(once.decision.round_of, again.decision.round_of)


def test_what_cannot_be_posed_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Links.from_transfers([])
    with pytest.raises(ValueError, match="rounds: expected at least 1"):
        Links.from_transfers(transfers(3, rng), rounds=0)
    with pytest.raises(ValueError, match="rounds and congestion"):
        Links.from_transfers(transfers(3, rng), congestion=0.5)
