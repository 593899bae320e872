"""The flow of checkpoints writes what was asked for, tells what came of it, and asks again only where that may help."""

import hashlib
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from data.errors import BadRecord, SourceUnavailable
from data.generators import fields
from data.readers.checkpoint.file import read_checkpoint
from data.readers.plan import LOOKED_AT, write_plan
from data.readers.snapshot import write_snapshot
from data.readers.sources import Sample
from data.schemas.checkpoint import Checkpoint, CheckpointFormat
from data.schemas.cluster import Snapshot
from data.schemas.plan import Compress
from flows.archive_commands import archive_app
from flows.archives import Archives, archive_checkpoints
from flows.checkpoint import PATIENCE, CheckpointParams, handle_checkpoint
from flows.params import OptimizeParams
from tasks.codecs.archive import open_archive
from tasks.codecs.compress import compress_checkpoint
from tasks.codecs.keeping import NETWORKS_PRICED
from tasks.codecs.network_search.choose import NetworkSearch, proposed
from tasks.codecs.networks.policy import Race, network_policy
from tasks.codecs.restore import restore_checkpoint
from tasks.plan import assemble

ROOT = Path(__file__).resolve().parents[2]


def asked(**fields: Any) -> str:
    return handle_checkpoint(CheckpointParams.model_validate({"ask": fields}))


def weights(path: Path, steps: int = 0) -> Path:
    """Write a model after some small steps of training."""
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(200, 300, generator=generator)
    for _ in range(steps):
        weight = weight + 1e-6 * torch.randn(200, 300, generator=generator)
    save_file({"w": weight}, path)
    return path


def artifacts(key: str) -> list[Any]:
    with get_client(sync_client=True) as client:
        return client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))


def test_a_checkpoint_goes_into_an_archive_and_comes_back(tmp_path: Path) -> None:
    source = weights(tmp_path / "m.safetensors")
    archive = asked(do="compress", checkpoint=source)
    assert archive == str(tmp_path / "m.safetensors.qfz")
    assert asked(do="verify", archive=archive) == archive
    assert asked(do="inspect", archive=archive) == archive
    restored = asked(do="restore", archive=archive, target=tmp_path / "r.safetensors", workers=2)
    assert Path(restored).read_bytes() == source.read_bytes()
    assert "same_file: True" in max(artifacts("checkpoint-summary"), key=lambda artifact: artifact.created).data
    assert max(artifacts("checkpoint-progress"), key=lambda artifact: artifact.created).data == 100.0
    assert artifacts("checkpoint-result")


def test_what_is_damaged_is_not_asked_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(PATIENCE, "retry_delay_seconds", 0.0)
    (tmp_path / "m.qfz").write_bytes(b"no archive")
    with pytest.raises(BadRecord, match="a whole archive"):
        asked(do="verify", archive=tmp_path / "m.qfz")
    with pytest.raises(SourceUnavailable, match=r"absent\.qfz"):
        asked(do="verify", archive=tmp_path / "absent.qfz")
    again = [record.getMessage() for record in caplog.records if "Retry" in record.getMessage()]
    assert len(again) == 2
    assert all("SourceUnavailable" in message for message in again)


def test_the_checkpoints_of_a_job_become_a_chain_of_differences(tmp_path: Path) -> None:
    files = {step: weights(tmp_path / f"{step}.safetensors", step) for step in range(11)}
    digests = {step: hashlib.sha256(path.read_bytes()).hexdigest() for step, path in files.items()}
    shuffled = [int(step) for step in np.random.default_rng(1).permutation(11)]
    checkpoints = [
        Checkpoint(f"c{step}", "job", files[step].name, "safetensors", step, digests[step]) for step in shuffled
    ]
    alone = Checkpoint("alone", None, "3.safetensors", "safetensors", 3)
    wrong = Checkpoint("wrong", "job", "4.safetensors", "safetensors", 4, "0" * 64)
    snapshot = snapshot_of(*checkpoints, alone, wrong)
    (tmp_path / "cluster.json").touch()
    params = OptimizeParams.model_validate({"source": {"kind": "snapshot", "path": tmp_path / "cluster.json"}})
    run = tmp_path / "run"
    run.mkdir()
    archives = archive_checkpoints(snapshot, params, run)
    assert ["sha256" in str(record) for record in archives.set_aside] == [True]
    actions = {action.checkpoint: action for action in archives.part.actions}  # type: ignore[union-attr]
    assert list(actions) == [*(f"c{step}" for step in shuffled), "alone"]
    depths = []
    for step in range(11):
        path = run / "checkpoints" / f"c{step}.qfz"
        with open_archive(path) as archive:
            depths.append(archive.depth)
        restore_checkpoint(path, tmp_path / "r")
        assert (tmp_path / "r").read_bytes() == files[step].read_bytes()
        (tmp_path / "r").unlink()
    assert depths == [0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1]
    assert "as a difference to c4 (c4.qfz, needed to restore it)" in actions["c5"].reason
    assert "archives below it, and at most 8 are wanted: kept alone" in actions["c9"].reason
    assert "difference" not in actions["alone"].reason


def snapshot_of(*checkpoints: Checkpoint) -> Snapshot:
    return replace(Sample()().snapshot, checkpoints=checkpoints)


def archived(folder: Path, run: str, *checkpoints: Checkpoint) -> Archives:
    """Archive in a run of ``folder`` / runs, and leave plan and snapshot there as a whole flow would."""
    (folder / "cluster.json").touch()
    params = OptimizeParams.model_validate({"source": {"kind": "snapshot", "path": folder / "cluster.json"}})
    (folder / "runs" / run).mkdir(parents=True)
    snapshot = snapshot_of(*checkpoints)
    archives = archive_checkpoints(snapshot, params, folder / "runs" / run)
    plan = assemble(
        snapshot, (archives.part,), assumed_power=(), set_aside=(), notes=(), code_version="0", options="{}", seed=0
    )
    write_plan(plan, folder / "runs" / run / "plan.json")
    write_snapshot(snapshot, folder / "runs" / run / "snapshot.json")
    return archives


def step_of(folder: Path, step: int, identity: str | None = None) -> Checkpoint:
    path = weights(folder / f"{step}.safetensors", step)
    return Checkpoint(identity or f"c{step}", "job", path.name, "safetensors", step)


def reasons(archives: Archives) -> list[str]:
    return [action.reason for action in archives.part.actions if isinstance(action, Compress)]


def test_a_chain_goes_on_in_the_next_run_and_outlives_the_first(tmp_path: Path) -> None:
    archived(tmp_path, "1", step_of(tmp_path, 0), step_of(tmp_path, 1))
    second = archived(tmp_path, "2", step_of(tmp_path, 2))
    assert "as a difference to c1 (c1.qfz, an earlier run made it, needed to restore it)" in reasons(second)[0]
    shutil.rmtree(tmp_path / "runs" / "1")
    path = tmp_path / "runs" / "2" / "checkpoints" / "c2.qfz"
    with open_archive(path) as archive:
        assert archive.depth == 2
    restore_checkpoint(path, tmp_path / "r")
    assert (tmp_path / "r").read_bytes() == (tmp_path / "2.safetensors").read_bytes()
    depths = [reasons(archived(tmp_path, str(run), step_of(tmp_path, run)))[0] for run in range(3, 10)]
    assert ["kept alone" in reason for reason in depths] == [False] * 6 + [True]
    assert [each.name for each in (tmp_path / "runs" / "9" / "checkpoints").iterdir()] == ["c9.qfz"]


def test_a_checkpoint_that_keeps_its_name_is_a_difference_to_its_former_self(tmp_path: Path) -> None:
    for run in range(3):
        archives = archived(tmp_path, str(run), step_of(tmp_path, run, "latest"))
    assert "as a difference to latest (latest-step1.qfz, an earlier run made it" in reasons(archives)[0]
    folder = tmp_path / "runs" / "2" / "checkpoints"
    assert sorted(each.name for each in folder.iterdir()) == ["latest-step0.qfz", "latest-step1.qfz", "latest.qfz"]
    restore_checkpoint(folder / "latest.qfz", tmp_path / "r")
    assert (tmp_path / "r").read_bytes() == (tmp_path / "2.safetensors").read_bytes()


def test_what_an_earlier_run_archived_is_compared_and_not_stored_twice(tmp_path: Path) -> None:
    three = [step_of(tmp_path, step) for step in range(3)]
    alone = replace(step_of(tmp_path, 3), job=None)
    assert archived(tmp_path, "1", *three, alone) == archived(tmp_path, "2", *three, alone), "the same plan"
    again = archived(tmp_path, "3", *three[1:], alone, step_of(tmp_path, 4))
    first, second, third = (tmp_path / "runs" / run / "checkpoints" for run in "123")
    for name in ("c0", "c1", "c2", "c3"):
        for folder in (second, third):
            assert (folder / f"{name}.qfz").samefile(first / f"{name}.qfz")
    assert again.set_aside == ()
    shutil.rmtree(first)
    shutil.rmtree(second)
    for step in range(5):
        restore_checkpoint(third / f"c{step}.qfz", tmp_path / f"r{step}")
        assert (tmp_path / f"r{step}").read_bytes() == (tmp_path / f"{step}.safetensors").read_bytes()


def test_a_checkpoint_that_changed_under_its_name_and_step_is_archived_anew(tmp_path: Path) -> None:
    before = [step_of(tmp_path, step) for step in range(3)]
    archived(tmp_path, "1", *before)
    weights(tmp_path / "1.safetensors", 7)
    archives = archived(tmp_path, "2", *before)
    assert archives.set_aside == ()
    folder = tmp_path / "runs" / "2" / "checkpoints"
    linked = [(folder / f"c{step}.qfz").samefile(tmp_path / f"runs/1/checkpoints/c{step}.qfz") for step in range(3)]
    assert linked == [True, False, False]
    assert sorted(each.name for each in folder.iterdir()) == ["c0.qfz", "c1.qfz", "c2.qfz"]
    for step in range(3):
        restore_checkpoint(folder / f"c{step}.qfz", tmp_path / f"r{step}")
        assert (tmp_path / f"r{step}").read_bytes() == (tmp_path / f"{step}.safetensors").read_bytes()


def test_archives_are_found_however_many_other_runs_lie_between(tmp_path: Path) -> None:
    archived(tmp_path, "1", step_of(tmp_path, 0))
    for run in range(LOOKED_AT + 2):
        shutil.copytree(tmp_path / "runs" / "1", tmp_path / "runs" / f"2{run:02}", ignore=lambda *_: ["checkpoints"])
    assert "as a difference to c0" in reasons(archived(tmp_path, "3", step_of(tmp_path, 1)))[0]


def test_an_archive_that_is_damaged_is_no_base(tmp_path: Path) -> None:
    archived(tmp_path, "1", step_of(tmp_path, 0))
    archived(tmp_path, "2", step_of(tmp_path, 1))
    path = tmp_path / "runs" / "2" / "checkpoints" / "c1.qfz"
    octets = bytearray(path.read_bytes())
    octets[1000] ^= 1
    path.write_bytes(octets)
    third = archived(tmp_path, "3", step_of(tmp_path, 2))
    assert "as a difference to c0" in reasons(third)[0]
    assert "the archive of c1 from run 2 is no base" in third.part.notes[0]
    shutil.rmtree(tmp_path / "runs" / "3")
    (tmp_path / "runs" / "1" / "checkpoints" / "c0.qfz").unlink()
    alone = archived(tmp_path, "3", step_of(tmp_path, 2))
    assert "difference" not in reasons(alone)[0]
    assert len(alone.part.notes) == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from tasks.codecs.compress import compress_checkpoint
tensors = []
def progress(phase, done, total):
    tensors.append(phase)
    if tensors.count("compress") == 5:
        os.kill(os.getpid(), signal.SIGKILL)
compress_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]), progress=progress)
"""


def test_the_run_after_a_killed_one_goes_on_with_its_archive(tmp_path: Path) -> None:
    source = tmp_path / "m.safetensors"
    generator = torch.Generator().manual_seed(0)
    save_file({str(number): torch.randn(64, 64, generator=generator) for number in range(8)}, source)
    left = tmp_path / "runs" / ".0.partial" / "checkpoints"
    left.mkdir(parents=True)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(source), str(left / "c.qfz")], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    unfinished = (left / ".c.qfz.partial").stat().st_ino
    chunks = (left / ".c.qfz.partial").read_bytes()
    began = (left / ".c.qfz.journal").read_bytes()
    assert began.count(b"stored") >= 3
    checkpoint = Checkpoint("c", None, source.name, "safetensors", 8)
    archived(tmp_path, "1", checkpoint)
    done = tmp_path / "runs" / "1" / "checkpoints" / "c.qfz"
    assert done.stat().st_ino == unfinished
    assert done.read_bytes().startswith(chunks)
    assert list(left.iterdir()) == []
    compress_checkpoint(source, tmp_path / "once.qfz")
    assert done.read_bytes() == (tmp_path / "once.qfz").read_bytes()


def test_what_a_killed_run_finished_is_kept_if_it_is_the_same_checkpoint(tmp_path: Path) -> None:
    left = tmp_path / "runs" / ".0.partial" / "checkpoints"
    left.mkdir(parents=True)
    same, other, gone = step_of(tmp_path, 0), step_of(tmp_path, 1), step_of(tmp_path, 2)
    for checkpoint in (same, other, gone):
        compress_checkpoint(tmp_path / "0.safetensors", left / f"{checkpoint.id}.qfz")
    (tmp_path / "2.safetensors").unlink()
    archives = archived(tmp_path, "1", same, other, gone)
    assert [str(record) for record in archives.set_aside if "2.safetensors" in str(record)]
    folder = tmp_path / "runs" / "1" / "checkpoints"
    assert sorted(each.name for each in folder.iterdir()) == ["c0.qfz", "c1.qfz"]
    assert (folder / "c0.qfz").samefile(left / "c0.qfz")
    restore_checkpoint(folder / "c1.qfz", tmp_path / "r")
    assert (tmp_path / "r").read_bytes() == (tmp_path / "1.safetensors").read_bytes()


def test_every_kind_of_checkpoint_is_archived_and_a_wrong_kind_is_set_aside(tmp_path: Path) -> None:
    arrays = {"w": np.arange(600.0).reshape(20, 30)}
    np.savez(tmp_path / "a.npz", **arrays)
    np.save(tmp_path / "a.npy", arrays["w"])
    torch.save({"w": torch.ones(4, 5)}, tmp_path / "a.pt")
    save_file({"w": torch.ones(4, 5)}, tmp_path / "a.safetensors")
    (tmp_path / "model").mkdir()
    save_file({"w": torch.ones(4, 5)}, tmp_path / "model" / "m-1.safetensors")
    (tmp_path / "model" / "m.safetensors.index.json").write_text('{"weight_map": {"w": "m-1.safetensors"}}')
    kinds: dict[str, CheckpointFormat] = {
        "a.npz": "npz", "a.npy": "npy", "a.pt": "torch", "a.safetensors": "safetensors", "model": "shards",
    }  # fmt: skip
    good = [Checkpoint(f"good-{path}", None, path, kind) for path, kind in kinds.items()]
    wrong = Checkpoint("wrong", None, "a.npz", "torch")
    archives = archived(tmp_path, "1", *good, wrong)
    assert [action.checkpoint for action in archives.part.actions if isinstance(action, Compress)] == [
        one.id for one in good
    ]
    assert [str(one) for one in archives.set_aside] == ["checkpoints: wrong: format: expected torch, found npz"]


def told(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(archive_app, [str(each) for each in arguments])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return " ".join(done.output.replace("│", " ").split())


def test_the_terminal_says_sizes_ratio_and_seconds(tmp_path: Path) -> None:
    first, second = (weights(tmp_path / f"{step}.safetensors", step) for step in (0, 1))
    said = told("compress", first, tmp_path / "a.qfz", "--workers", 2)
    assert "1 tensors, 240.08 kB -> " in said
    assert " x smaller, every bit kept, read back and compared, " in said
    said = told("compress", second, tmp_path / "b.qfz", "--base", tmp_path / "a.qfz", "--effort", "small")
    assert "a difference to a.qfz: keep that archive beside it" in said
    assert "a difference to a.qfz" in told("inspect", tmp_path / "b.qfz")
    assert "sound, with the 1 archives below it" in told("verify", tmp_path / "b.qfz")
    assert "byte for byte the file that was compressed" in told("restore", tmp_path / "b.qfz", tmp_path / "r")
    assert (tmp_path / "r").read_bytes() == second.read_bytes()
    told("restore", tmp_path / "b.qfz", tmp_path / "w.npy", "--tensor", "w", "--slice", "10:12", "--no-verify")
    assert np.load(tmp_path / "w.npy").shape == (2, 300)
    assert "kept within rms:0.01" in told("compress", first, tmp_path / "l.qfz", "--keep", "rms:0.01")


def test_bits_go_where_they_matter_and_presets_have_names(tmp_path: Path) -> None:
    source = tmp_path / "m.safetensors"
    generator = torch.Generator().manual_seed(0)
    save_file({name: torch.randn(64, 64, generator=generator) for name in ("dull", "keen")}, source)
    (tmp_path / "s.csv").write_text("tensor,loss\ndull,0.001\nkeen,1\n")
    said = told("compress", source, tmp_path / "b.qfz", "--keep", "rms:0.05", "--bits", tmp_path / "s.csv")
    assert "steps for 2 tensors" in said
    errors = {name: relative_rms(tmp_path / "b.qfz", name) for name in ("dull", "keen")}
    assert errors["dull"] > 4 * errors["keen"]
    told("compress", source, tmp_path / "c.qfz", "--keep", "cpu-only:0.05")
    assert max(relative_rms(tmp_path / "c.qfz", name) for name in ("dull", "keen")) <= 0.05


@pytest.mark.slow
def test_a_network_whose_order_is_hidden_is_found_from_the_terminal(tmp_path: Path) -> None:
    """Modes that belong together stand apart: forms in fixed orders are larger than what the search finds."""
    hidden = fields.hidden_order(np.random.default_rng(3), 5, 6, 2, 1e-4).astype(np.float32)
    np.save(tmp_path / "f.npy", hidden)
    races: list[Race] = []
    for search in (None, proposed(NetworkSearch(evaluations=NETWORKS_PRICED, written=1))):
        network_policy(0.01, search=search, told=races.append)(read_checkpoint(tmp_path / "f.npy").tensors[0], None)
    fixed, searched = (dict(race.sizes)[race.winner] for race in races)
    assert races[1].winner == "searched"
    assert searched < 0.8 * fixed
    said = told("compress", tmp_path / "f.npy", tmp_path / "f.qfz", "--keep", "network:0.01")
    assert "kept within network:0.01" in said
    with open_archive(tmp_path / "f.qfz") as archive:
        (stored,) = archive.index.tensors
        assert stored.recipe is not None
        assert stored.content_bytes < 0.8 * fixed
    assert "1 made from their recipes" in told("verify", tmp_path / "f.qfz")
    assert "1 with a recipe not made" in told("verify", tmp_path / "f.qfz", "--quick")


def test_one_step_for_all_tensors_keeps_the_whole_within_the_bound(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    large, small = (scale * generator.standard_normal((64, 64)).astype(np.float32) for scale in (1.0, 0.05))
    kept = generator.standard_normal((64, 64)).astype(np.float32)
    np.savez(tmp_path / "m.npz", large=large, small=small, kept=kept)
    told("compress", tmp_path / "m.npz", tmp_path / "m.qfz", "--keep", "rms-all:0.02", "--exact", "kept")
    told("restore", tmp_path / "m.qfz", tmp_path / "r.npz")
    with np.load(tmp_path / "r.npz") as back:
        assert back["kept"].tobytes() == kept.tobytes()
        lost = sum(float(np.sum((back[name] - was) ** 2)) for name, was in (("large", large), ("small", small)))
    whole = float(np.sum(large**2) + np.sum(small**2))
    assert 0.018 < np.sqrt(lost / whole) <= 0.02
    assert relative_rms(tmp_path / "m.qfz", "small") > 5 * relative_rms(tmp_path / "m.qfz", "large")


def test_what_was_lost_is_guessed_by_circuits_if_that_is_asked_for(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    thin = generator.standard_normal((2, 40, 2)).astype(np.float32)
    matrix = (thin[0] @ thin[1].T).astype(np.float32)
    np.savez(tmp_path / "m.npz", w=matrix, kept=np.arange(7))
    told("compress", tmp_path / "m.npz", tmp_path / "m.qfz", "--keep", "rms:0.1")
    said = told("restore", tmp_path / "m.qfz", tmp_path / "r.safetensors", "--refine", "high-noise")
    assert "1 of 2 tensors refined" in said
    assert "lstm: the recorded chain instead: high-noise: a trained enhancer is needed" in said
    plain = told("restore", tmp_path / "m.qfz", tmp_path / "p.npz")
    assert "refined" not in plain
    refined = load_file(tmp_path / "r.safetensors")
    with np.load(tmp_path / "p.npz") as restored, open_archive(tmp_path / "m.qfz") as archive:
        error = archive.tensor("w").error
        assert error is not None
        moved = np.abs(refined["w"].numpy() - restored["w"])
        assert 0 < moved.max() <= error.max_abs * (1 + 1e-5)
        assert np.linalg.norm(refined["w"].numpy() - matrix) < np.linalg.norm(restored["w"] - matrix)
    assert refined["kept"].tolist() == list(range(7))
    assert "hhl" in told("restore", tmp_path / "m.qfz", tmp_path / "s.safetensors", "--refine", "hhl,qft")


def relative_rms(path: Path, name: str) -> float:
    with open_archive(path) as archive:
        error = archive.tensor(name).error
    assert error is not None
    return error.relative_rms


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("compress", "absent"), 1, "SourceUnavailable: absent"),
        (("compress", "m.safetensors", "m.safetensors"), 2, "one path for both"),
        (("compress", "m.safetensors", "--keep", "half"), 2, "expected one of exact, rms"),
        (("compress", "m.safetensors", "--keep", "network:2"), 2, "expected a relative error between 0 and 1"),
        (("compress", "m.safetensors", "--bits", "s.csv"), 2, "expected --keep rms:RATIO beside it"),
        (("compress", "m.safetensors", "--keep", "rms-all:1"), 2, "expected a relative error between 0 and 1"),
        (("restore", "a.qfz", "r.safetensors", "--refine", "luck"), 2, "expected one of sparse-activations"),
        (("restore", "a.qfz", "r.npz", "--refine", "qsvt"), 2, "expected a target *.safetensors"),
        (("restore", "a.qfz", "r.npy", "--tensor", "w", "--refine", "qsvt"), 2, "expected no --tensor beside it"),
        (("restore", "m.safetensors", "r"), 1, "BadRecord: m.safetensors: expected a whole archive"),
        (("restore", "a.qfz", "r", "--slice", "1:2"), 2, "expected --tensor"),
        (("restore", "a.qfz", "r.npy", "--tensor", "none"), 1, "expected a tensor named 'none'"),
        (("restore", "a.qfz", "r.npy", "--tensor", "w", "--slice", "a"), 2, "expected A:B"),
        (("restore", "a.qfz", "none/r"), 1, "expected a folder that can be written"),
        (("inspect", "absent"), 1, "SourceUnavailable: absent"),
        (("verify", "absent"), 1, "SourceUnavailable: absent"),
    ],
)
def test_what_goes_wrong_is_one_message_and_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    weights(tmp_path / "m.safetensors")
    told("compress", "m.safetensors", "a.qfz")
    assert said in told(*arguments, code=code)
