"""On which clusters is placement measured? Real traces replayed by first-fit until they are in pieces.

Sizes, durations and the rhythm of arrivals are those of Philly (Jeon et al. 2019, arXiv 1901.05758) and of the pods
with whole GPUs of Alibaba's openb (Weng et al. 2023, USENIX ATC). Traces do not say where a job ran, what it exchanges
or what it checkpoints: :func:`data.generators.first_fit.first_fit` decides the first, and
:func:`data.generators.cluster.jobs_of` draws the rest. Time is squeezed until the machines are as full as wanted, and
sizes may be multiplied, since most jobs of 2017 held one GPU. The first half of each trace, in time, is for tuning; the
other half is held out.
"""

import csv
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from data.generators.cluster import jobs_of
from data.generators.first_fit import ANY, Held, Requests, first_fit
from data.generators.hardware import dgx_nodes, nvl72_racks
from data.generators.jobs import Arrivals
from data.schemas.cluster import Limits, Node, Snapshot

Half = Literal["tuning", "held-out"]

KEPT = 0.7
"""Share of a half's rows, drawn by chance, that one instance replays: so seeds differ in their largest jobs too."""

LOAD = 0.85
FULL = 0.92
QUEUE = 0.06
"""GPU seconds asked for over those offered; share of GPUs held, and most GPUs waited for over all, when we look."""

BUDGET_SHARE = 1 / 16
"""Migration budget over the GPUs of the cluster: 64 of 1,024."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Rows in order of arrival, each ``(rows,)``: when, for how long in seconds, with how many GPUs."""

    arrival_s: NDArray[np.float64]
    duration_s: NDArray[np.float64]
    gpus: NDArray[np.int64]

    def half(self, which: Half) -> "Trace":
        """Return the earlier half of the rows for tuning, the later one held out."""
        middle = self.gpus.size // 2
        part = slice(0, middle) if which == "tuning" else slice(middle, None)
        return Trace(self.arrival_s[part], self.duration_s[part], self.gpus[part])


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of instance: a trace, the shape of the machines, and by how much sizes are multiplied."""

    trace: Literal["philly", "openb"]
    shape: Literal["nvl72", "dgx"]
    times: int

    @property
    def name(self) -> str:
        """How tables call it."""
        return f"{self.trace} x{self.times} on {self.shape}"


FAMILIES = (
    Family("philly", "nvl72", 1),
    Family("philly", "nvl72", 4),
    Family("philly", "dgx", 2),
    Family("openb", "nvl72", 2),
    Family("openb", "dgx", 2),
)


def read_trace(folder: Path, name: Literal["philly", "openb"]) -> Trace:
    """Return the rows of a trace in ``folder`` that ask for whole GPUs."""
    if name == "philly":
        path = folder / "philly_sia" / "philly_sorted_rows20000_40000.csv"
        with path.open(newline="", encoding="utf-8") as file:
            rows = [
                (
                    datetime.fromisoformat(f"{row['timestamp']}+00:00").timestamp(),
                    float(row["duration"]),
                    int(row["num_gpus"]),
                )
                for row in csv.DictReader(file)
            ]
    else:
        path = folder / "alibaba_gpu_v2023" / "openb_pod_list_default.csv"
        with path.open(newline="", encoding="utf-8") as file:
            rows = [
                (
                    float(row["creation_time"]),
                    float(row["deletion_time"]) - float(row["scheduled_time"] or row["creation_time"]),
                    int(row["num_gpu"]),
                )
                for row in csv.DictReader(file)
                if row["gpu_milli"] == "1000" and int(row["num_gpu"]) > 0
            ]
    rows = sorted(row for row in rows if row[1] > 0.0)
    arrival_s, duration_s, gpus = (np.array(column) for column in zip(*rows, strict=True))
    return Trace(arrival_s, duration_s, gpus.astype(np.int64))


def machines(shape: Literal["nvl72", "dgx"], gpus: int) -> tuple[Node, ...]:
    """Return about ``gpus`` GPUs: NVL72 racks, the last one with fewer trays, or DGX nodes, 16 to a leaf switch."""
    if shape == "dgx":
        return dgx_nodes(max(1, gpus // 8), per_rack=16)
    racks, trays = divmod(gpus // 4, 18)
    return nvl72_racks(racks) + (nvl72_racks(1, trays=trays, first=racks + 1) if trays else ())


def instance(
    trace: Trace, family: Family, *, gpus: int, seed: int, looks: int = 24, turnover: float = 40.0
) -> Snapshot:
    """Return the cluster that a replay leaves behind at one moment: nearly full, with a short queue.

    Traces arrive in bursts, so a replay swings between idle and a queue of days. Of ``looks`` moments the one is taken
    that is nearest to :data:`FULL`, counting GPUs that are waited for beyond :data:`QUEUE` as if they were free. What
    waits behind so many is left out, as by a scheduler that looks at the head of its queue.

    Args:
        trace: the rows, of one half.
        family: shape and multiple; its trace's name is taken as said.
        gpus: of the cluster.
        seed: of the rows that are kept, of where the replay begins, of the moments, and of what the trace does not say.
        looks: moments in the later half of the replay that are looked at.
        turnover: jobs that arrive over those that run at once, about.
    """
    rng = np.random.default_rng(seed)
    nodes = machines(family.shape, gpus)
    capacity = sum(node.gpus for node in nodes)
    rows = _drawn(trace, family.times, capacity, turnover, rng)
    span_s = _span(rows, capacity, LOAD)
    width = nodes[0].gpus
    per_worker = np.gcd(np.minimum(rows.gpus, width), rows.gpus)
    anything = np.full(rows.gpus.size, ANY)
    requests = Requests(
        arrival_s=rows.arrival_s * (span_s / rows.arrival_s[-1]),
        duration_s=rows.duration_s,
        workers=rows.gpus // per_worker,
        gpus_per_worker=per_worker,
        model=anything,
        after=anything,
        models=(),
    )

    def unlike(held: Held) -> float:
        taken = int(rows.gpus[list(held.running)].sum())
        queue = int(rows.gpus[list(held.pending)].sum())
        return abs(taken - FULL * capacity) + max(0.0, queue - QUEUE * capacity)

    moments = rng.uniform(0.5, 1.0, looks) * span_s
    held = min((first_fit(nodes, requests, moment_s=float(moment)) for moment in moments), key=unlike)
    queue = np.cumsum(rows.gpus[list(held.pending)])
    held = replace(held, pending=held.pending[: int(np.searchsorted(queue, QUEUE * capacity, side="right"))])
    jobs = jobs_of(nodes, Arrivals(requests, anything), held, 0.95, rng)
    limits = Limits(migration_budget_gpus=int(BUDGET_SHARE * capacity), next_gangs=2)
    return Snapshot("replay", "2026-01-31T12:00:00+00:00", nodes, jobs, limits=limits)


def instances(folder: Path, half: Half, *, gpus: int, each: int) -> list[tuple[str, Snapshot]]:
    """Return ``each`` instances of every family, by name; seeds of the two halves differ."""
    first = 0 if half == "tuning" else 1_000
    traces = {name: read_trace(folder, name).half(half) for name in ("philly", "openb")}
    return [
        (f"{family.name} #{number}", instance(traces[family.trace], family, gpus=gpus, seed=first + number))
        for family in FAMILIES
        for number in range(each)
    ]


def _drawn(trace: Trace, times: int, capacity: int, turnover: float, rng: np.random.Generator) -> Trace:
    """Return a share of the rows from a random one on, wrapped around, repeated where the machines need more."""
    duration_s = np.minimum(trace.duration_s, 3.0 * float(trace.arrival_s[-1] - trace.arrival_s[0]))
    gpus = np.minimum(trace.gpus * times, capacity // 4)
    wanted = turnover * capacity / max(1.0, float(gpus @ duration_s) / float(duration_s.sum()))
    rounds = max(1, int(np.ceil(wanted / (KEPT * gpus.size))))
    period = float(trace.arrival_s[-1] - trace.arrival_s[0]) + 1.0
    begin = int(rng.integers(gpus.size))
    order = np.concatenate([np.arange(begin, gpus.size), np.arange(begin)])
    wrapped = trace.arrival_s[order] - trace.arrival_s[begin] + np.where(order < begin, period, 0.0)
    arrival_s = np.concatenate([wrapped + number * period for number in range(rounds)])
    keep = rng.random(arrival_s.size) < KEPT
    row = np.tile(order, rounds)[keep]
    return Trace(arrival_s[keep] + 1.0, duration_s[row], gpus[row])


def _span(rows: Trace, capacity: int, load: float) -> float:
    """Return the seconds in which the rows must arrive to ask for ``load`` of the machines, by bisection."""
    low, high = 1.0, 1e10
    for _ in range(100):
        middle = float(np.sqrt(low * high))
        asked = float(rows.gpus @ np.minimum(rows.duration_s, middle / 2)) / (middle * capacity)
        low, high = (middle, high) if asked > load else (low, middle)
    return high
