"""The clusters that ship: made by their seeds, free of contradictions, and showing what they are there for."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from data.digest import SNAPSHOT
from data.generators.checkpoint import accuracy, train
from data.generators.power import cluster_draw_w
from data.generators.samples import SAMPLES, sample, with_digests, write_sample
from data.readers.checkpoint.file import read_checkpoint
from data.readers.snapshot import read_snapshot
from data.schemas.cluster import Snapshot

FOLDER = Path(__file__).resolve().parents[2] / "data" / "samples"


def shipped(name: str) -> Snapshot:
    return read_snapshot(FOLDER / name / "cluster.json").snapshot


def held_by_domain(snapshot: Snapshot) -> dict[str, int]:
    domain = {node.id: node.nvlink_domain for node in snapshot.nodes}
    held: Counter[str] = Counter()
    for job in snapshot.jobs:
        for worker in job.placement:
            held[domain[worker.node]] += len(worker.gpus)
    return {name: held[name] for name in domain.values()}


def domains_of(snapshot: Snapshot, job_id: str) -> set[str]:
    domain = {node.id: node.nvlink_domain for node in snapshot.nodes}
    return {domain[worker.node] for job in snapshot.jobs if job.id == job_id for worker in job.placement}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_stated_seed_makes_the_shipped_bytes(name: str):
    snapshot = with_digests(sample(name, np.random.default_rng(SAMPLES[name])), FOLDER / name)
    assert SNAPSHOT.dump_json(snapshot, indent=1) + b"\n" == (FOLDER / name / "cluster.json").read_bytes()


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_is_set_aside_and_the_file_is_small(name: str):
    assert read_snapshot(FOLDER / name / "cluster.json").set_aside == ()
    assert (FOLDER / name / "cluster.json").stat().st_size < 600_000


def test_small_has_a_part_of_everything():
    snapshot = shipped("small")
    pending = [job for job in snapshot.jobs if job.state == "pending"]
    running = [job for job in snapshot.jobs if job.state == "running"]
    assert Counter(node.gpu_model for node in snapshot.nodes) == {"GB200": 36, "H100": 8}
    assert 55 <= len(snapshot.jobs) <= 60
    assert len(pending) >= 12
    assert any(job.depends_on for job in pending)
    assert max(Counter(job.gang for job in snapshot.jobs if job.gang).values()) >= 2
    assert sum(len(domains_of(snapshot, job.id)) > 1 for job in running) >= 3
    assert len(domains_of(snapshot, snapshot.deployments[0].job)) > 1
    assert snapshot.deployments[0].transitions
    assert {len(series.gpu_power_w) for series in snapshot.node_series} == {24}
    assert {len(series.throughput_gb_per_s) for series in snapshot.link_series} == {24}
    assert {checkpoint.format for checkpoint in snapshot.checkpoints} == {"safetensors", "torch"}


def test_smalls_cap_allows_what_runs_and_not_all_that_waits():
    snapshot = shipped("small")
    cap_w = snapshot.limits.power_cap_w
    assert cap_w is not None
    draw_w = cluster_draw_w(snapshot)
    more_w = sum(job.gpus * ((job.gpu_power_w or 700.0) - 166.0) for job in snapshot.jobs if job.state == "pending")
    assert draw_w <= cap_w < draw_w + more_w


def test_fragmented_has_free_gpus_for_two_racks_and_no_rack_free():
    snapshot = shipped("fragmented")
    held = sorted(held_by_domain(snapshot).values())
    free = 8 * 72 - sum(held)
    assert held[0] > 0
    assert free >= 2 * 72
    assert held[0] + held[1] <= snapshot.limits.migration_budget_gpus  # two racks can be emptied
    assert sum(72 - racks for racks in held[2:]) >= held[0] + held[1]  # and there is room for their jobs
    spread = [job for job in snapshot.jobs if len(domains_of(snapshot, job.id)) > 1]
    assert len(spread) >= 5


def test_over_cap_draws_too_much_and_lower_caps_relieve_it():
    snapshot = shipped("over-cap")
    cap_w = snapshot.limits.power_cap_w
    assert cap_w is not None
    assert cluster_draw_w(snapshot) > 1.05 * cap_w
    assert cluster_draw_w(snapshot, lowest_caps=True) < 0.9 * cap_w


def test_the_shipped_checkpoints_still_read_digits():
    folder = FOLDER / "small" / "checkpoints"
    tensors = load_file(folder / "digits-mlp.safetensors")
    weights = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    assert accuracy("mlp", weights) > 0.9
    assert {name.rsplit(".", 1)[1] for name in tensors if name.startswith("optimizer.")} == {
        "exp_avg",
        "exp_avg_sq",
        "step",
    }
    state = torch.load(folder / "digits-cnn.pt", weights_only=True)
    assert accuracy("cnn", state["model"]) > 0.9
    assert len(state["optimizer"]["state"]) == len(state["model"])
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000


def test_our_own_reader_accepts_the_shipped_checkpoints():
    for checkpoint in shipped("small").checkpoints:
        found = read_checkpoint(FOLDER / "small" / checkpoint.path)
        assert found.format == checkpoint.format
        assert found.tensors


@pytest.mark.slow
def test_a_sample_written_anew_trains_its_checkpoints_and_agrees_with_the_shipped_one(tmp_path: Path):
    path = write_sample("small", tmp_path / "new" / "small", np.random.default_rng(SAMPLES["small"]))
    fresh = read_snapshot(path).snapshot
    bare = [
        replace(snapshot, checkpoints=tuple(replace(checkpoint, sha256=None) for checkpoint in snapshot.checkpoints))
        for snapshot in (fresh, shipped("small"))
    ]
    assert bare[0] == bare[1]
    state = torch.load(path.parent / "checkpoints" / "digits-cnn.pt", weights_only=True)
    assert accuracy("cnn", state["model"]) > 0.9
    assert state["step"] == fresh.checkpoints[1].step
    assert not [file for file in path.parent.rglob("*") if file.name.startswith(".")]


def test_training_leaves_torchs_own_chance_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    train("mlp", np.random.default_rng(0), epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_an_unknown_sample_is_refused_by_name():
    with pytest.raises(ValueError, match="small, fragmented, over-cap"):
        sample("large", np.random.default_rng(0))


def test_shipped_files_are_plain_json_of_the_published_version():
    for name in SAMPLES:
        assert json.loads((FOLDER / name / "cluster.json").read_text())["schema_version"] == "1.0"
