"""Which checkpoints lie where, and which of them are archived?"""

from dataclasses import dataclass
from typing import Literal

from pydantic import with_config

from data.schemas.units import RECORD, Count, Id, Sha256


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
    """A checkpoint file; ``path`` is relative to the snapshot's file."""

    id: Id
    job: Id | None
    path: str
    format: Literal["safetensors", "torch"]
    step: Count = 0
    sha256: Sha256 | None = None
    archive: Archive | None = None
