"""Do planes end as soon as theory says, and is their bound one?"""

from itertools import product

import numpy as np
import pytest

from data.schemas.transfers import Part, Round
from tasks.communication.birkhoff import decompose
from tasks.communication.planes import cut_for_planes, end_of_planes, least_end, on_planes


def rounds_of(seconds: list[float]) -> tuple[Round, ...]:
    return tuple(Round(length, (Part(k, "a", "b", length, length),)) for k, length in enumerate(seconds))


@pytest.mark.parametrize("planes", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_planes_end_between_their_bound_and_four_thirds_of_the_optimum(planes: int, seed: int) -> None:
    seconds = np.random.default_rng(seed).uniform(0.1, 2.0, 6).tolist()
    best = min(
        max(sum(s for s, plane in zip(seconds, chosen, strict=True) if plane == p) for p in range(planes))
        for chosen in product(range(planes), repeat=6)
    )
    placed = on_planes(rounds_of(seconds), planes)
    assert sorted(part.transfer for turn in placed for part in turn.parts) == list(range(6))
    assert best - 1e-9 <= end_of_planes(placed) <= (4 / 3 - 1 / (3 * planes)) * best + 1e-9
    assert least_end(sorted(seconds, reverse=True), planes) <= best + 1e-9


@pytest.mark.parametrize("planes", [1, 2, 5, 100])
def test_cut_rounds_send_everything_and_no_plane_is_late(planes: int, rng: np.random.Generator) -> None:
    amount = rng.integers(0, 9, (5, 5))
    found = decompose(amount)
    sent, ends = np.zeros_like(amount), np.zeros(planes, np.int64)
    for plane, length, partner, now in cut_for_planes(found, planes):
        ends[plane] += length
        senders = np.flatnonzero(partner >= 0)
        assert np.unique(partner[senders]).size == senders.size
        assert now.max() <= length
        sent[senders, partner[senders]] += now[senders]
    assert np.array_equal(sent, amount)
    assert ends.max() == -(-found.makespan // planes)
