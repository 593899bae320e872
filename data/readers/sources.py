"""Which sources are there? Each a frozen dataclass of its options, tagged by kind; calling it reads."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, with_config

from data.readers.reading import Reading
from data.readers.snapshot import read_snapshot

FORM = ConfigDict(extra="forbid")
SAMPLES = Path(__file__).resolve().parent.parent / "samples"


@with_config(FORM)
@dataclass(frozen=True, slots=True)
class Sample:
    """A sample cluster that ships with the project."""

    kind: Literal["sample"] = "sample"
    name: Annotated[
        Literal["small", "fragmented", "over-cap"],
        Field(title="Sample", description="Which of the shipped clusters"),
    ] = "small"

    @property
    def live(self) -> bool:
        """A file; a retry does not help."""
        return False

    @property
    def folder(self) -> Path:
        """Where the paths of checkpoints start."""
        return SAMPLES / self.name

    def __call__(self) -> Reading:
        """Read the sample; see :func:`data.readers.snapshot.read_snapshot`."""
        return read_snapshot(self.folder / "cluster.json")


@with_config(FORM)
@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A snapshot in our own JSON format."""

    path: Annotated[Path, Field(title="Snapshot", description="cluster.json; its schema: data/schemas/snapshot.json")]
    kind: Literal["snapshot"] = "snapshot"

    @property
    def live(self) -> bool:
        """A file; a retry does not help."""
        return False

    @property
    def folder(self) -> Path:
        """Where the paths of checkpoints start."""
        return self.path.parent

    def __call__(self) -> Reading:
        """Read the file; see :func:`data.readers.snapshot.read_snapshot`."""
        return read_snapshot(self.path)


Source = Annotated[Sample | SnapshotFile, Field(discriminator="kind")]
"""Any of them, told apart by ``kind``."""
