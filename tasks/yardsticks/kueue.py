"""Where would Kueue's topology-aware scheduling put a gang? BestFit, LeastFreeCapacity and balanced, as rules.

Written from the descriptions in Kueue's documentation of topology-aware scheduling, for the levels rack, NVLink domain
and node with a preferred domain: the lowest level with one place that holds the whole gang is taken; where there is
none, the gang is spread over the places of the level above. Kueue places waiting jobs only
(:func:`tasks.yardsticks.placement_books.waiting_only`).
"""

from collections.abc import Callable

import numpy as np

from tasks.problems.placement_kernel import Ints
from tasks.yardsticks.placement_books import Books, summed

Spreading = Callable[[Ints, int], Ints]
"""Given the room of each place, and how many need it: how many each place takes, ``(places,)``."""


def best_fit(books: Books, job: int, slots: Ints) -> Ints | None:
    """Return nodes by BestFit: the fullest place that holds all; else few roomy places, the last one the fullest."""
    return _descend(books, job, slots, fewest)


def least_free(books: Books, job: int, slots: Ints) -> Ints | None:
    """Return nodes by LeastFreeCapacity: the fullest places first, on each level."""
    return _descend(books, job, slots, fullest)


def balanced(books: Books, job: int, slots: Ints) -> Ints | None:
    """Return nodes by balanced placement: the fewest domains that can take equal shares, the fullest such ones."""
    part = books.workers(job)
    need = part.stop - part.start
    room = summed(slots, books.room.domain)
    for count in range(1, room.size + 1):
        share, over = divmod(need, count)
        wanted = share + (over > 0)
        able = np.flatnonzero(room >= max(1, wanted))
        if able.size >= count and share > 0:
            chosen = able[np.argsort(room[able], kind="stable")][:count]
            taken = np.zeros(room.size, np.int64)
            taken[chosen] = share
            taken[chosen[:over]] += 1
            return _on_nodes(books, slots, taken, fewest)
    return best_fit(books, job, slots)


def fewest(room: Ints, need: int) -> Ints:
    """Return what to take of each place, the roomiest first; the last is the fullest that holds the rest."""
    taken = np.zeros(room.size, np.int64)
    left = room.copy()
    while need > 0:
        holds = np.flatnonzero(left >= need)
        place = holds[np.argmin(left[holds])] if holds.size else int(np.argmax(left))
        count = min(need, int(left[place]))
        taken[place] = count
        left[place] = 0
        need -= count
    return taken


def fullest(room: Ints, need: int) -> Ints:
    """Return what to take of each place, those with the least room first."""
    order = np.argsort(room, kind="stable")
    before = np.cumsum(room[order]) - room[order]
    taken = np.zeros(room.size, np.int64)
    taken[order] = np.clip(need - before, 0, room[order])
    return taken


def _descend(books: Books, job: int, slots: Ints, spread: Spreading) -> Ints | None:
    part = books.workers(job)
    need = part.stop - part.start
    room = books.room
    for place in (room.domain, room.rack):
        inside = summed(slots, place)
        holds = np.flatnonzero(inside >= need)
        if holds.size:
            slots = np.where(place == holds[np.argmin(inside[holds])], slots, 0)
            break
    return _on_nodes(books, slots, spread(summed(slots, room.domain), need), spread)


def _on_nodes(books: Books, slots: Ints, taken: Ints, spread: Spreading) -> Ints:
    """Return the node of each worker, from how many each domain takes."""
    chosen = []
    for domain in np.flatnonzero(taken):
        inside = np.flatnonzero((books.room.domain == domain) & (slots > 0))
        chosen.append(np.repeat(inside, spread(slots[inside], int(taken[domain]))))
    return np.concatenate(chosen)
