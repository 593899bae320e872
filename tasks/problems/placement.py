"""Which GPUs shall each gang hold?

The decision is the node of each worker. The cost is counted in GPUs' worth of capacity lost:

- *traffic*: a gang whose GPU pairs stand in different NVLink domains loses the share of its time that the
  slower network costs it: ``GPUs * share of pairs apart * traffic / scale-out bandwidth``;
- *slices*: what a gang holds in one domain is a slice. Each domain beyond the fewest that could hold the gang
  counts, and so does each GPU by which its largest slice exceeds its smallest (16 + 16 + 16, not 18 + 18 + 12);
- *racks*: each rack that a gang uses beyond the fewest that could hold it;
- *stranded*: ``free * (1 - free / capacity)`` of each domain, the free GPUs that a next gang of random
  size up to the domain's finds too few (zero for a domain that is full or wholly free);
- *next gangs*: GPUs held in the ``Limits.next_gangs`` domains of full size that hold the fewest: they stand in the
  way of the whole-domain gangs that are expected next. A domain is of full size if its open nodes have
  more than half of the GPUs of those of the largest domain;
- *waiting*: GPUs of ready pending jobs that get none, by priority;
- *drain*: GPUs held on nodes that are being drained;
- *migration*: GPUs of each job that is moved, for the share of the amortisation time that writing and
  reading its checkpoint and starting again takes, and that its work since the last checkpoint took.

Each term is linear in counts of GPUs, or the square of one, so an integer programme can hold it; the next gangs'
is a sum of the smallest. A migration budget bounds the GPUs of running jobs that stand elsewhere afterwards.
``Limits.spare_nodes_per_domain`` wholly free nodes stay in each domain that has more open nodes than that; where
fewer are free now, none of those is taken, and nobody is moved to get more.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from data.schemas.cluster import Snapshot
from data.schemas.job import Job, Worker
from data.schemas.plan import Action, Migrate, Place
from tasks.problems.migration import SpareRoom, ordered_batches
from tasks.problems.moves import fusion_window
from tasks.problems.placement_carried import carried_nodes, drawn_near
from tasks.problems.placement_figures import placement_figures
from tasks.problems.placement_kernel import Crew, Floats, Ints, Room, gang_cost, keeps_limits, total_cost
from tasks.problems.placement_neighbourhood import better, shared
from tasks.problems.placement_search import anneal, prune, sample_moves
from tasks.problems.placement_tables import PlacementWeights, crew_of, nodes_of, room_of, stopped_s
from tasks.problems.protocol import Figure, Found, Window

NO_TROUBLE: Mapping[str, float] = MappingProxyType({})
HOTTEST = np.array([0.05, 0.5, 0.1, 2.0, 0.05])
"""Where each cooling starts, in GPUs' worth of capacity."""

COLD = 0.01
"""Where each ends: moving the smallest job costs about as much."""


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """The node of each worker, ``(workers,)``, -1 for none; the array is read-only."""

    node_of: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """Workers that change their node together, each array ``(workers moved,)``."""

    workers: Ints
    before: Ints
    after: Ints


@dataclass(frozen=True, slots=True)
class Spread:
    """How far a gang is spread: NVLink domains, racks, and the share of its GPU pairs in different domains."""

    domains: int
    racks: int
    apart: float


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """The placement noun; see the module for what it costs."""

    jobs: tuple[Job, ...]
    node_ids: tuple[str, ...]
    usable: tuple[frozenset[int], ...]
    favoured: Floats  # (nodes,) how likely trouble is there, 0 to 1
    room: Room
    crew: Crew
    gpu_traffic: Floats  # (jobs,) GB/s of each GPU
    stopped_s: Floats  # (jobs,) what each GPU of a job loses when it moves
    name: str = "placement"
    notes: tuple[str, ...] = ()

    @classmethod
    def from_snapshot(
        cls,
        snapshot: Snapshot,
        weights: PlacementWeights | None = None,
        trouble: Mapping[str, float] = NO_TROUBLE,
    ) -> "Placement":
        """Return the problem that ``snapshot`` poses.

        Args:
            snapshot: the cluster's state.
            weights: of the losses.
            trouble: how likely congestion is at an NVLink domain, 0 to 1, by its name; windows go to the likeliest
                first, and 0 stands for a domain that is not named.
        """
        weights = weights or PlacementWeights()
        room = room_of(snapshot)
        jobs = tuple(sorted(snapshot.jobs, key=lambda job: job.id))
        crew = crew_of(snapshot, jobs, room, weights)
        nodes = nodes_of(snapshot)
        favoured = np.array([trouble.get(node.nvlink_domain, 0.0) for node in nodes], dtype=np.float64)
        traffic = np.array([job.traffic_gb_per_s for job in jobs], dtype=np.float64)
        lost_s = np.array([stopped_s(job, weights) for job in jobs], dtype=np.float64)
        usable = tuple(frozenset(range(node.gpus)) - set(node.unavailable_gpus) for node in nodes)
        names = tuple(node.id for node in nodes)
        return cls(jobs, names, usable, favoured, room, crew, traffic, lost_s)

    def incumbent(self) -> Placed:
        """Return where everything stands now."""
        return _frozen(self.crew.home.copy())

    def cost(self, decision: Placed) -> float:
        """Return the GPUs' worth of capacity that ``decision`` loses."""
        return float(total_cost(decision.node_of, self.room, self.crew))

    def bound(self) -> float:
        """Return what no placement can avoid.

        Each gang filled into the largest domains first has the fewest pairs apart (the sum of squares
        is Schur-convex); waiting jobs that exceed the free GPUs, the least dear first and in parts.
        """
        crew, room = self.crew, self.room
        gpus = np.zeros(len(self.jobs), np.int64)
        np.add.at(gpus, crew.job, crew.size)
        whole = np.zeros(room.domain_capacity.size, np.int64)
        np.add.at(whole, room.domain, room.capacity)
        largest = np.sort(whole)[::-1]
        traffic = 0.0
        for gang in range(crew.gang_traffic.size):
            members = crew.gang_workers[crew.gang_first[gang] : crew.gang_first[gang + 1]]
            placed = members[crew.home[members] >= 0]
            # pending members may stay away, which can only be counted as zero
            if placed.size == members.size and placed.size:
                total = int(crew.size[members].sum())
                filled = np.minimum(largest, np.maximum(0, total - np.cumsum(largest) + largest))
                apart = 1.0 - float(np.square(filled / total).sum())
                traffic += float(crew.gang_traffic[gang]) * max(0.0, apart)
        waits = crew.home[crew.job_first[:-1]] < 0
        served = np.flatnonzero(waits & (crew.job_ready == 1))
        dear = served[np.argsort(-crew.job_wait[served] / gpus[served], kind="stable")]
        free = int(room.capacity.sum()) - int(crew.size[crew.home >= 0].sum())
        share = np.clip(free - np.cumsum(gpus[dear]) + gpus[dear], 0, gpus[dear]) / gpus[dear]
        return traffic + float(crew.job_wait[waits].sum() - (crew.job_wait[dear] * share).sum())

    def search(self, decision: Placed, evaluations: int, rng: np.random.Generator) -> Found[Placed]:
        """Anneal from ``decision`` in several coolings, cold and hot by turns; drop migrations that do not pay.

        Where there are enough evaluations, exact steps get a share of them instead: they begin where annealing ended
        and take about as long (:mod:`tasks.problems.placement_neighbourhood`).
        """
        if not self.crew.home.size:
            return Found(decision, 0, 0)
        annealed, work = shared(self.room, self.crew, evaluations)
        best, accepted = anneal(decision.node_of, self.room, self.crew, annealed, HOTTEST, COLD, rng)
        found = self._canonical(prune(best, self.room, self.crew, rng))
        bound, proof = -math.inf, ""
        if work > 0.0:
            exact = better(self.room, self.crew, found.node_of, work, rng)
            found, accepted = self._canonical(exact.node_of), accepted + exact.gains
            bound, proof = exact.bound, "CP-SAT on the whole problem"
        found = found if self.cost(found) < self.cost(decision) else decision
        return Found(found, annealed, int(accepted), bound, proof)

    def carried(self, actions: tuple[Action, ...]) -> Placed:
        """Return where an earlier plan would have everything stand, as far as that still fits."""
        return self._canonical(carried_nodes(actions, self.jobs, self.node_ids, self.room, self.crew))

    def nearer(self, decision: Placed, last: Placed, allowance: float) -> Placed:
        """Return ``decision`` with jobs where ``last`` has them, as far as that costs no more than ``allowance``."""
        new, earlier = (self._canonical(each.node_of).node_of for each in (decision, last))
        return self._canonical(drawn_near(new, earlier, allowance, self.room, self.crew))

    def window(self, decision: Placed, size: int, rng: np.random.Generator) -> Window[Placed]:
        """Return the window of the ``size`` best of many drawn moves, with some chance for the others."""
        return fusion_window(decision, self._promising(decision, size, rng), self._apply, self.cost)

    def actions(self, decision: Placed) -> tuple[Action, ...]:
        """Return migrations in batches that free what the next ones take, then placements of waiting jobs."""
        decision = self._canonical(decision.node_of)  # windows may exchange equal workers of a job for nothing
        after = self._workers(decision)
        migrations: list[Migrate] = []
        places: list[Place] = []
        for number, job in enumerate(self.jobs):
            if after[number] == job.placement:
                continue
            gain = self._gain(number, decision)
            if job.placement:
                lost_h = job.gpus * self.stopped_s[number] / 3600.0
                reason = f"{self._reason(number, decision)}; stopping it once costs {lost_h:.2g} GPU-h"
                migrations.append(Migrate(job.id, job.placement, after[number], 0, reason, gain))
            else:
                places.append(Place(job.id, job.placement, after[number], self._reason(number, decision), gain))
        return (*ordered_batches(migrations, self._spare_room(decision)), *places)

    def figures(self, decision: Placed) -> tuple[Figure, ...]:
        """Return what an operator reads; the definitions stand in :mod:`tasks.problems.placement_figures`."""
        node_of = self._canonical(decision.node_of).node_of
        return placement_figures(node_of, self.room, self.crew, self.gpu_traffic, self.stopped_s)

    def _promising(self, decision: Placed, size: int, rng: np.random.Generator) -> list[Move]:
        if not self.crew.home.size:
            return []
        offsets, workers, nodes, deltas = sample_moves(decision.node_of, self.room, self.crew, 64 * size, rng)
        if not deltas.size:
            return []
        moves = [
            Move(workers[low:high], decision.node_of[workers[low:high]], nodes[low:high])
            for low, high in pairwise(offsets)
        ]
        flagged = np.array([self.favoured[_places(move)].max(initial=0.0) for move in moves])
        # Gumbel noise: a move is drawn in proportion to exp(-delta); sure trouble counts for one GPU more
        rank = np.argsort(deltas - flagged - rng.gumbel(0.0, 1.0, deltas.size), kind="stable")
        chosen: dict[tuple[tuple[int, int], ...], Move] = {}
        for index in rank:
            move = moves[index]
            pairs = zip(move.workers.tolist(), move.after.tolist(), strict=True)
            chosen.setdefault(tuple(sorted(pairs)), move)
            if len(chosen) == size:
                break
        return list(chosen.values())

    def _apply(self, decision: Placed, move: Move) -> Placed | None:
        if not np.array_equal(decision.node_of[move.workers], move.before):
            return None
        node_of = decision.node_of.copy()
        node_of[move.workers] = move.after
        return _frozen(node_of) if keeps_limits(node_of, self.room, self.crew) else None

    def _canonical(self, node_of: Ints) -> Placed:
        """Exchange equal workers of a job so that as many as possible stay at home."""
        crew = self.crew
        result = node_of.copy()
        for job in np.unique(crew.job[node_of != crew.home]):
            low, high = crew.job_first[job], crew.job_first[job + 1]
            wanted = list(node_of[low:high])
            away = []
            for worker in range(low, high):
                if crew.home[worker] in wanted:
                    wanted.remove(crew.home[worker])
                    result[worker] = crew.home[worker]
                else:
                    away.append(worker)
            result[away] = sorted(wanted)
        return _frozen(result)

    def _workers(self, decision: Placed) -> list[tuple[Worker, ...]]:
        """Return the GPUs of each job: workers that stay keep theirs, the others take the lowest free ones."""
        node_of = decision.node_of
        free = [set(usable) for usable in self.usable]
        crew = self.crew
        for number, job in enumerate(self.jobs):
            for position, worker in enumerate(job.placement):
                index = crew.job_first[number] + position
                if node_of[index] == crew.home[index]:
                    free[node_of[index]] -= set(worker.gpus)
        result: list[tuple[Worker, ...]] = []
        for number, job in enumerate(self.jobs):
            workers = []
            for index in range(crew.job_first[number], crew.job_first[number + 1]):
                node = int(node_of[index])
                if node < 0:
                    continue
                if node == crew.home[index]:
                    workers.append(job.placement[index - crew.job_first[number]])
                else:
                    gpus = sorted(free[node])[: job.gpus_per_worker]
                    free[node] -= set(gpus)
                    workers.append(Worker(self.node_ids[node], tuple(gpus)))
            result.append(tuple(workers))
        return result

    def _spare_room(self, decision: Placed) -> SpareRoom:
        """Return where jobs may step aside: onto what is free now, if the plan still gains after paying for it."""
        held = {(worker.node, gpu) for job in self.jobs for worker in job.placement for gpu in worker.gpus}
        model = {self.node_ids[node]: int(self.room.model[node]) for node in np.flatnonzero(self.room.open)}
        free = {(name, gpu) for name, gpus in zip(self.node_ids, self.usable, strict=True) for gpu in gpus} - held
        wanted = self.crew.model[self.crew.job_first[:-1]]
        now = {job.id: int(kind) for job, kind in zip(self.jobs, wanted, strict=True)}
        price = {job.id: float(price) for job, price in zip(self.jobs, self.crew.job_restart, strict=True)}
        gain = self.cost(self.incumbent()) - self.cost(decision)
        return SpareRoom(free, lambda job, node: model.get(node) == now[job], price, gain)

    def _gain(self, number: int, decision: Placed) -> float:
        """Return the job's own share: its gang's traffic and racks, its waiting, less its migration."""
        crew = self.crew
        before, after = crew.home, decision.node_of
        counters = np.zeros(self.room.domain_capacity.size, np.int64), np.zeros(self.room.racks, np.int64)
        gang = int(crew.job_gang[number])
        gain = float(
            gang_cost(gang, before, self.room, crew, *counters) - gang_cost(gang, after, self.room, crew, *counters)
        )
        running = crew.home[crew.job_first[number]] >= 0
        own = -crew.job_restart[number] if running else crew.job_wait[number]
        return round(gain + float(own), 9)

    def _reason(self, number: int, decision: Placed) -> str:
        crew = self.crew
        gang = crew.job_gang[number]
        members = crew.gang_workers[crew.gang_first[gang] : crew.gang_first[gang + 1]]
        before, after = (self._spread(members, node_of) for node_of in (crew.home, decision.node_of))
        if crew.home[crew.job_first[number]] < 0:
            return f"room for a waiting job: {after.domains} NVLink domain(s), {after.racks} rack(s)"
        if (before.domains, before.racks) != (after.domains, after.racks):
            return (
                f"gang on {after.domains} NVLink domain(s) instead of {before.domains}, "
                f"{after.racks} rack(s) instead of {before.racks}"
            )
        if after.apart < before.apart - 1e-9:
            return (
                f"{after.apart:.0%} of the gang's GPU pairs in different NVLink domains instead of {before.apart:.0%}"
            )
        if self.room.open[crew.home[members]].min() == 0:
            return "leaves a node that is being drained"
        return "makes room for another gang or for the next whole-domain gang"

    def _spread(self, members: Ints, node_of: Ints) -> Spread:
        placed = members[node_of[members] >= 0]
        nodes, gpus = node_of[placed], self.crew.size[placed]
        in_domain = np.bincount(self.room.domain[nodes], gpus) if placed.size else np.zeros(1)
        apart = 1.0 - float(np.square(in_domain / max(1, gpus.sum())).sum()) if placed.size else 0.0
        return Spread(np.unique(self.room.domain[nodes]).size, np.unique(self.room.rack[nodes]).size, apart)


def _places(move: Move) -> Ints:
    nodes = np.concatenate([move.before, move.after])
    return nodes[nodes >= 0]


def _frozen(node_of: Ints) -> Placed:
    node_of.flags.writeable = False
    return Placed(node_of)
