"""Which sample clusters ship with the project, and how are they made again?

small        two NVL72 racks and eight DGX nodes, a MoE deployment, telemetry, checkpoints, a power cap that binds
fragmented   eight NVL72 racks after a quiet night: a quarter of the GPUs are free, and no rack is
over-cap     a rack and sixteen DGX nodes that draw more than they may; lower caps can relieve it
"""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.generators.checkpoint import STEPS, train, write_safetensors, write_torch
from data.generators.cluster import Experts, Scenario, snapshot_of
from data.generators.hardware import dgx_nodes, nvl72_racks
from data.generators.power import cluster_draw_w
from data.readers.snapshot import write_snapshot
from data.schemas.checkpoint import Checkpoint
from data.schemas.cluster import Node, Snapshot

SAMPLES = {"small": 153, "fragmented": 13, "over-cap": 223}
"""Names of the samples, with the seed of the files that ship. The seeds were picked among hundreds so that each sample
shows what it is there for; ``small`` in particular has a deployment, chains and gangs spread over domains at once."""

_MLP = "checkpoints/digits-mlp.safetensors"
_CNN = "checkpoints/digits-cnn.pt"


def sample(name: str, rng: np.random.Generator) -> Snapshot:
    """Return the sample ``name``; its checkpoints have no digests, since none has been trained.

    Raises:
        ValueError: no sample has that name.
    """
    return _sample(name, rng.spawn(2)[0])


def write_sample(name: str, folder: Path, rng: np.random.Generator) -> Path:
    """Write the sample ``name`` and its freshly trained checkpoints, and return the path of ``cluster.json``.

    Args:
        name: one of ``SAMPLES``.
        folder: where ``cluster.json`` and ``checkpoints/`` go; made if missing.
        rng: source of chance; ``default_rng(SAMPLES[name])`` gives the snapshot that ships.

    Raises:
        ValueError: no sample has that name.
        OSError: the folder cannot be written.
    """
    of_snapshot, of_training = rng.spawn(2)
    folder.mkdir(parents=True, exist_ok=True)
    snapshot = _sample(name, of_snapshot)
    if snapshot.checkpoints:
        write_safetensors(train("mlp", of_training), folder / _MLP)
        write_torch(train("cnn", of_training), folder / _CNN)
    path = folder / "cluster.json"
    write_snapshot(with_digests(snapshot, folder), path)
    return path


def with_digests(snapshot: Snapshot, folder: Path) -> Snapshot:
    """Return ``snapshot`` with the SHA-256 of each checkpoint file under ``folder``."""
    signed = [
        replace(checkpoint, sha256=hashlib.sha256((folder / checkpoint.path).read_bytes()).hexdigest())
        for checkpoint in snapshot.checkpoints
    ]
    return replace(snapshot, checkpoints=tuple(signed))


def _sample(name: str, rng: np.random.Generator) -> Snapshot:
    match name:
        case "small":
            return _small(rng)
        case "fragmented":
            return _fragmented(rng)
        case "over-cap":
            return _over_cap(rng)
    raise ValueError(f"name: expected one of {', '.join(SAMPLES)}, found {name!r}")


def _small(rng: np.random.Generator) -> Snapshot:
    scenario = Scenario(
        cluster="small",
        taken_at="2026-03-02T06:00:00+00:00",
        nodes=nvl72_racks(2) + tuple(_broken(node, "dgx-0006", 5) for node in dgx_nodes(8)),
        jobs=60,
        mean_gpus=5.0,
        largest=64,
        load=1.8,
        turnover=4.0,
        samples=24,
        experts=Experts(ranks=32, slots_per_rank=3, layers=8, experts=64, windows=4, targets_kept=3),
    )
    snapshot = snapshot_of(scenario, rng)
    trainings = [job.id for job in snapshot.jobs if job.state == "running" and job.workload == "single-gpu"]
    checkpoints = (
        Checkpoint("digits-mlp", trainings[0] if trainings else None, _MLP, "safetensors", STEPS),
        Checkpoint("digits-cnn", trainings[1] if len(trainings) > 1 else None, _CNN, "torch", STEPS),
    )
    return replace(_capped(snapshot, 1.04), checkpoints=checkpoints)


def _fragmented(rng: np.random.Generator) -> Snapshot:
    scenario = Scenario(
        cluster="fragmented",
        taken_at="2026-03-02T06:00:00+00:00",
        nodes=nvl72_racks(8),
        jobs=140,
        mean_gpus=6.0,
        largest=32,
        load=1.5,
        turnover=4.0,
        quiet_s=43_200.0,
        samples=12,
        interval_s=300.0,
        movable=0.97,
    )
    snapshot = snapshot_of(scenario, rng)
    return replace(snapshot, limits=replace(snapshot.limits, migration_budget_gpus=192))


def _over_cap(rng: np.random.Generator) -> Snapshot:
    scenario = Scenario(
        cluster="over-cap",
        taken_at="2026-03-02T14:00:00+00:00",
        nodes=nvl72_racks(1) + dgx_nodes(16),
        jobs=60,
        mean_gpus=4.0,
        largest=16,
        load=1.8,
        turnover=4.0,
        samples=12,
        interval_s=300.0,
    )
    return _capped(snapshot_of(scenario, rng), 0.9)


def _capped(snapshot: Snapshot, share: float) -> Snapshot:
    """Return ``snapshot`` with a power cap of ``share`` of what it draws now, in whole kilowatts."""
    cap_w = round(share * cluster_draw_w(snapshot), -3)
    return replace(snapshot, limits=replace(snapshot.limits, power_cap_w=cap_w))


def _broken(node: Node, name: str, gpu: int) -> Node:
    return replace(node, unavailable_gpus=(gpu,)) if node.id == name else node
