"""How does a placement read in the columns of its integer programme, and back?"""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from tasks.problems.placement_kernel import Crew, Floats, Ints, Room, domain_free, free_gpus
from tasks.problems.placement_programme import Name, Programme


def placement_of(programme: Programme, crew: Crew, values: Floats) -> Ints:
    """Return the node of each worker that ``values``, ``(columns,)``, describe; who stays is of those at home there."""
    part = programme.part
    node_of = np.where(part.free[crew.job], -1, part.node_of)
    come: dict[int, list[int]] = defaultdict(list)  # classes, by job
    fill: dict[tuple[int, int], list[int]] = defaultdict(list)  # nodes, by size and class
    stay: Counter[tuple[int, int]] = Counter()
    for index in np.flatnonzero(np.round(values) > 0):
        word, job, *rest = programme.names[index]
        count = round(float(values[index]))
        if word == "come":
            come[int(job)] += [int(rest[0])] * count
        elif word == "fill":
            node = int(rest[0])
            fill[int(job), int(programme.node_class[node])] += [node] * count
        elif word == "stay":
            stay[int(job), int(rest[0])] = count
    for job in np.flatnonzero(part.free).tolist():
        for worker in range(crew.job_first[job], crew.job_first[job + 1]):
            home = int(crew.home[worker])
            if stay[job, home] > 0:
                stay[job, home] -= 1
                node_of[worker] = home
        missing = [k for k in range(crew.job_first[job], crew.job_first[job + 1]) if node_of[k] < 0]
        for worker, number in zip(missing, come[job], strict=False):
            node_of[worker] = fill[int(crew.size[worker]), number].pop()
    node_of.flags.writeable = False
    return node_of


def values_of(programme: Programme, room: Room, crew: Crew, node_of: Ints) -> Floats:
    """Return the columns of a placement, ``(columns,)``; they are feasible, and their objective is its cost."""
    return columns_of(programme.names, programme.node_class, room, crew, node_of)


def columns_of(names: Sequence[Name], node_class: Ints, room: Room, crew: Crew, node_of: Ints) -> Floats:
    """Return what a placement says about columns of these ``names``, ``(columns,)``."""
    known = _Known(room, crew, node_of, node_class)
    return np.array([known(*name) for name in names], np.float64)


class _Known:
    """What a placement says about each column."""

    def __init__(self, room: Room, crew: Crew, node_of: Ints, node_class: Ints) -> None:
        self.crew, self.room = crew, room
        self.on: Counter[tuple[int, int]] = Counter()
        self.home: Counter[tuple[int, int]] = Counter()
        self.inside: dict[int, Counter[int]] = defaultdict(Counter)
        self.racks: dict[int, set[int]] = defaultdict(set)
        self.moved: set[int] = set()
        for worker, node in enumerate(node_of.tolist()):
            job = int(crew.job[worker])
            gang = int(crew.job_gang[job])
            if crew.home[worker] >= 0:
                self.home[job, int(crew.home[worker])] += 1
            if node >= 0:
                self.on[job, node] += 1
                self.inside[gang][int(room.domain[node])] += int(crew.size[worker])
                self.racks[gang].add(int(room.rack[node]))
        self.come: Counter[tuple[int, int]] = Counter()
        self.fill: Counter[tuple[int, int]] = Counter()
        for (job, node), count in self.on.items():
            away = max(0, count - self.home[job, node])
            self.come[job, int(node_class[node])] += away
            self.fill[int(crew.size[crew.job_first[job]]), node] += away
        self.moved = {job for (job, node), count in self.home.items() if self.on[job, node] < count}
        self.model = {int(crew.job[k]): int(room.model[node]) for k, node in enumerate(node_of.tolist()) if node >= 0}
        self.free = domain_free(free_gpus(node_of, room, crew), room)
        held = (room.domain_capacity - self.free)[full := np.flatnonzero(room.domain_full_size)]
        self.near = set(full[np.argsort(held, kind="stable")[: crew.next_gangs]].tolist())
        self.idle = self._kept(set(node_of.tolist()))

    def __call__(self, word: str | int, *about: int | str) -> float:
        one, *rest = (int(number) for number in about)
        slices = self.inside[one] if word in ("slice", "total", "largest", "smallest", "uneven", "domains") else {}
        sizes = [gpus for gpus in slices.values() if gpus] or [0]
        match word:
            case "stay":
                return min(self.on[one, rest[0]], self.home[one, rest[0]])
            case "come":
                return self.come[one, rest[0]]
            case "fill":
                return self.fill[one, rest[0]]
            case "moved":
                return one in self.moved
            case "placed":
                return one in self.model
            case "model":
                return self.model.get(one) == rest[0]
            case "slice":
                return sum(sizes) == rest[2] and self.inside[one][rest[0]] == rest[1]
            case "total":
                return sum(sizes) == rest[0]
            case "largest":
                return max(sizes)
            case "smallest":
                return min(sizes)
            case "uneven":
                return max(sizes) - min(sizes)
            case "domains":
                return max(0, sum(gpus > 0 for gpus in slices.values()) - int(self.crew.gang_domains[one]))
            case "rack":
                return rest[0] in self.racks[one]
            case "racks":
                return max(0, len(self.racks[one]) - int(self.crew.gang_racks[one]))
            case "free":
                return int(self.free[one]) == rest[0]
            case "next":
                return one in self.near
            case "way":
                return one in self.near and int(self.free[one]) == rest[0]
            case "idle":
                return one in self.idle
        raise ValueError(f"columns: expected a word that the programme knows, found {word}")

    def _kept(self, held: set[int]) -> set[int]:
        room = self.room
        return {
            node
            for node in range(room.capacity.size)
            if room.open[node] and room.capacity[node] > 0 and node not in held
        }
