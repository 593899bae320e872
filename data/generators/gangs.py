"""Which gangs might hold the GPUs of a fabric, and how does what they send vary? Random ones, to learn from."""

import numpy as np

from data.schemas.fabric import Fabric, Floats
from data.schemas.job import Job, Parallelism, Worker

OCCUPIED = 0.9
"""Share of the GPUs that gangs hold."""

LARGEST = 64
"""GPUs of the largest gang."""


def gangs_on(fabric: Fabric, rng: np.random.Generator) -> tuple[Job, ...]:
    """Return gangs of random size and split, side by side, machine by machine, or strewn GPU by GPU."""
    gpus = np.arange(len(fabric.gpus))
    strewn = rng.random()
    if strewn < 0.3:
        order = gpus
    elif strewn < 0.7:
        machine = rng.permutation(int(fabric.node.max()) + 1)
        order = np.argsort(machine[fabric.node], kind="stable")
    else:
        order = rng.permutation(gpus)
    jobs: list[Job] = []
    position = 0
    while position < OCCUPIED * len(order):
        size = int(2 ** rng.integers(1, np.log2(LARGEST) + 1))
        held = order[position : position + size]
        position += size
        tensor = int(2 ** rng.integers(0, 4))
        pipeline = int(2 ** rng.integers(0, 3)) if rng.random() < 0.5 else 1
        expert = int(2 ** rng.integers(1, 5)) if rng.random() < 0.4 else 1
        jobs.append(
            Job(
                id=f"gang-{len(jobs)}",
                workers=len(held),
                gpus_per_worker=1,
                state="running",
                placement=tuple(Worker(fabric.gpus[gpu][0], (fabric.gpus[gpu][1],)) for gpu in held.tolist()),
                traffic_gb_per_s=1.0,  # the caller scales it
                parallelism=Parallelism(tensor, pipeline, expert),
            )
        )
    return tuple(jobs)


def levels(gangs: int, moments: int, rng: np.random.Generator) -> Floats:
    """Return what gangs send over what they usually do, ``(moments, gangs)``: noise, drift, beginnings and ends."""
    noise = rng.standard_normal((moments, gangs))
    for moment in range(1, moments):
        noise[moment] = 0.8 * noise[moment - 1] + 0.6 * noise[moment]
    time = np.arange(moments)[:, None]
    start = rng.integers(-2 * moments, moments, size=gangs)
    alive = (time >= start) & (time < start + rng.exponential(3.0 * moments, size=gangs))
    return np.asarray(np.exp(0.25 * noise) * np.exp(rng.normal(0.0, 0.02, size=gangs) * time) * alive)
