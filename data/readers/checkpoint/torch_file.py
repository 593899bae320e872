"""Which tensors does a torch file hold? Read by torch's restricted reader, which calls nothing that the file names."""

import zipfile
from pathlib import Path
from typing import BinaryIO

import torch

from data.errors import BadRecord, SourceUnavailable
from data.readers.checkpoint.contents import CheckpointFile
from data.readers.checkpoint.torch_state import pack_state
from data.schemas.tensor import tensor_bytes

EXPANSION_MAX = 16
"""How much larger the tensors of a torch file may be than the file: views share their storage, and a hostile file could
declare a view of one number as a terabyte."""


def read_torch(path: Path) -> CheckpointFile:
    """Check the zip file, unpickle the state with the restricted reader, and name its tensors by their paths.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadRecord: it is damaged, or holds what a checkpoint has no need of.
    """
    try:
        with path.open("rb") as file:  # not the path: by its name alone torch would take it for safetensors
            _check_zip(file, path)
            file.seek(0)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except (FileNotFoundError, PermissionError) as error:
        raise SourceUnavailable(f"{path}: {error.strerror}") from error
    except BadRecord:
        raise
    except Exception as error:  # a damaged zip or pickle fails in any way there is; none of them is ours to crash on
        first_line = str(error).strip().partition("\n")[0]
        raise BadRecord(
            str(path),
            "a whole torch file of tensors, numbers, text and plain containers (weights_only)",
            f"{type(error).__name__}: {first_line}",
        ) from error
    packed = pack_state(state, str(path))
    total = sum(tensor_bytes(tensor.dtype, tensor.shape) for tensor in packed.tensors)
    allowed = EXPANSION_MAX * path.stat().st_size + 64 * 1024 * 1024
    if total > allowed:
        raise BadRecord(str(path), f"tensors of at most {allowed} bytes in sum", f"{total} bytes")
    return CheckpointFile(path, packed.leaves, packed.tensors)


def _check_zip(file: BinaryIO, path: Path) -> None:
    """Refuse what torch.save does not write, and contents that do not match their CRC (torch itself does not look)."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise BadRecord(str(path), "a torch file, whose entries are stored as they are", "a compressed zip file")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise BadRecord(str(path), "entries no larger than the file", "a zip file that declares more than it holds")
        for entry in entries:
            if entry.CRC == 0:  # torch can be told not to compute them (set_crc32_options)
                continue
            with archive.open(entry) as content:
                while content.read(1024 * 1024):
                    pass
