"""What does HTTP cost beside the function? Token routing through the service on loopback, and called in a process.

``python -m tests.benchmarks.bench_http`` starts the service, asks it and the function in turn, and prints medians.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from data.readers.expert_graph import read_expert_graph
from data.readers.tokens import read_tokens
from flows.params import EFFORTS
from tasks.route_tokens import route, write_routing
from tasks.token_routing.settings import settings_of

EXPERTS = 64
SIZES = (1, 100, 1_000, 10_000)
TIMES = 30
START_S = 300.0


def stream(tokens: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return tokens with ids and work."""
    work = rng.lognormal(0.0, 1.0, tokens)
    return [{"token_id": f"t{number}", "complexity": round(each, 6)} for number, each in enumerate(work.tolist())]


def called(body: dict[str, Any], folder: Path) -> tuple[float, float, bytes]:
    """Return seconds of the routing alone, seconds with its reading and writing, and the file's bytes."""
    begun = time.perf_counter()
    (folder / "graph").write_text(json.dumps(body["model_graph"]))
    (folder / "tokens").write_text(json.dumps(body["tokens"]))
    graph = read_expert_graph(folder / "graph")
    tokens = read_tokens(folder / "tokens", graph).tokens
    read = time.perf_counter()
    routed = route(tokens, graph, settings_of("bounded-hash"), np.random.default_rng(0), effort=EFFORTS["quick"])
    decided = time.perf_counter()
    write_routing(folder / "answer", tokens, graph, routed, left_out=0)
    return decided - read, time.perf_counter() - begun, (folder / "answer").read_bytes()


@contextmanager
def service() -> Iterator[httpx.Client]:
    """Start the service, and yield a client of it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "flows", "http", "--port", str(port), "--workers", "1"]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60.0, trust_env=False) as client:
            _await(client.get)
            yield client
    finally:
        process.terminate()
        process.wait()


def _await(get: Callable[[str], object]) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            get("/health")
        except httpx.TransportError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
        else:
            return


def main() -> None:
    """Print what each way takes."""
    rng = np.random.default_rng(1)
    shared = Path("/dev/shm")  # noqa: S108  # where the service keeps bodies, so that both write to the same
    print(f"bounded-hash onto {EXPERTS} experts, median of {TIMES}, milliseconds")
    print(f"{'tokens':>8} {'body kB':>8} {'route':>8} {'+ files':>8} {'HTTP':>8} {'HTTP p95':>9}")
    with service() as client, tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        for size in SIZES:
            body = {"tokens": stream(size, rng), "model_graph": {"num_experts": EXPERTS}}
            content = json.dumps(body).encode()
            rows = []
            for _ in range(TIMES):
                alone, whole, written = called(body, Path(folder))
                begun = time.perf_counter()
                told = client.post("/v1/tokens/route", content=content, headers={"content-type": "application/json"})
                rows.append((alone, whole, time.perf_counter() - begun))
                if told.content != written:
                    raise SystemExit(f"{size} tokens: the service answers other bytes: {told.text[:300]}")
            alone, whole, asked = np.median(rows, axis=0) * 1e3
            late = np.quantile([row[2] for row in rows], 0.95) * 1e3
            print(f"{size:8,} {len(content) / 1e3:8.1f} {alone:8.2f} {whole:8.2f} {asked:8.2f} {late:9.2f}")


if __name__ == "__main__":
    main()
