"""Where does a token go, without looking at all the others? By hash, or by consistent hashing with bounded loads."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import pandas as pd
from numba import njit
from numpy.typing import NDArray

from data.schemas.tokens import NOWHERE, ExpertGraph, Floats, Integers, Tokens

Keys = NDArray[np.uint64]
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class Router(Protocol):
    """Sends each token of a stream to an expert, the same one each time."""

    @property
    def kind(self) -> str:
        """Name of the method, as it stands in reports."""
        ...

    def __call__(self, tokens: Tokens, graph: ExpertGraph) -> Integers:
        """Return the expert of each token, ``(tokens,)``."""
        ...


def keys_of(names: NDArray[np.object_], salt: int = 0) -> Keys:
    """Return a 64-bit hash of each name, the same on every machine and in every run, ``(names,)``.

    SipHash of the text, as pandas computes it, mixed with ``salt`` by the finaliser of SplitMix64 (Steele, Lea and
    Flood 2014, doi 10.1145/2660193.2660195).
    """
    hashed = pd.util.hash_array(names.astype(object), categorize=True).astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed = hashed + np.uint64(salt + 1) * _MIX[0]
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX[1]
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX[2]
        return np.asarray(mixed ^ (mixed >> np.uint64(31)))


@dataclass(frozen=True, slots=True)
class HashRouter:
    """Each id to the expert of its hash, in proportion to the experts' capacities; needs no state at all."""

    kind: Literal["hash"] = "hash"

    def __call__(self, tokens: Tokens, graph: ExpertGraph) -> Integers:
        """Return the expert of each token, ``(tokens,)``."""
        upto = np.cumsum(graph.share)
        unit = (keys_of(tokens.ids) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        chosen = np.searchsorted(upto, unit, side="right")
        return np.minimum(chosen, len(graph.experts) - 1).astype(np.int64)


@dataclass(frozen=True, slots=True)
class BoundedHash:
    """Consistent hashing with bounded loads, near experts first (Mirrokni et al. 2018, arXiv 1608.01350).

    Experts stand on a ring at many points each, by capacity. A token goes to the first expert at or after its own
    point that has room: no expert takes more than ``slack`` times its share of the work, beyond the one token that
    fills it. A token first walks the ring of its own domain, then the ring of all. Tokens are taken in the order of
    their hashes, so the order in which different ids came changes nothing.

    Args:
        slack: most that an expert takes, over its fair share; above 1.
        points: on the ring for each expert of mean capacity.
        local: whether the own domain goes first.
    """

    slack: float = 1.1
    points: int = 64
    local: bool = True
    kind: Literal["bounded-hash"] = "bounded-hash"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slack) and self.slack > 1.0) or self.points < 1:
            raise ValueError(f"slack, points: expected above 1 and at least 1, got {self.slack} and {self.points}")

    def limits(self, tokens: Tokens, graph: ExpertGraph) -> Floats:
        """Return the work up to which each expert takes another token, ``(experts,)``."""
        return np.asarray(self.slack * float(tokens.complexity.sum()) * graph.share)

    def __call__(self, tokens: Tokens, graph: ExpertGraph) -> Integers:
        """Return the expert of each token, ``(tokens,)``."""
        keys = keys_of(tokens.ids)
        order = np.argsort(keys, kind="stable")
        domain = np.where(tokens.origin == NOWHERE, NOWHERE, graph.place_domain[tokens.origin])
        domains = 1 + int(max(graph.domain.max(), graph.place_domain.max(initial=0)))
        ring_keys, ring_experts, first = self._rings(graph, domains)
        return np.asarray(
            _walk(
                keys,
                order,
                tokens.complexity,
                domain.astype(np.int64) if self.local else np.full(len(tokens), NOWHERE, np.int64),
                graph.domain,
                ring_keys,
                ring_experts,
                first,
                self.limits(tokens, graph),
            )
        )

    def _rings(self, graph: ExpertGraph, domains: int) -> tuple[Keys, Integers, Integers]:
        """Return the rings of all domains and, last, that of all experts: keys, experts, offsets ``(domains + 2,)``."""
        count = np.maximum(1, np.round(self.points * graph.share * len(graph.experts))).astype(np.int64)
        owner = np.repeat(np.arange(len(graph.experts)), count)
        copy = np.concatenate([np.arange(each) for each in count.tolist()])
        names = np.array(
            [f"{graph.experts[e]}#{c}" for e, c in zip(owner.tolist(), copy.tolist(), strict=True)], object
        )
        keys = keys_of(names, salt=1)
        parts = [np.flatnonzero(graph.domain[owner] == domain) for domain in range(domains)]
        parts.append(np.arange(owner.size))
        sorted_parts = [part[np.argsort(keys[part], kind="stable")] for part in parts]
        whole = np.concatenate(sorted_parts)
        first = np.concatenate([[0], np.cumsum([part.size for part in sorted_parts])]).astype(np.int64)
        return keys[whole], owner[whole].astype(np.int64), first


@njit(cache=True)
def _walk(
    keys: Keys,
    order: Integers,
    work: Floats,
    domain: Integers,
    expert_domain: Integers,
    ring_keys: Keys,
    ring_experts: Integers,
    first: Integers,
    limit: Floats,
) -> Integers:
    """Send each token, in ``order``, round its domain's ring, then round the ring of all, to the first with room."""
    load = np.zeros(limit.size)
    chosen = np.empty(keys.size, np.int64)
    everywhere = first.size - 2
    room = np.zeros(first.size - 1, np.int64)  # experts of each ring that take another token
    for expert in range(limit.size):
        room[expert_domain[expert]] += 1
        room[everywhere] += 1
    # the next point that may have room; rings fill up, and walks would grow long without (path halving, Tarjan and
    # van Leeuwen 1984, doi 10.1145/62.2160)
    onward = np.arange(ring_keys.size)
    for token in order:
        ring = domain[token]
        if ring < 0 or room[ring] == 0:
            ring = everywhere
        low, high = first[ring], first[ring + 1]
        place = low + np.searchsorted(ring_keys[low:high], keys[token])
        if place == high:
            place = low
        while True:
            if onward[place] != place:
                onward[place] = onward[onward[place]]
                place = onward[place]
            elif load[ring_experts[place]] >= limit[ring_experts[place]]:
                onward[place] = place + 1 if place + 1 < high else low
            else:
                break
        expert = ring_experts[place]
        load[expert] += work[token]
        if load[expert] >= limit[expert]:
            room[expert_domain[expert]] -= 1
            room[everywhere] -= 1
        chosen[token] = expert
    return chosen
