"""How does a Hugging Face Trainer archive each checkpoint that it saves, as differences to the one before?

    trainer = Trainer(..., callbacks=[archive_checkpoints(Path("archives"))])

Of ``checkpoint-<step>`` the weights and the optimizer's state go into ``model-<step>.qfz`` and
``optimizer-<step>.qfz``. The Trainer may then delete its own copies as it likes (``save_total_limit``).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.codecs.compress import compress_checkpoint
from tasks.codecs.keeping import Packing

if TYPE_CHECKING:
    from transformers import TrainerCallback  # type: ignore[import-not-found, unused-ignore]

PARTS = {
    "model": ("model.safetensors.index.json", "model.safetensors"),
    "optimizer": ("optimizer.pt",),
}


def archive_checkpoints(folder: Path, packing: Packing = Packing()) -> "TrainerCallback":  # noqa: B008  frozen
    """Return a callback that archives each checkpoint in ``folder`` when it is saved.

    Args:
        folder: where the archives go; a base is always in it, so that archives can be restored.
        packing: what is kept, with how much effort, how long a chain of differences may be.
    """
    from transformers import TrainerCallback

    class ArchiveCheckpoints(TrainerCallback):  # type: ignore[misc, unused-ignore]
        """Archives what was saved, on the first process alone."""

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            if state.is_world_process_zero:
                archive_step(Path(args.output_dir) / f"checkpoint-{state.global_step}", folder, packing)

    return ArchiveCheckpoints()


def archive_step(checkpoint: Path, folder: Path, packing: Packing = Packing()) -> list[Path]:  # noqa: B008  frozen
    """Archive what a Trainer saved of one step, with the latest archive of an earlier step as base.

    Args:
        checkpoint: the folder ``checkpoint-<step>``.
        folder: where the archives go.
        packing: how to pack.

    Returns:
        The archives.

    Raises:
        ValueError: the folder's name does not end in a step.
        SourceUnavailable, BadRecord: as :func:`tasks.codecs.compress.compress_checkpoint`.
    """
    _, _, step = checkpoint.name.rpartition("-")
    if not step.isdecimal():
        raise ValueError(f"expected a folder checkpoint-<step>, found {checkpoint.name}")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for part, files in PARTS.items():
        source = next((checkpoint / name for name in files if (checkpoint / name).exists()), None)
        if source is not None:
            archive = folder / f"{part}-{int(step):08}.qfz"
            earlier = [path for path in sorted(folder.glob(f"{part}-*.qfz")) if path.name < archive.name]
            base = earlier[-1] if earlier else None
            compress_checkpoint(source, archive, base=base, packing=packing)
            written.append(archive)
    return written
