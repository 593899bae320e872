"""Which checkpoints lie where, and which of them are archived?"""

from dataclasses import dataclass
from typing import Literal

from pydantic import with_config

from data.schemas.units import RECORD, Count, Id, Sha256

CheckpointFormat = Literal["safetensors", "shards", "torch", "npz", "npy"]
"""How the files of a checkpoint are written; shards are safetensors files with an index."""


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Archive:
    """A verified compressed copy; ``path`` is relative to the plan that made it."""

    path: str
    sha256: Sha256
    size_bytes: int


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint; ``path`` is relative to the snapshot's file.

    Args:
        id: of the checkpoint.
        job: whose state it is; None where it belongs to nobody.
        path: of its file; of shards their index (``*.safetensors.index.json``), or the folder with the one index in it.
        format: how its files are written.
        step: of the training.
        sha256: of the file; of shards the SHA-256 of the digests of index and shards, in the order of their names.
        archive: where there is one already.
    """

    id: Id
    job: Id | None
    path: str
    format: CheckpointFormat
    step: Count = 0
    sha256: Sha256 | None = None
    archive: Archive | None = None
