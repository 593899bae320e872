"""What would each forecaster and each solver have cost in each window of a replay? The lessons of the meta controller.

Jobs arrive as in the Philly trace (GPUs, duration); each becomes a configuration of the ML.ENERGY leaderboard with as
many GPUs, of one of the models in service, which change over time. Before a window, every forecaster learns from
the windows before it, and its error on the window is its loss. The window's jobs then wait under a power cap that
changes too; from where a short classical search stopped, each solver gets the same windows of moves and the same
processor seconds, and how far it ends above the best of them is its loss.
"""

import csv
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.readers.gpu_models import find_gpu_model
from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job
from data.schemas.power import Floats, PowerSamples
from qiskit_solvers.anneal import Anneal
from qiskit_solvers.ising import Ising
from qiskit_solvers.qaoa import Qaoa
from qiskit_solvers.solver import Solver, Spins, best_first
from tasks.forecasters.boosting import Boosting
from tasks.forecasters.gnn import GraphSage
from tasks.forecasters.median import Median
from tasks.forecasters.meta_controller import Log
from tasks.forecasters.protocol import PowerForecaster
from tasks.problems.power import Power

SEQUENCES, WINDOWS, ARRIVALS = 6, 30, 16
WARM_UP = 2
"""Windows before the first that counts, to learn from."""

IN_SERVICE = 8
KEPT = 192
"""Newest rows that a forecaster learns from."""

SECONDS, CUTS, SPINS = 0.02, 4, 14
"""Processor seconds of a solver on each window of moves, and how many of those, of how many moves."""

CHANGES = 0.5
CACHE = "meta-windows-1.json"

FORECASTERS: Mapping[str, PowerForecaster] = {
    "median": Median(by_workload=True),
    "boosting": Boosting(rounds=80, rate=0.1),
    "graph network": GraphSage(hidden=16, members=1, epochs=60, most=KEPT),
}
SOLVERS = ("annealing", "QAOA", "hybrid")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One job of the trace."""

    duration_s: float
    gpus: int


def windows(samples: PowerSamples, philly: Path, folder: Path, seed: int = 0) -> list[Log]:
    """Return one log per sequence, from the cache in ``folder`` where it holds them."""
    cache = folder / CACHE
    if cache.exists():
        told = json.loads(cache.read_text())
    else:
        with philly.open(encoding="utf-8") as file:
            trace = [Arrival(float(row["duration"]), int(row["num_gpus"])) for row in csv.DictReader(file)]
        apart = len(trace) // SEQUENCES
        streams = np.random.SeedSequence(seed).spawn(SEQUENCES)
        told = [
            _sequence(samples, trace[number * apart :], np.random.default_rng(stream))
            for number, stream in enumerate(streams)
        ]
        folder.mkdir(parents=True, exist_ok=True)
        cache.write_text(json.dumps(told) + "\n")
    return [Log(np.array(one["features"]), tuple(np.array(each) for each in one["losses"])) for one in told]


def _sequence(samples: PowerSamples, trace: Sequence[Arrival], rng: np.random.Generator) -> dict[str, object]:
    """Return features and losses of the windows of one sequence."""
    models = rng.permutation(sorted(set(samples.groups))).tolist()
    service = models[:IN_SERVICE]
    following = models[IN_SERVICE:] + models[:IN_SERVICE]
    cap_share = 0.7
    past: list[int] = []
    features: list[list[float]] = []
    errors: list[list[float]] = []
    costs: list[list[float]] = []
    for number in range(WINDOWS + WARM_UP):
        if rng.random() < CHANGES:
            service = [*service[1:], following.pop(0)]
            following.append(service[0])
        cap_share = float(np.clip(cap_share + 0.1 * rng.standard_normal(), 0.4, 0.95))
        arrivals = trace[number * ARRIVALS : (number + 1) * ARRIVALS]
        rows = [_row(samples, service, arrival.gpus, rng) for arrival in arrivals]
        if number >= WARM_UP:
            seen = np.array(past[-KEPT:])
            part, asked = _told(samples, seen), samples.take(np.array(rows))
            errors.append([_error(method, part, asked, rng) for method in FORECASTERS.values()])
            problem = Power.from_snapshot(_snapshot(asked, arrivals, cap_share))
            if number == WARM_UP:
                _solved(problem, np.random.default_rng(0))  # imports and compiles what must not count
            found, spread = _solved(problem, rng)
            costs.append(found)
            features.append([*_features(part, asked), cap_share, spread])
        past += rows
    return {"features": features, "losses": [errors, costs]}


def _row(samples: PowerSamples, service: Sequence[str], gpus: int, rng: np.random.Generator) -> int:
    """Return a configuration of a model in service, with as many GPUs as asked for where there is one."""
    serving = np.isin(samples.groups, service)
    wanted = samples.features[:, samples.names.index("log2_gpus")] == np.log2(min(gpus, 8))
    fitting = np.flatnonzero(serving & wanted)
    return int(rng.choice(fitting if fitting.size else np.flatnonzero(serving)))


def _told(samples: PowerSamples, seen: np.ndarray) -> PowerSamples:
    """Return the rows of ``seen``, each once: the same configuration draws the same when it comes again."""
    return samples.take(np.unique(seen))


def _error(method: PowerForecaster, part: PowerSamples, asked: PowerSamples, rng: np.random.Generator) -> float:
    """Return the mean relative error; what is not answered counts as the highest draw."""
    fewest = getattr(method, "fewest", 1)
    if len(part.ids) < fewest:
        method = Median()
    watts = method.train(part, rng.spawn(1)[0]).forecast(asked)
    watts = np.where(np.isnan(watts), asked.max_w, watts)
    return float(np.mean(np.abs(watts - asked.power_w) / asked.power_w))


def _features(part: PowerSamples, asked: PowerSamples) -> list[float]:
    """Return what is known of the window before it: how much was seen, and how much of it is new."""
    pairs = set(zip(part.gpu_models, part.workloads, strict=True))
    asked_pairs = zip(asked.gpu_models, asked.workloads, strict=True)
    return [
        float(np.log2(len(part.ids))),
        float(np.mean(np.isin(asked.groups, part.groups))),
        float(np.mean(np.isin(asked.ids, part.ids))),
        float(np.mean([pair in pairs for pair in asked_pairs])),
        float(np.mean([model == "B200" for model in asked.gpu_models])),
        float(np.mean(asked.features[:, asked.names.index("log2_gpus")])),
        float(len(set(asked.workloads))),
    ]


def _snapshot(asked: PowerSamples, arrivals: Sequence[Arrival], cap_share: float) -> Snapshot:
    """Return eight nodes on which the window's jobs wait, under a share of the nodes' highest draw."""
    nodes = []
    for number in range(8):
        gpu = find_gpu_model("H100" if number < 4 else "B200")
        if gpu is None:
            raise ValueError("gpu_model: expected H100 and B200 among the known models")
        limits = {"gpu_power_min_w": gpu.power_min_w, "gpu_power_max_w": gpu.power_max_w, "gpu_idle_w": gpu.idle_w}
        nodes.append(Node(f"node-{number}", gpu.name, 8, f"domain-{number}", "rack", **limits))
    jobs = tuple(
        Job(
            id=f"job-{number}",
            workers=1,
            gpus_per_worker=min(arrival.gpus, 8),
            state="pending",
            gpu_model=model,
            remaining_s=float(np.clip(arrival.duration_s, 600.0, 4 * 3_600.0)),
            gpu_power_w=float(watts),
        )
        for number, (arrival, model, watts) in enumerate(zip(arrivals, asked.gpu_models, asked.power_w, strict=True))
    )
    highest_w = sum(node.gpus * node.gpu_power_max_w for node in nodes)
    limits_in_force = Limits(power_cap_w=cap_share * highest_w / 2, slot_s=300.0, horizon_slots=96)
    return Snapshot("replay", "2026-03-02T06:00:00+00:00", tuple(nodes), jobs, limits=limits_in_force)


def _solved(problem: Power, rng: np.random.Generator) -> tuple[list[float], float]:
    """Return how far each solver ends above the best of them, in percent, and the size of the first window's fields."""
    searching, cutting = rng.spawn(2)
    base = problem.search(problem.incumbent(), 100, searching).decision
    seed = int(cutting.integers(2**32))
    first = problem.window(base, SPINS, np.random.default_rng(seed)).ising
    spread = float(np.log1p(np.abs(first.h).sum()))
    ends = []
    for number in range(len(SOLVERS)):
        chance = np.random.default_rng(seed)
        decision, cost = base, problem.cost(base)
        for _ in range(CUTS):
            window = problem.window(decision, SPINS, chance)
            for string in _answered(number, window.ising, chance.spawn(1)[0])[:8]:
                sewn = window.sew(string)
                reached = problem.cost(sewn)
                if reached < cost:
                    decision, cost = sewn, reached
                    break
        ends.append(cost)
    scale = abs(problem.cost(base)) or 1.0
    return [100.0 * (end - min(ends)) / scale for end in ends], spread


def _answered(number: int, ising: Ising, rng: np.random.Generator) -> Spins:
    """Return the best strings that a solver found in its seconds; the hybrid gives each of two half of them."""
    anneal, qaoa = Anneal(sweeps=50, reads=16), Qaoa(on="simulator", layers=5, shots=128)
    lineup: tuple[tuple[Solver, float], ...] = {
        0: ((anneal, SECONDS),),
        1: ((qaoa, SECONDS),),
        2: ((anneal, SECONDS / 2), (qaoa, SECONDS / 2)),
    }[number]
    strings = []
    for solver, seconds in lineup:
        ends = time.process_time() + seconds
        while True:
            strings.append(solver(ising, rng.spawn(1)[0]))
            if time.process_time() >= ends:
                break
    return best_first(ising, np.concatenate(strings), 8)


def losses_of(log: Log, chosen: np.ndarray) -> Floats:
    """Return the loss of the choice in each window, ``(windows, questions)``."""
    rows = np.arange(len(log.features))
    return np.stack([losses[rows, chosen[:, number]] for number, losses in enumerate(log.losses)], axis=1)
