"""How is a rule that places one job at a time run over a cluster? For those that wait, or for all under the budget.

A rule sees the free GPUs and returns a node for each worker of one job. Schedulers do the first (*waiting only*):
whoever runs is never touched. To compare with a plan that migrates, *replanned* also lifts running jobs, the dearest
per GPU first, and keeps what the rule does with each if the exact cost falls and the migration budget, the spare nodes
and pinned jobs are respected.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tasks.problems.placement import Placed, Placement
from tasks.problems.placement_kernel import Ints, free_gpus, gang_cost, keeps_limits


class Books:
    """A placement while jobs are put down and lifted. Mutable; lives within one call.

    Attributes:
        free: GPUs of each node that nobody holds, ``(nodes,)``.
        node_of: node of each worker, -1 for none, ``(workers,)``.
    """

    def __init__(self, problem: Placement) -> None:
        self.problem = problem
        self.room, self.crew = problem.room, problem.crew
        self.node_of: Ints = problem.crew.home.copy()
        self.free: Ints = free_gpus(self.node_of, self.room, self.crew)

    def workers(self, job: int) -> slice:
        """Return where the workers of ``job`` lie."""
        return slice(int(self.crew.job_first[job]), int(self.crew.job_first[job + 1]))

    def slots(self, job: int, model: int) -> Ints:
        """Return how many workers of ``job`` each open node of ``model`` has room for, ``(nodes,)``."""
        allowed = (self.room.open == 1) & (self.room.model == model)
        return np.where(allowed, self.free // self.crew.size[self.crew.job_first[job]], 0)

    def put(self, job: int, nodes: Ints) -> None:
        """Put ``job``, which holds nothing, on ``nodes``, ``(workers,)``; workers whose home is among them stay."""
        part = self.workers(job)
        wanted = sorted(nodes.tolist())
        away = []
        for worker in range(part.start, part.stop):
            home = int(self.crew.home[worker])
            if home in wanted:
                wanted.remove(home)
                self.node_of[worker] = home
            else:
                away.append(worker)
        self.node_of[away] = wanted
        np.subtract.at(self.free, self.node_of[part], self.crew.size[part])

    def lift(self, job: int) -> None:
        """Take all GPUs of ``job``, which holds some, from it."""
        part = self.workers(job)
        np.add.at(self.free, self.node_of[part], self.crew.size[part])
        self.node_of[part] = -1

    def cost(self) -> float:
        """Return the exact cost; infinite where a limit is not kept."""
        if not keeps_limits(self.node_of, self.room, self.crew):
            return np.inf
        return self.problem.cost(Placed(self.node_of))

    def placed(self) -> Placed:
        """Return the placement as a decision."""
        node_of = self.node_of.copy()
        node_of.flags.writeable = False
        return Placed(node_of)


Rule = Callable[[Books, int, Ints], Ints | None]
"""Given the books, a job that holds nothing and the workers of it that each node has room for: its nodes, or None."""


def waiting_only(problem: Placement, rule: Rule) -> Placed:
    """Return what ``rule`` makes of the waiting jobs, the dearest per GPU first; whoever runs stays."""
    books = Books(problem)
    place_waiting(books, rule)
    return books.placed()


def replanned(problem: Placement, rule: Rule) -> Placed:
    """Return what ``rule`` makes of all jobs that may move, under the migration budget, and of the waiting ones."""
    books = Books(problem)
    place_waiting(books, rule)
    crew = books.crew
    running = [job for job in range(crew.job_gang.size) if crew.home[crew.job_first[job]] >= 0]
    movable = [job for job in running if crew.movable[crew.job_first[job]]]
    for job in sorted(movable, key=lambda job: -_dear(books, job)):
        attempt(books, job, lambda books, job: _ruled(books, job, rule, int(crew.model[crew.job_first[job]])))
    place_waiting(books, rule)
    return books.placed()


def attempt(books: Books, job: int, choose: Callable[[Books, int], Ints | None]) -> bool:
    """Lift the running ``job``, put it where ``choose`` says, and take that back unless the exact cost falls."""
    part = books.workers(job)
    before, cost = books.node_of[part].copy(), books.cost()
    books.lift(job)
    nodes = choose(books, job)
    if nodes is not None:
        books.put(job, nodes)
        if books.cost() < cost - 1e-9:
            return True
        books.lift(job)
    books.node_of[part] = before
    np.subtract.at(books.free, before, books.crew.size[part])
    return False


def place_waiting(books: Books, rule: Rule) -> None:
    """Place the waiting jobs by ``rule``, the dearest per GPU first, as far as there is room."""
    crew, room = books.crew, books.room
    first = crew.job_first[:-1]
    gpus = np.bincount(crew.job, crew.size, minlength=first.size)
    waits = np.flatnonzero((books.node_of[first] < 0) & (crew.job_ready == 1) & (crew.movable[first] == 1))
    for job in waits[np.argsort(-crew.job_wait[waits] / gpus[waits], kind="stable")].tolist():
        own = int(crew.model[crew.job_first[job]])
        for model in (own,) if own != -1 else np.unique(room.model).tolist():
            nodes = _ruled(books, job, rule, model)
            if nodes is None:
                continue
            books.put(job, nodes)
            if keeps_limits(books.node_of, room, crew):
                break
            books.lift(job)


def _ruled(books: Books, job: int, rule: Rule, model: int) -> Ints | None:
    slots = books.slots(job, model)
    part = books.workers(job)
    return rule(books, job, slots) if int(slots.sum()) >= part.stop - part.start else None


def _dear(books: Books, job: int) -> float:
    """Return what the gang of ``job`` costs where it stands, per GPU."""
    crew, room = books.crew, books.room
    counters = np.zeros(room.domain_capacity.size, np.int64), np.zeros(room.racks, np.int64)
    gang = int(crew.job_gang[job])
    members = crew.gang_workers[crew.gang_first[gang] : crew.gang_first[gang + 1]]
    return float(gang_cost(gang, books.node_of, room, crew, *counters)) / float(crew.size[members].sum())


def summed(slots: Ints, place: Ints) -> npt.NDArray[np.int64]:
    """Return the slots of each place (rack or domain), ``(places,)``, from those of each node."""
    return np.bincount(place, slots, minlength=int(place.max()) + 1).astype(np.int64)
