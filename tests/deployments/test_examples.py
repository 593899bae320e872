"""The examples do what their first lines promise."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from data.errors import BadRecord, SourceUnavailable
from deployments.examples.distributed_checkpoint import METADATA, ArchiveReader, ArchiveWriter
from deployments.examples.trainer_callback import archive_checkpoints, archive_step
from tasks.codecs.archive import open_archive
from tasks.codecs.restore import restore_checkpoint

ALONE = pytest.mark.filterwarnings(
    # DCP without a process group says so, each time
    "ignore:.*torch.distributed is disabled, unavailable or uninitialized:UserWarning"
)


def trained() -> dict[str, Any]:
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.BatchNorm1d(4)).to(torch.float32)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 6)).square().sum().backward()
    optimizer.step()
    half = {name: value.to(torch.bfloat16) for name, value in model.state_dict().items()}
    return {"model": model.state_dict(), "half": half, "optimizer": optimizer.state_dict(), "step": 7, "name": "ü"}


def emptied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return torch.zeros_like(value)
    if isinstance(value, dict):
        return {key: emptied(item) for key, item in value.items()}
    return [emptied(item) for item in value] if isinstance(value, list) else type(value)() if value else value


@pytest.mark.slow
@ALONE
def test_a_distributed_checkpoint_goes_through_archives_and_comes_back(tmp_path: Path) -> None:
    state = trained()
    save(state, storage_writer=ArchiveWriter(tmp_path / "step-1"))
    assert sorted(path.name for path in (tmp_path / "step-1").iterdir()) == [METADATA, "rank-0.qfz"]
    loaded = emptied(state)
    load(loaded, storage_reader=ArchiveReader(tmp_path / "step-1"))
    assert loaded["step"] == 7
    assert loaded["name"] == "ü"
    for part in ("model", "half"):
        assert all(torch.equal(loaded[part][name], tensor) for name, tensor in state[part].items())
    for number, moments in state["optimizer"]["state"].items():
        assert all(torch.equal(loaded["optimizer"]["state"][number][name], moments[name]) for name in moments)
    assert loaded["optimizer"]["param_groups"] == state["optimizer"]["param_groups"]


@ALONE
@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree["state"]["step"].update(value=["../rank-0.qfz", "step"]),
        lambda tree: tree["state"]["model.0.weight"].update(dtype="torch.load"),
        lambda tree: tree.pop("paths"),
    ],
)
def test_metadata_that_was_changed_is_refused(tmp_path: Path, change: Any) -> None:
    state = trained()
    save(state, storage_writer=ArchiveWriter(tmp_path))
    tree = json.loads((tmp_path / METADATA).read_text())
    change(tree)
    (tmp_path / METADATA).write_text(json.dumps(tree))
    with pytest.raises(BadRecord, match="the metadata of a checkpoint"):
        ArchiveReader(tmp_path).read_metadata()
    with pytest.raises(SourceUnavailable):
        ArchiveReader(tmp_path / "absent").read_metadata()


def saved(folder: Path, step: int) -> Path:
    """Write what a Trainer writes at a step of its training."""
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir()
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(300, 200, generator=generator)
    for _ in range(step):
        weight = weight + 1e-6 * torch.randn(300, 200, generator=generator)
    save_file({"w": weight}, checkpoint / "model.safetensors")
    torch.save({"state": {0: {"exp_avg": weight * 0.1}}, "param_groups": [{"lr": 1e-3}]}, checkpoint / "optimizer.pt")
    return checkpoint


@pytest.mark.slow
def test_each_step_is_a_difference_to_the_one_before(tmp_path: Path) -> None:
    checkpoints = [saved(tmp_path, step) for step in (2, 4, 10)]
    written = [archive_step(checkpoint, tmp_path / "archives") for checkpoint in checkpoints]
    assert [path.name for path in written[2]] == ["model-00000010.qfz", "optimizer-00000010.qfz"]
    with open_archive(written[2][0]) as archive:
        assert archive.depth == 2
    restore_checkpoint(written[2][0], tmp_path / "r.safetensors")
    assert (tmp_path / "r.safetensors").read_bytes() == (checkpoints[2] / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match="checkpoint-<step>"):
        archive_step(tmp_path / "archives", tmp_path / "archives")


@pytest.mark.slow
def test_a_trainer_archives_what_it_saves(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the example needs transformers and accelerate")
    pytest.importorskip("accelerate", reason="the example needs transformers and accelerate")
    config = transformers.BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                                     intermediate_size=16, max_position_embeddings=16)  # fmt: skip
    model = transformers.BertForSequenceClassification(config)
    rows = [{"input_ids": torch.arange(8) + number, "labels": torch.tensor(number % 2)} for number in range(8)]
    arguments = transformers.TrainingArguments(
        tmp_path / "out", max_steps=4, save_steps=2, per_device_train_batch_size=4, report_to=[], use_cpu=True,
        disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    callback = archive_checkpoints(tmp_path / "archives")
    transformers.Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[callback]).train()
    found = sorted(path.name for path in (tmp_path / "archives").iterdir())
    assert found == [f"{part}-{step:08}.qfz" for part in ("model", "optimizer") for step in (2, 4)]
    restore_checkpoint(tmp_path / "archives" / "model-00000004.qfz", tmp_path / "r.safetensors")
    last = load_file(tmp_path / "out" / "checkpoint-4" / "model.safetensors")
    assert all(torch.equal(tensor, last[name]) for name, tensor in load_file(tmp_path / "r.safetensors").items())
