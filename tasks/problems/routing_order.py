"""In which order can the replicas of a layer be moved while every expert is served all the time?

A slot that is being overwritten is out of service for that step. In each step every rank loads at most one expert, and
only slots are taken whose expert has another replica in service. What is left when no slot can be taken are circles of
experts that wait for one another. A circle is opened by parking one of its experts in a slot whose own expert has a
replica to spare, and that slot is restored in the end. Where there is none, the step needs a spare buffer of one
expert on each of its ranks, as serving engines keep for transfers (an assumption): the newcomers are loaded into the
buffers while the old experts serve on, and all switch together.
"""

from collections import Counter
from collections.abc import Sequence

from data.schemas.plan import ReplicaLoad


def ordered_loads(
    before: Sequence[int], after: Sequence[int], per_rank: int, dead: frozenset[int] = frozenset()
) -> tuple[ReplicaLoad, ...]:
    """Return the loads that turn a layer into another, in steps; none of a rank's slots are loaded together.

    Args:
        before: expert in each slot, ``(slots,)``.
        after: likewise; on live ranks it serves each expert that ``before`` does.
        per_rank: slots of a rank.
        dead: ranks that serve nothing; their slots do not change.
    """
    return _Order(before, after, per_rank, dead).loads()


class _Order:
    """The layer as it stands after the steps so far."""

    def __init__(self, before: Sequence[int], after: Sequence[int], per_rank: int, dead: frozenset[int]) -> None:
        self.held = list(before)
        self.goal = list(after)
        self.per_rank = per_rank
        self.live = [slot for slot in range(len(self.held)) if slot // per_rank not in dead]
        self.serving = Counter(self.held[slot] for slot in self.live)
        self.left = [slot for slot in self.live if self.held[slot] != self.goal[slot]]
        self.made: list[ReplicaLoad] = []
        self.step = 0

    def loads(self) -> tuple[ReplicaLoad, ...]:
        while self.left:
            free = self._free()
            if not free and not self._parked():
                self._staged()
                continue
            self._make([(slot, self.goal[slot]) for slot in free], staged=False) if free else None
        return tuple(self.made)

    def _free(self) -> list[int]:
        """Return slots that can be overwritten together: each expert keeps a replica, each rank loads one."""
        taken: Counter[int] = Counter()
        ranks: set[int] = set()
        free = []
        for slot in self.left:
            expert, rank = self.held[slot], slot // self.per_rank
            if rank not in ranks and self.serving[expert] - taken[expert] > 1:
                taken[expert] += 1
                ranks.add(rank)
                free.append(slot)
        return free

    def _parked(self) -> bool:
        """Park one expert of each circle as far as slots with a spare replica go; return whether there was one."""
        taken: Counter[int] = Counter()
        ranks: set[int] = set()
        parks = []
        helpers = iter([slot for slot in self.live if slot not in self.left])
        for circle in self._circles():
            for slot in helpers:
                expert, rank = self.held[slot], slot // self.per_rank
                if rank not in ranks and self.serving[expert] - taken[expert] > 1:
                    taken[expert] += 1
                    ranks.add(rank)
                    parks.append((slot, self.held[circle[0]]))
                    break
        if parks:
            self._make(parks, staged=False)
            self.left += [slot for slot, _ in parks]  # last, so that what they wait for comes first
        return bool(parks)

    def _staged(self) -> None:
        """Turn the circles on by one step: experts go round along slots of different ranks, the last one closes it."""
        ranks: set[int] = set()
        loads = []
        for circle in self._circles():
            arc = max((self._arc(circle[at:] + circle[:at]) for at in range(len(circle))), key=lambda found: found[0])[
                1
            ]
            if ranks.isdisjoint(slot // self.per_rank for slot in arc):
                ranks.update(slot // self.per_rank for slot in arc)
                experts = [self.held[slot] for slot in arc]
                loads += list(zip(arc, [*experts[1:], experts[0]], strict=True))
        self._make(loads, staged=True)

    def _arc(self, circle: list[int]) -> tuple[tuple[bool, int], list[int]]:
        """Return how good it is to turn the first slots of a circle, all of different ranks, and which those are.

        What is left is a circle again, from the last of them on. It must not want an expert from a rank for a slot of
        the same rank; where it does, in one place, the next arc can begin there and mend it.
        """
        arc = circle[:1]
        for slot in circle[1:]:
            if slot // self.per_rank in {each // self.per_rank for each in arc}:
                break
            arc.append(slot)
        whole = len(arc) == len(circle)
        mended = len(arc) > 1 and (whole or circle[-1] // self.per_rank != arc[-1] // self.per_rank)
        return (mended, len(arc)), arc

    def _circles(self) -> list[list[int]]:
        """Return the circles of slots, each wanting the next one's expert; every expert left has one replica here."""
        holder = {self.held[slot]: slot for slot in self.left}
        circles, seen = [], set()
        for first in self.left:
            circle, slot = [], first
            while slot not in seen:
                seen.add(slot)
                circle.append(slot)
                slot = holder[self.goal[slot]]
            if circle:
                circles.append(circle)
        return circles

    def _make(self, loads: list[tuple[int, int]], *, staged: bool) -> None:
        for slot, expert in sorted(loads):
            self.made.append(ReplicaLoad(self.step, slot, expert, staged))
        for slot, _ in loads:
            self.serving[self.held[slot]] -= 1
        for slot, expert in loads:
            self.held[slot] = expert
            self.serving[expert] += 1
        self.step += 1
        self.left = [slot for slot in self.left if self.held[slot] != self.goal[slot]]
