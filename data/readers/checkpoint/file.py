"""Which tensors does a checkpoint hold, and what else? Read without executing anything that it says."""

import zipfile
from pathlib import Path

from data.errors import BadRecord, SourceUnavailable
from data.readers.checkpoint.contents import CheckpointContents, Format
from data.readers.checkpoint.numpy_file import MAGIC, read_npy, read_npz
from data.readers.checkpoint.safetensors_file import (
    HEADER_BYTES_MAX,
    INDEX_SUFFIX,
    only_checkpoint_in,
    read_safetensors,
    read_shards,
)


def read_checkpoint(path: Path) -> CheckpointContents:
    """Read a safetensors, torch (since version 1.6), npz or npy file, or safetensors shards with their index.

    The contents decide which it is, not the name; only an index of shards is known by its name
    (``*.safetensors.index.json``). Of a folder the one index in it is read, or the one safetensors file. A torch file
    is unpickled by torch's restricted reader (``weights_only=True``), which builds tensors, numbers, text and plain
    containers and calls nothing else.

    Raises:
        SourceUnavailable: a file is missing or cannot be read.
        BadRecord: a file is cut, damaged, of another kind, or holds what a checkpoint has no need of; names the
            file, what was expected and what was found.
    """
    if path.is_dir():
        path = only_checkpoint_in(path)
    kind = checkpoint_format(path)
    if path.name.endswith(INDEX_SUFFIX):
        return CheckpointContents(kind, read_shards(path))
    if kind == "torch":
        # the most costly import of all, and a checkpoint that is compressed should not pay for it in memory
        from data.readers.checkpoint.torch_file import read_torch

        return CheckpointContents(kind, (read_torch(path),))
    return CheckpointContents(kind, ({"safetensors": read_safetensors, "npz": read_npz, "npy": read_npy}[kind](path),))


def checkpoint_format(path: Path) -> Format:
    """Tell from its first bytes what a file seems to be.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadRecord: it is none of those that :func:`read_checkpoint` reads.
    """
    try:
        if path.exists() and not path.is_file():
            raise BadRecord(str(path), "a checkpoint file", "a folder or a device")
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror}") from error
    if path.name.endswith(INDEX_SUFFIX) and start.lstrip().startswith(b"{"):
        return "safetensors"
    if start.startswith(MAGIC):
        return "npy"
    if start.startswith(b"PK\x03\x04"):
        return "npz" if _holds_arrays(path) else "torch"
    if len(start) == 9 and start.endswith(b"{") and int.from_bytes(start[:8], "little") <= HEADER_BYTES_MAX:
        return "safetensors"
    found = f"a file that starts with {start!r}" if start else "an empty file"
    raise BadRecord(str(path), "a safetensors, torch (zip, torch >= 1.6), npz or npy file", found)


def _holds_arrays(path: Path) -> bool:
    """Return whether the first entry of a zip file is an array; a damaged one is left to torch's reader to refuse."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()[0].endswith(".npy")
    except (zipfile.BadZipFile, IndexError, OSError, ValueError, NotImplementedError, RuntimeError):
        return False
