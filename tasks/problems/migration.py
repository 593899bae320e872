"""In which order can jobs move? In steps that find the GPUs they need free, with as few extra stops as possible.

A job moves as soon as the GPUs that it goes to are free; those that can move at once share a batch. Jobs that wait for
one another in a circle have no such order. One of them then steps aside onto free GPUs, if there are any that nobody
else goes to, and moves on when the others have left: it stops twice, so the cheapest one does it, and only
while that costs less than the plan gains. Otherwise the circle shares a batch: all stop before any starts, and the
reasons say so.
The circles are the strongly connected components of the graph of who waits for whom (Tarjan 1972, doi 10.1137/0201010).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import networkx as nx

from data.schemas.job import Worker
from data.schemas.plan import Migrate

Gpu = tuple[str, int]
"""A GPU: its node and its index there."""

_NAMED = 3
"""Jobs that a reason names."""


@dataclass(frozen=True, slots=True)
class SpareRoom:
    """Where a job may step aside, and what that costs.

    Args:
        free: GPUs that nobody holds.
        accepts: tells whether a job, by its id, may go to a node.
        price: what stopping a job once more costs, by its id, in the unit of gains.
        allowance: what all such stops together may cost.
    """

    free: Collection[Gpu] = ()
    accepts: Callable[[str, str], bool] = lambda _job, _node: True
    price: Mapping[str, float] = field(default_factory=dict)
    allowance: float = float("inf")


def ordered_batches(migrations: Sequence[Migrate], room: SpareRoom | None = None) -> tuple[Migrate, ...]:
    """Return ``migrations`` with their batch numbers, in order; one that steps aside stands twice.

    Args:
        migrations: at most one of each job, each with as many workers before as after; ties stay in the order given.
        room: where jobs may step aside; None where they may not.
    """
    yard = _Yard(migrations, room or SpareRoom(allowance=0.0))
    steps: list[Migrate] = []
    batch = 0
    while yard.pending:
        free, circles = yard.unhindered()
        now = [yard.go(index) for index in free]
        stuck = []
        for circle in circles:
            aside = yard.step_aside(circle)
            now += [aside] if aside else []
            stuck += [] if aside else [circle]
        if not now or yard.allowance <= 0.0:  # nobody leaves room in which one of them could step aside later
            now += (step for circle in stuck for step in yard.change_places(circle))
        steps += (replace(step, batch=batch) for step in now)
        yard.settle()
        batch += 1
    return tuple(steps)


class _Yard:
    """Who stands where between two batches, and who has yet to move."""

    def __init__(self, migrations: Sequence[Migrate], room: SpareRoom) -> None:
        self.pending = dict(enumerate(migrations))
        self.room = room
        self.allowance = room.allowance
        self.holder = {gpu: index for index, each in enumerate(migrations) for gpu in _gpus(each.before)}
        self.free = set(room.free) - self.holder.keys()
        self.stepped: set[int] = set()
        self.left: set[Gpu] = set()  # in this batch
        self.taken: set[Gpu] = set()

    def unhindered(self) -> tuple[list[int], list[list[int]]]:
        """Return the jobs that wait for nobody, and the circles that wait for nobody else."""
        graph = nx.DiGraph()
        graph.add_nodes_from(self.pending)
        graph.add_edges_from((index, other) for index in self.pending for other in self._waits_for(index))
        circles = nx.condensation(graph)
        ends = sorted(sorted(circles.nodes[circle]["members"]) for circle in circles if circles.out_degree(circle) == 0)
        return [end[0] for end in ends if len(end) == 1], [end for end in ends if len(end) > 1]

    def go(self, index: int) -> Migrate:
        """Let a job go where it wants."""
        step = self.pending.pop(index)
        self._go(step)
        return step

    def step_aside(self, circle: list[int]) -> Migrate | None:
        """Let one of ``circle`` step aside, if that is possible and pays."""
        found = self._aside(circle)
        if found is None:
            return None
        index, step = found
        self._go(step)
        self.pending[index] = replace(self.pending[index], before=step.after)
        self.stepped.add(index)
        self.allowance -= self._price(index)
        self.holder |= dict.fromkeys(_gpus(step.after), index)
        return step

    def change_places(self, circle: list[int]) -> Iterator[Migrate]:
        """Let all of ``circle`` go where they want at once."""
        names = {index: self.pending[index].job for index in circle}
        for index in circle:
            step = self.go(index)
            others = _named(name for other, name in names.items() if other != index)
            why = f"changes places with {others}: all stop before any starts, since none can step aside"
            yield replace(step, reason=f"{step.reason}; {why}")

    def settle(self) -> None:
        """Let what was left in this batch be free."""
        self.free |= self.left - self.taken
        self.left, self.taken = set(), set()

    def _go(self, step: Migrate) -> None:
        before, after = _gpus(step.before), _gpus(step.after)
        for gpu in before:
            del self.holder[gpu]
        self.left |= before
        self.taken |= after
        self.free -= after

    def _waits_for(self, index: int) -> set[int]:
        holders = (self.holder.get(gpu, index) for gpu in _gpus(self.pending[index].after))
        return {other for other in holders if other != index}

    def _price(self, index: int) -> float:
        return self.room.price.get(self.pending[index].job, 0.0)

    def _aside(self, circle: list[int]) -> tuple[int, Migrate] | None:
        """Return who steps aside and where to: the cheapest who lets another one go."""
        wanted: set[Gpu] = set()
        for migration in self.pending.values():
            wanted |= _gpus(migration.after)
        for index in sorted(circle, key=lambda member: (self._price(member), member)):
            if index in self.stepped or self._price(index) >= self.allowance:
                continue
            mine = self.pending[index]
            way = self._way(index, wanted)
            if way is None:
                continue
            gone = _gpus(mine.before) - _gpus(way)
            freed = [
                self.pending[other].job
                for other in circle
                if other != index
                and all(gpu in gone or self.holder.get(gpu, other) == other for gpu in _gpus(self.pending[other].after))
            ]
            if freed:
                reason = f"steps aside onto free GPUs so that {_named(freed)} can move, and moves on after that"
                return index, Migrate(mine.job, mine.before, way, 0, reason, -self._price(index))
        return None

    def _way(self, index: int, wanted: set[Gpu]) -> tuple[Worker, ...] | None:
        """Return where a job waits: workers that are in nobody's way stay, the others go to free GPUs."""
        mine = self.pending[index]
        others = wanted - _gpus(mine.after)
        room: dict[str, list[int]] = {}
        for node, gpu in sorted(self.free - wanted):
            if self.room.accepts(mine.job, node):
                room.setdefault(node, []).append(gpu)
        way = []
        for was, then in zip(mine.before, mine.after, strict=True):
            if not _gpus((was,)) & others:
                way.append(was)
            elif _gpus((then,)) <= self.free:
                way.append(then)
            else:
                fits = [node for node, gpus in room.items() if len(gpus) >= len(was.gpus)]
                if not fits:
                    return None
                node = min(fits, key=lambda name: (len(room[name]), name))
                way.append(Worker(node, tuple(room[node][: len(was.gpus)])))
                del room[node][: len(was.gpus)]
        return tuple(way)


def _named(jobs: Iterable[str]) -> str:
    names = list(jobs)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _gpus(workers: Sequence[Worker]) -> set[Gpu]:
    return {(worker.node, gpu) for worker in workers for gpu in worker.gpus}
