"""What would DeepSeek's expert-parallel load balancer do, and how far does a swap search take it?

The algorithm of deepseek-ai/EPLB (2025), written anew from its description: pack expert groups to nodes, give each
further slot to the expert with the heaviest replica, then pack the replicas to GPUs, always the heaviest first into
the lightest pack that has room (LPT; Graham 1969, doi 10.1137/0117039). It sees the loads only: not the map in force,
not the links.
"""

import heapq
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Eplb:
    """The load balancer for a deployment of ``nodes`` nodes with ``ranks`` GPUs in all.

    Args:
        ranks: GPUs.
        slots: physical expert slots per layer over all GPUs.
        groups: expert groups that stay together on a node; 1 balances globally.
        nodes: nodes; where the groups do not divide evenly among them, it balances globally.

    Raises:
        ValueError: the slots do not divide among the ranks, or the ranks among the nodes.
    """

    ranks: int
    slots: int
    groups: int = 1
    nodes: int = 1

    def __post_init__(self) -> None:
        if self.slots % self.ranks or self.ranks % self.nodes:
            raise ValueError(f"expected ranks | slots and nodes | ranks, got {self.slots}, {self.ranks}, {self.nodes}")

    def __call__(self, loads: Floats) -> Integers:
        """Return the expert in each slot, ``(layers, slots)``, for ``loads`` of shape ``(layers, experts)``.

        Raises:
            ValueError: the experts do not divide among the groups, or there are more experts than slots.
        """
        experts = loads.shape[1]
        if experts % self.groups or experts > self.slots:
            raise ValueError(f"expected groups | experts <= {self.slots} slots, got {self.groups} and {experts}")
        by_group = self.groups % self.nodes == 0
        groups, nodes = (self.groups, self.nodes) if by_group else (1, 1)
        return np.array([self._layer(row, groups, nodes) for row in loads], dtype=np.int64)

    def _layer(self, load: Floats, groups: int, nodes: int) -> list[int]:
        members = np.arange(load.size).reshape(groups, -1)
        placement: list[int] = []
        for held in pack(load[members].sum(axis=1), nodes):
            local = members[held].ravel()
            copies = replicate(load[local], self.slots // nodes)
            share = load[local] / np.bincount(copies, minlength=local.size)
            for rank in pack(share[copies], self.ranks // nodes):
                placement += local[copies[rank]].tolist()
        return placement


def replicate(load: Floats, slots: int) -> Integers:
    """Return the expert of each of ``slots`` replicas, ``(slots,)``: each once, then the heaviest again."""
    heap = [(-weight, expert, 1) for expert, weight in enumerate(load.tolist())]
    heapq.heapify(heap)
    copies = list(range(load.size))
    for _ in range(slots - load.size):
        _, expert, count = heap[0]
        copies.append(expert)
        heapq.heapreplace(heap, (-load[expert] / (count + 1), expert, count + 1))
    return np.array(copies, dtype=np.int64)


def pack(weights: Floats, packs: int) -> Integers:
    """Return the items of each pack, ``(packs, items per pack)``: heaviest first into the lightest that has room."""
    room = weights.size // packs
    if room == 1:
        return np.arange(packs, dtype=np.int64).reshape(packs, 1)
    held: list[list[int]] = [[] for _ in range(packs)]
    heap = [(0.0, index) for index in range(packs)]
    for item in np.argsort(-weights, kind="stable").tolist():
        weight, index = heap[0]
        held[index].append(item)
        if len(held[index]) == room:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (weight + weights[item], index))
    return np.array(held, dtype=np.int64)


def contiguous(experts: int, slots: int, layers: int) -> Integers:
    """Return the map of a deployment that nobody balanced, ``(layers, slots)``: in order, then the first again."""
    return np.tile(np.arange(slots, dtype=np.int64) % experts, (layers, 1))


@numba.njit(cache=True)
def _swap(share: Floats, layer: Integers, ranks: int) -> None:
    """Swap slots of the fullest rank as long as the best swap with any other lowers the fuller of the two."""
    room = layer.size // ranks
    load = np.zeros(ranks)
    for slot in range(layer.size):
        load[slot // room] += share[layer[slot]]
    while True:
        full = int(np.argmax(load))
        best, mine, theirs = load[full] * (1.0 - 1e-12), -1, -1
        for slot in range(full * room, (full + 1) * room):
            for other in range(layer.size):
                rank = other // room
                change = share[layer[slot]] - share[layer[other]]
                fuller = max(load[full] - change, load[rank] + change)
                if rank != full and fuller < best:
                    best, mine, theirs = fuller, slot, other
        if mine < 0:
            return
        change = share[layer[mine]] - share[layer[theirs]]
        load[full] -= change
        load[theirs // room] += change
        layer[mine], layer[theirs] = layer[theirs], layer[mine]


def pair_swap(loads: Floats, placement: Integers, ranks: int) -> Integers:
    """Return ``placement`` after a pair-swap local search in each layer, ``(layers, slots)``."""
    improved = placement.astype(np.int64)
    for load, layer in zip(loads, improved, strict=True):
        _swap(load / np.maximum(np.bincount(layer, minlength=load.size), 1), layer, ranks)
    return improved
