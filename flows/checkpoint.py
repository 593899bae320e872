"""Checkpoints alone: compress one, restore, inspect or verify an archive."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal, TypedDict

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task
from pydantic import BaseModel, ConfigDict, Field

from data.errors import SourceUnavailable
from flows.archive_commands import beside
from flows.permitted import require_permitted
from flows.watch import Listener, artifact_progress
from tasks.codecs.compress import Progress
from tasks.codecs.container import read_index
from tasks.codecs.keeping import CHAIN_MAX, Packing
from tasks.codecs.restore import Restoring
from tasks.compress import compress_to_archive, restore_from_archive, verify_stored
from tasks.report.markdown_text import code, escaped

STEP = 0.05
"""Share of a phase after which its progress is told again."""


def _may_help(_task: Task[..., object], _run: TaskRun, state: State[object]) -> bool:
    """Ask again only where a file did not answer or another process writes it; a damaged one stays damaged."""
    return isinstance(state.result(raise_on_failure=False), SourceUnavailable)


class _Patience(TypedDict):
    retries: int
    retry_delay_seconds: float
    retry_condition_fn: Callable[[Task[..., object], TaskRun, State[object]], bool]


PATIENCE: _Patience = {"retries": 2, "retry_delay_seconds": 5.0, "retry_condition_fn": _may_help}
"""How often a task asks again, and after how many seconds."""

Told = dict[str, object]
"""What came of it, by name."""


class _Asked(BaseModel):
    """What every request says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: int = Field(default=1, ge=1, le=1024, title="Threads", description="They do not change a byte")


class Compress(_Asked):
    """Write an archive that holds every bit of a checkpoint, or as much as a bound allows."""

    do: Literal["compress"] = "compress"
    checkpoint: Path = Field(
        title="Checkpoint", description="safetensors, torch, npz, npy; a shard index, or a folder with one"
    )
    archive: Path | None = Field(default=None, title="Archive", description="Empty puts it beside the checkpoint")
    base: Path | None = Field(
        default=None, title="Base", description="An archive of an earlier checkpoint, to store differences to"
    )
    keep: str = Field(
        default="exact",
        title="What is kept",
        description="exact; or a bound: rms:0.01, rms-all:0.01, abs:1e-3, int8, int4, network:0.01, cpu-only:0.05",
    )
    exact: tuple[str, ...] = Field(
        default=(), title="Tensors that stay exact", description="Under a bound; * stands for any letters"
    )
    effort: Literal["fast", "small"] = Field(default="fast", title="Effort")
    chain: int = Field(
        default=CHAIN_MAX, ge=0, le=64, title="Chain", description="Archives that may lie one above the other"
    )
    verify: bool = Field(default=True, title="Verify", description="Read the archive back before it counts")

    def __call__(self, progress: Progress) -> tuple[Path, Told]:
        """Compress; return the archive."""
        archive = self.archive or beside(self.checkpoint)
        packing = Packing(self.keep, self.exact, self.effort, self.workers, self.chain, self.verify)
        compress = compress_to_archive.with_options(**PATIENCE)
        done = compress(self.checkpoint, archive, base=self.base, packing=packing, progress=progress)
        return archive, {**asdict(done), "ratio": round(done.ratio, 4)}


class Restore(_Asked):
    """Write the checkpoint that an archive holds."""

    do: Literal["restore"] = "restore"
    archive: Path = Field(title="Archive")
    target: Path = Field(title="Target", description="A file, or a folder for shards")
    bases: tuple[Path, ...] = Field(default=(), title="Bases", description="Archives or folders, if not beside it")
    verify: bool = Field(default=True, title="Verify", description="Read the checkpoint back before it counts")

    def __call__(self, progress: Progress) -> tuple[Path, Told]:
        """Restore; return the checkpoint."""
        restoring = Restoring(self.bases, self.workers, self.verify)
        restore = restore_from_archive.with_options(**PATIENCE)
        return self.target, asdict(restore(self.archive, self.target, restoring=restoring, progress=progress))


class Inspect(_Asked):
    """Say what an archive holds; only its index is read."""

    do: Literal["inspect"] = "inspect"
    archive: Path = Field(title="Archive")

    def __call__(self, progress: Progress) -> tuple[Path, Told]:  # noqa: ARG002  it takes no time
        """Inspect; return the archive."""
        index = read_index(self.archive)
        return self.archive, {
            "source": f"{index.source.format}, {index.source.size_bytes} bytes, sha256 {index.source.sha256}",
            "archive_bytes": self.archive.stat().st_size,
            "tensors": len(index.tensors),
            "base": None if index.base is None else index.base.file,
            "exact": all(stored.error is None for stored in index.tensors),
        }


class Verify(_Asked):
    """Read every byte of an archive, decode it, hash it before and after, and make what has recipes."""

    do: Literal["verify"] = "verify"
    archive: Path = Field(title="Archive")
    bases: tuple[Path, ...] = Field(default=(), title="Bases", description="Archives or folders, if not beside it")
    quick: bool = Field(default=False, title="Quick", description="Do not make tensors that have a recipe")

    def __call__(self, progress: Progress) -> tuple[Path, Told]:
        """Verify; return the archive."""
        verify = verify_stored.with_options(**PATIENCE)
        done = verify(self.archive, bases=self.bases, workers=self.workers, quick=self.quick, progress=progress)
        return self.archive, asdict(done)


class CheckpointParams(BaseModel):
    """One thing to do with a checkpoint or its archive."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ask: Annotated[Compress | Restore | Inspect | Verify, Field(discriminator="do")] = Field(title="What to do")


@flow(name="checkpoint", flow_run_name="{params.ask.do}")
def handle_checkpoint(params: CheckpointParams) -> str:
    """Compress, restore, inspect or verify, and publish what came of it.

    Args:
        params: what to do.

    Returns:
        The file or folder that was written or looked at.

    Raises:
        ValueError: the archive would take the place of its checkpoint, or there is no such bound.
        SourceUnavailable: a file is missing or cannot be read, also after retries.
        BadRecord: a file is damaged, or something else stands where one was to be written.
    """
    require_permitted(params)
    progress = _shares(artifact_progress(params.ask.do, key="checkpoint-progress"))
    path, told = params.ask(progress)
    progress("finished", 1, 1)
    figures = (f"- {name}: {escaped(str(value))}" for name, value in told.items())
    lines = [f"**{params.ask.do}**: {code(str(path.resolve()))}", *figures]
    create_markdown_artifact("\n".join(lines), key="checkpoint-summary", description="What came of it")
    create_link_artifact(
        path.resolve().as_uri(), key="checkpoint-result", link_text=escaped(path.name), description="The result"
    )
    return str(path)


def _shares(listen: Listener) -> Progress:
    """Turn bytes into shares of a phase, told at most twenty times in each: every one is a call of the server."""
    done: dict[str, int] = {}
    told: dict[str, float] = {}

    def progress(phase: str, octets: int, total: int) -> None:
        done[phase] = done.get(phase, 0) + octets
        share = min(1.0, done[phase] / max(1, total))
        if phase not in told or share - told[phase] >= STEP:
            told[phase] = share
            listen(phase, share)

    return progress
