"""How fast and how even are tokens routed? A million by each router, and windows refined at equal seconds.

Streams come from :mod:`data.generators.tokens` (Zipf popularity, lognormal work) on experts in NVLink domains. The
first table gives seconds for the whole stream (medians of the repetitions, interleaved) beside plain modulo hashing,
the fullest expert over its share, and the share of work that changes domain. The second has three columns in one run:
the bounded hash (a warm start that is left as it is), our loop with annealing on windows, and with QAOA, on windows of
4,096 tokens that start from it.

Run: ``python -m tests.benchmarks.bench_tokens [--tokens 1000000] [--instances 20] [--seconds 2]``.
"""

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from data.generators.tokens import domains_of_experts, token_stream
from data.schemas.tokens import ExpertGraph, Integers, Tokens
from tasks.problems.protocol import Problem
from tasks.problems.tokens import TokenWindow
from tasks.route_tokens import measured
from tasks.token_routing.routers import BoundedHash, HashRouter, keys_of
from tests.benchmarks.columns import compared

OUT = Path("runs/bench-tokens")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--instances", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    throughput(options.tokens, options.repetitions, options.seed)
    problems = [(f"stream-{number:02d}", window(options.seed + number)) for number in range(options.instances)]
    yardsticks = {"hash": hashed, "bounded hash, as it is": lambda problem, _seconds: problem.incumbent()}
    columns = compared(problems, yardsticks, seconds=options.seconds, seed=options.seed)
    columns.show("windows of 4,096 tokens on 64 experts in 4 domains")
    columns.save(OUT, "tokens")


def modulo(tokens: Tokens, graph: ExpertGraph) -> Integers:
    """Return the peer that everyone writes first: the hash modulo the number of experts."""
    return (keys_of(tokens.ids) % np.uint64(len(graph.experts))).astype(np.int64)


def throughput(count: int, repetitions: int, seed: int) -> None:
    """Print time and evenness of each router on one stream."""
    graph = domains_of_experts(4, 8, 8)
    tokens = token_stream(count, graph, np.random.default_rng(seed))
    routers: dict[str, Any] = {
        "hash modulo experts": modulo,
        "hash by capacity": HashRouter(),
        "bounded hash": BoundedHash(local=False),
        "bounded hash, near first": BoundedHash(),
    }
    spent: dict[str, list[float]] = {name: [] for name in routers}
    chosen: dict[str, Integers] = {}
    for repetition in range(repetitions + 1):
        for name, router in routers.items():
            started = time.perf_counter()
            chosen[name] = router(tokens, graph)
            if repetition:
                spent[name].append(time.perf_counter() - started)
    print(f"{count:,} tokens on {len(graph.experts)} experts in 4 domains; seconds are medians of {repetitions}")
    print(f"{'router':28}{'seconds':>9}{'x modulo':>10}{'fullest/share':>15}{'work that crosses':>19}")
    base = median(spent["hash modulo experts"])
    for name, times in spent.items():
        told = measured(tokens, graph, chosen[name])
        ratio = median(times) / base
        print(f"{name:28}{median(times):9.3f}{ratio:10.2f}{told.fullest:15.3f}{told.crossing_share:19.3f}")


def window(seed: int) -> TokenWindow:
    """Return a window that starts from the bounded hash."""
    graph = domains_of_experts(4, 4, 4)
    tokens = token_stream(4_096, graph, np.random.default_rng(seed))
    return TokenWindow(tokens, graph, BoundedHash()(tokens, graph))


def hashed(problem: Problem[Any], _seconds: float) -> Any:
    """Return what hashing alone says."""
    if not isinstance(problem, TokenWindow):
        raise TypeError(f"expected a window of tokens, got {type(problem).__name__}")
    return type(problem.incumbent())(HashRouter()(problem.tokens, problem.graph))


if __name__ == "__main__":
    main()
