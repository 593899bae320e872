"""What might a stream of tokens look like? Ids with Zipf's popularity, lognormal work, origins all over the cluster."""

import numpy as np

from data.expert_distance import connected
from data.schemas.tokens import ExpertGraph, Tokens


def domains_of_experts(domains: int, gpus_per_domain: int, experts_per_gpu: int) -> ExpertGraph:
    """Return experts on the GPUs of NVLink domains that a leaf switch joins, at 900 and 50 GB/s."""
    places, joined = ["leaf"], ["leaf"]
    experts: list[int] = []
    ways: list[tuple[int, int, float]] = []

    def place(name: str, domain: str, towards: int, gb_per_s: float) -> int:
        ways.append((len(places), towards, 1.0 / gb_per_s))
        places.append(name)
        joined.append(domain)
        return len(places) - 1

    for domain in (f"d{number}" for number in range(domains)):
        switch = place(f"{domain}/switch", domain, 0, 50.0 * gpus_per_domain)
        for gpu in (f"{domain}/gpu{number}" for number in range(gpus_per_domain)):
            host = place(gpu, domain, switch, 900.0)
            experts += [place(f"{gpu}/e{number}", domain, host, 8_000.0) for number in range(experts_per_gpu)]
    return connected(tuple(places), joined, np.array(experts, dtype=np.int64), np.ones(len(experts)), ways)


def token_stream(count: int, graph: ExpertGraph, rng: np.random.Generator, *, skew: float = 1.1) -> Tokens:
    """Return ``count`` tokens from a vocabulary in which popularity falls as a power of the rank (Zipf 1949).

    Args:
        count: tokens.
        graph: its places that are neither experts nor switches are the origins, all places where there are none.
        rng: source of chance.
        skew: exponent of the popularity.
    """
    vocabulary = 50_000
    weight = np.arange(1, vocabulary + 1, dtype=np.float64) ** -skew
    rank = np.searchsorted(np.cumsum(weight / weight.sum()), rng.random(count))
    names = np.array([f"t{number}" for number in range(vocabulary + 1)], dtype=object)
    experts = set(graph.experts)
    hosts = [
        index
        for index, name in enumerate(graph.places)
        if name not in experts and not name.endswith(("switch", "leaf"))
    ]
    origin = rng.choice(np.array(hosts or range(len(graph.places)), dtype=np.int64), count)
    return Tokens(names[rank], rng.lognormal(0.0, 0.5, count), origin.astype(np.int64))
