"""Moves as an Ising model: exact up to two moves, whichever of them are possible by themselves."""

from itertools import combinations, permutations, product

import numpy as np
import pytest

from qiskit_solvers.ising import energies
from tasks.problems.moves import fusion_window
from tasks.problems.protocol import Window

# Three boxes on a shelf of five places, one to a place: a decision says where each box stands, a move carries one.
Shelf = tuple[int, ...]
Move = tuple[int, int]
SHELF: Shelf = (0, 2, 4)
FREES, NEEDS, TAKES, ELSEWHERE = (0, 1), (1, 0), (2, 1), (2, 3)
"""Box 0 leaves place 0 for 1; box 1 needs place 0; box 2 takes place 1 before box 0 can; box 2 minds nobody."""

COSTS = {shelf: float(cost) for cost, shelf in enumerate(product(range(5), repeat=3), start=1)}
"""Unlike sums over boxes: squared, so that pairs of moves matter."""


def carry(shelf: Shelf, move: Move) -> Shelf | None:
    box, place = move
    return None if place in shelf else (*shelf[:box], place, *shelf[box + 1 :])


def cost(shelf: Shelf) -> float:
    return COSTS[shelf] ** 2


def string(spins: int, *made: int) -> np.ndarray:
    made_or_left = np.ones(spins, dtype=np.int8)
    made_or_left[list(made)] = -1
    return made_or_left


def window_of(*moves: Move) -> Window[Shelf]:
    return fusion_window(SHELF, moves, carry, cost)


def energy(window: Window[Shelf], *made: int) -> float:
    return float(energies(window.ising, string(window.ising.spins, *made))[0])


@pytest.mark.parametrize("order", [*permutations((FREES, NEEDS, TAKES, ELSEWHERE))])
def test_energies_of_up_to_two_moves_are_the_exact_costs_of_what_is_sewn(order: tuple[Move, ...]) -> None:
    window = window_of(*order)
    for size in (0, 1, 2):
        for made in combinations(range(len(order)), size):
            sewn = window.sew(string(len(order), *made))
            assert energy(window, *made) == pytest.approx(cost(sewn)), [order[index] for index in made]


def test_leaving_everything_is_the_decision_itself() -> None:
    window = window_of(FREES, NEEDS)
    assert window.sew(string(2)) == SHELF
    assert energy(window) == pytest.approx(cost(SHELF))


def test_a_move_that_is_impossible_by_itself_costs_nothing_alone() -> None:
    window = window_of(NEEDS, ELSEWHERE)
    assert window.sew(string(2, 0)) == SHELF
    assert energy(window, 0) == pytest.approx(cost(SHELF))


def test_behind_an_impossible_first_move_the_second_counts_alone() -> None:
    window = window_of(NEEDS, FREES)
    assert window.sew(string(2, 0, 1)) == (1, 2, 4)
    assert energy(window, 0, 1) == pytest.approx(cost((1, 2, 4)))
    assert window.ising.J[0, 1] == 0.0


def test_a_first_move_may_make_the_second_possible() -> None:
    window = window_of(FREES, NEEDS)
    assert window.sew(string(2, 0, 1)) == (1, 0, 4)
    assert energy(window, 0, 1) == pytest.approx(cost((1, 0, 4)))


def test_of_two_moves_that_exclude_each_other_the_first_counts() -> None:
    window = window_of(FREES, TAKES)
    assert window.sew(string(2, 0, 1)) == (1, 2, 4)
    assert energy(window, 0, 1) == pytest.approx(cost((1, 2, 4)))
    assert energy(window, 1) == pytest.approx(cost((0, 2, 1)))


def test_two_impossible_moves_leave_everything() -> None:
    window = window_of(NEEDS, (2, 2))
    assert energy(window, 0, 1) == pytest.approx(cost(SHELF))


def test_no_moves_give_a_window_without_spins() -> None:
    window = window_of()
    assert window.ising.spins == 0
    assert window.ising.offset == cost(SHELF)
    assert window.sew(string(0)) == SHELF
