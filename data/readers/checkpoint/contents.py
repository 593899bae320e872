"""What does a checkpoint hold, whichever way its files are written?"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.errors import SourceUnavailable
from data.schemas.tensor import Octets, Tensor

Format = Literal["safetensors", "torch", "npz", "npy"]


@dataclass(frozen=True, slots=True, eq=False)
class CheckpointFile:
    """One file of a checkpoint.

    Args:
        path: where it lies.
        leaves: what in it is no tensor: of a safetensors or npy file its header, as it stands there; of an npz file the
            headers of its arrays as JSON (:mod:`data.readers.checkpoint.numpy_file`); of a torch file the state as JSON
            (:mod:`data.readers.checkpoint.torch_state`); of the index of shards the whole of it.
        tensors: in the order of the file. Those of a torch file lie in memory, all others are read when asked for.
    """

    path: Path
    leaves: bytes
    tensors: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CheckpointContents:
    """A whole checkpoint.

    Args:
        format: how its files are written.
        files: one; or, where a model is cut into shards, their index and then the shards by name.
    """

    format: Format
    files: tuple[CheckpointFile, ...]

    @property
    def leaves(self) -> bytes:
        """What is no tensor, of all files in order."""
        return b"".join(file.leaves for file in self.files)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Every tensor, in the order of the files; names are unique."""
        return tuple(tensor for file in self.files for tensor in file.tensors)


@dataclass(frozen=True, slots=True)
class FileTensor:
    """A tensor that lies in a file as it is (:class:`data.schemas.tensor.Tensor`)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    offset: int
    size_bytes: int

    def pieces(self, piece_bytes: int) -> Iterator[Octets]:
        """Yield the bytes in order, ``piece_bytes`` at a time.

        Raises:
            SourceUnavailable: the file is gone or was cut since it was opened.
        """
        # read, not mapped: a mapped file that its writer cuts short kills the process with SIGBUS
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                for start in range(0, self.size_bytes, piece_bytes):
                    piece = file.read(min(piece_bytes, self.size_bytes - start))
                    if len(piece) < min(piece_bytes, self.size_bytes - start):
                        raise SourceUnavailable(f"{self.path}: cut short while it was read, at {self.name}")
                    yield piece
        except OSError as error:
            raise SourceUnavailable(f"{self.path}: {error.strerror}") from error
