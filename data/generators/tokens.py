"""What might a stream of tokens look like? Ids with Zipf's popularity, lognormal work, origins all over the cluster."""

import numpy as np

from data.readers.tokens import expert_graph
from data.schemas.tokens import ExpertGraph, Tokens


def domains_of_experts(domains: int, gpus_per_domain: int, experts_per_gpu: int) -> ExpertGraph:
    """Return experts on the GPUs of NVLink domains that a leaf switch joins, at 900 and 50 GB/s."""
    nodes: list[dict[str, object]] = [{"id": "leaf", "kind": "switch", "domain": "leaf"}]
    edges: list[dict[str, object]] = []
    for domain in range(domains):
        name = f"d{domain}"
        nodes.append({"id": f"{name}/switch", "kind": "switch", "domain": name})
        edges.append({"source": f"{name}/switch", "target": "leaf", "bandwidth": 50.0 * gpus_per_domain})
        for gpu in range(gpus_per_domain):
            where = f"{name}/gpu{gpu}"
            nodes.append({"id": where, "kind": "gpu", "domain": name})
            edges.append({"source": where, "target": f"{name}/switch", "bandwidth": 900.0})
            for expert in range(experts_per_gpu):
                nodes.append({"id": f"{where}/e{expert}", "kind": "expert", "domain": name})
                edges.append({"source": f"{where}/e{expert}", "target": where, "bandwidth": 8000.0})
    return expert_graph(nodes, edges)


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
