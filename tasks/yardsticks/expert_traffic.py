"""Which experts should share an NVLink domain so that tokens stay in it? Three ways that others go.

- *alternating assignment*: given the domains of the neighbouring layers, a layer's best domains are a linear
  assignment (Crouse 2016, doi 10.1109/TAES.2016.140952); layers take turns until nothing improves, from many starts;
- *partition*: METIS cuts the graph of all experts (Karypis and Kumar 1998, doi 10.1137/S1064827595287997), which
  does not keep as many experts of each layer in each domain, so that a linear assignment has to repair it;
- *load and co-activation*, as TensorRT-LLM's example for wide expert parallelism trades them: heaviest replica
  first to the rank with the best mixture of little load and many tokens that come from its domain.

The first two give each expert one home and leave balance to chance; inside a domain, experts are packed by load.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from tasks.yardsticks.eplb import pack, replicate

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def crossing_share(tokens: Floats, placement: Integers, domain: Integers) -> float:
    """Return the share of tokens that leave their domain between two layers; 0 without tokens.

    An expert's tokens are spread evenly over its replicas, and stay where their next expert has a replica too.

    Args:
        tokens: from expert to expert of the next layer, ``(layers - 1, experts, experts)``.
        placement: expert in each slot, ``(layers, slots)``.
        domain: NVLink domain of each rank, numbered from 0, ``(ranks,)``.
    """
    there = np.zeros((len(placement), tokens.shape[1], int(domain.max()) + 1))
    of_slot = np.broadcast_to(np.repeat(domain, placement.shape[1] // domain.size), placement.shape)
    np.add.at(there, (np.arange(len(placement))[:, None], placement, of_slot), 1.0)
    share = there / np.maximum(there.sum(axis=2, keepdims=True), 1.0)
    stays = np.einsum("lef,led,lfd->", tokens, share[:-1], (there[1:] > 0.0).astype(np.float64), optimize=True)
    total = float(tokens.sum())
    return 1.0 - float(stays) / total if total > 0.0 else 0.0


def alternating(tokens: Floats, domains: int, rng: np.random.Generator, starts: int = 20) -> Integers:
    """Return the domain of each expert, ``(layers, experts)``, as many in each; the best of ``starts``.

    Args:
        tokens: from expert to expert of the next layer, ``(layers - 1, experts, experts)``.
        domains: number of domains, a divisor of the experts.
        rng: draws the starts.
        starts: random starts.

    Raises:
        ValueError: the experts do not divide among the domains.
    """
    room = _room(tokens, domains)
    layers, experts = len(tokens) + 1, tokens.shape[1]
    best, most = np.zeros((layers, experts), np.int64), -1.0
    for _ in range(starts):
        home = np.array([rng.permutation(np.arange(experts) // room) for _ in range(layers)])
        home, stays = _settled(tokens, home, domains)
        if stays > most:
            best, most = home, stays
    return best


def partitioned(tokens: Floats, domains: int, seed: int) -> Integers:
    """Return the domain of each expert, ``(layers, experts)``, from METIS, repaired to as many in each.

    Args:
        tokens: from expert to expert of the next layer, ``(layers - 1, experts, experts)``.
        domains: number of domains, a divisor of the experts.
        seed: METIS's.

    Raises:
        ValueError: the experts do not divide among the domains.
    """
    import pymetis

    room = _room(tokens, domains)
    layers, experts = len(tokens) + 1, tokens.shape[1]
    weight = np.zeros((layers * experts, layers * experts))
    for layer, flow in enumerate(tokens):
        here, there = slice(layer * experts, (layer + 1) * experts), slice((layer + 1) * experts, (layer + 2) * experts)
        weight[here, there], weight[there, here] = flow, flow.T
    weight = np.rint(weight * (1e6 / max(1.0, float(weight.max())))).astype(np.int64)  # METIS takes whole weights
    edges = [np.flatnonzero(row) for row in weight]
    starts = np.concatenate([[0], np.cumsum([len(each) for each in edges])])
    _, parts = pymetis.part_graph(
        domains,
        adjacency=pymetis.CSRAdjacency(starts.tolist(), np.concatenate(edges).tolist()),
        eweights=np.concatenate([weight[row, each] for row, each in enumerate(edges)]).tolist(),
        options=pymetis.Options(seed=seed),
    )
    home = np.array(parts, dtype=np.int64).reshape(layers, experts)
    for layer in range(layers):  # each expert stays where METIS put it if it can, else where most tokens come from
        gain = _gain(tokens, home, layer, domains)
        gain[np.arange(experts), home[layer]] += 1.0 + gain.sum()
        home[layer] = linear_sum_assignment(np.repeat(gain, room, axis=1), maximize=True)[1] // room
    return home


def co_activated(loads: Floats, tokens: Floats, domain: Integers, slots: int, alpha: float = 0.8) -> Integers:
    """Return the expert in each slot, ``(layers, slots)``, layer after layer.

    Args:
        loads: tokens per expert, ``(layers, experts)``.
        tokens: from expert to expert of the next layer, ``(layers - 1, experts, experts)``.
        domain: NVLink domain of each rank, numbered from 0, ``(ranks,)``.
        slots: slots of all ranks; replicas go to the experts with the heaviest replica.
        alpha: what load weighs; the rest is what tokens from the same domain weigh.
    """
    layers, experts = loads.shape
    ranks, domains = domain.size, int(domain.max()) + 1
    result = np.zeros((layers, slots), dtype=np.int64)
    spread = np.full((experts, domains), 1.0 / domains)
    for layer in range(layers):
        copies = replicate(loads[layer], slots)
        count = np.bincount(copies, minlength=experts)
        share = loads[layer] / count
        mean = max(float(loads[layer].sum()) / ranks, 1e-12)
        comes = tokens[layer - 1].T @ spread if layer else np.zeros((experts, domains))
        comes /= np.maximum(comes.sum(axis=1, keepdims=True), 1e-12)
        held: list[list[int]] = [[] for _ in range(ranks)]
        load = np.zeros(ranks)
        for expert in copies[np.argsort(-share[copies], kind="stable")].tolist():
            full = np.array([len(each) * ranks >= slots for each in held])
            twice = np.array([expert in each for each in held])
            score = alpha * load / mean - (1.0 - alpha) * comes[expert, domain] + 1e3 * twice
            rank = int(np.argmin(np.where(full, np.inf, score)))
            held[rank].append(expert)
            load[rank] += share[expert]
        result[layer] = np.concatenate(held)
        spread = np.zeros((experts, domains))
        np.add.at(spread, (result[layer], np.repeat(domain, slots // ranks)), 1.0)
        spread /= count[:, None]
    return result


def at_home(loads: Floats, home: Integers, domain: Integers) -> Integers:
    """Return the expert in each slot, ``(layers, experts)``, where experts live in the domain ``home``.

    Args:
        loads: tokens per expert, ``(layers, experts)``, by which a domain's experts are packed to its ranks.
        home: domain of each expert, ``(layers, experts)``, as many in each.
        domain: NVLink domain of each rank, as many ranks in each, ``(ranks,)``.
    """
    result = np.zeros(home.shape, dtype=np.int64)
    for layer, where in enumerate(home):
        by_rank = result[layer].reshape(domain.size, -1)
        for each in range(int(domain.max()) + 1):
            members, ranks = np.flatnonzero(where == each), np.flatnonzero(domain == each)
            by_rank[ranks] = members[pack(loads[layer, members], ranks.size)]
    return result


def _room(tokens: Floats, domains: int) -> int:
    experts = int(tokens.shape[1])
    if experts % domains:
        raise ValueError(f"domains: expected a divisor of {experts} experts, got {domains}")
    return experts // domains


def _gain(tokens: Floats, home: Integers, layer: int, domains: int) -> Floats:
    """Return the tokens that stay if an expert of ``layer`` is in a domain, ``(experts, domains)``."""
    where = np.eye(domains)[home]
    gain = np.zeros((home.shape[1], domains))
    if layer:
        gain += tokens[layer - 1].T @ where[layer - 1]
    if layer < len(tokens):
        gain += tokens[layer] @ where[layer + 1]
    return gain


def _settled(tokens: Floats, home: Integers, domains: int) -> tuple[Integers, float]:
    """Return the homes once no layer's assignment improves, and the tokens that stay."""
    room, stays, last = home.shape[1] // domains, 0.0, -1.0
    while stays > last * (1.0 + 1e-12):
        last = stays
        for layer in range(len(home)):
            gain = _gain(tokens, home, layer, domains)
            home[layer] = linear_sum_assignment(np.repeat(gain, room, axis=1), maximize=True)[1] // room
        stays = float(sum((flow * (home[at][:, None] == home[at + 1])).sum() for at, flow in enumerate(tokens)))
    return home, stays
