"""Which tensors does a checkpoint file hold, and what else? Read without executing anything that it says."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import torch
from safetensors import SafetensorError, safe_open

from data.errors import BadRecord, SourceUnavailable
from data.readers.checkpoint.torch_state import pack_state
from data.schemas.tensor import Octets, Tensor, tensor_bytes

Format = Literal["safetensors", "torch"]

HEADER_BYTES_MAX = 100_000_000
"""As safetensors itself limits it."""

EXPANSION_MAX = 16
"""How much larger the tensors of a torch file may be than the file: views share their storage, and a hostile file could
declare a view of one number as a terabyte."""


@dataclass(frozen=True, slots=True, eq=False)
class CheckpointFile:
    """What a checkpoint holds.

    Args:
        format: how it is written.
        leaves: what is no tensor: of a safetensors file its header with the length before it, as it stands there; of a
            torch file the state as JSON (:mod:`data.readers.checkpoint.torch_state`).
        tensors: in the order of the file. Those of a safetensors file are read when asked for, those of a torch file
            lie in memory.
    """

    format: Format
    leaves: bytes
    tensors: tuple[Tensor, ...]


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


def read_checkpoint(path: Path) -> CheckpointFile:
    """Read a safetensors file, or a torch file as ``torch.save`` writes it since version 1.6.

    The contents decide which it is, not the name. A torch file is unpickled by torch's restricted reader
    (``weights_only=True``), which builds tensors, numbers, text and plain containers and calls nothing else.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadRecord: the file is cut, damaged, of another kind, or holds what a checkpoint has no need of; names the
            file, what was expected and what was found.
    """
    return _read_torch(path) if checkpoint_format(path) == "torch" else _read_safetensors(path)


def checkpoint_format(path: Path) -> Format:
    """Tell from its first bytes what a file seems to be.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadRecord: it is neither safetensors nor torch's zip file.
    """
    try:
        if path.exists() and not path.is_file():
            raise BadRecord(str(path), "a checkpoint file", "a folder or a device")
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror}") from error
    if start.startswith(b"PK\x03\x04"):
        return "torch"
    if len(start) == 9 and start.endswith(b"{") and int.from_bytes(start[:8], "little") <= HEADER_BYTES_MAX:
        return "safetensors"
    found = f"a file that starts with {start!r}" if start else "an empty file"
    raise BadRecord(str(path), "a safetensors file, or a torch file (zip, torch >= 1.6)", found)


def _read_safetensors(path: Path) -> CheckpointFile:
    """Let the library judge the file, then find each tensor's place from the header."""
    try:
        with safe_open(path, framework="numpy"):
            pass
        with path.open("rb") as file:
            length = file.read(8)
            text = file.read(int.from_bytes(length, "little"))
        entries = json.loads(text)
        tensors = tuple(_place(path, 8 + len(text), name, entries[name]) for name in entries if name != "__metadata__")
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadRecord(str(path), "a whole safetensors file", str(error)) from error
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error}") from error
    tensors = tuple(sorted(tensors, key=lambda tensor: (tensor.offset, tensor.size_bytes, tensor.name)))
    end = 8 + len(text)
    for tensor in tensors:
        if tensor.offset != end:
            raise BadRecord(f"{path}: {tensor.name}", f"a tensor at byte {end}", f"one at byte {tensor.offset}")
        end += tensor.size_bytes
    if end != path.stat().st_size:
        raise BadRecord(str(path), f"{end} bytes", f"{path.stat().st_size} bytes")
    return CheckpointFile("safetensors", length + text, tensors)


def _place(path: Path, body: int, name: str, entry: Mapping[str, object]) -> FileTensor:
    """Return the tensor of one entry of the header; ``body`` is where the tensors start in the file."""
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not (isinstance(dtype, str) and isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2):
        raise ValueError(f"{name}: an entry that is not dtype, shape and data_offsets")
    start, stop = offsets
    size = tensor_bytes(dtype, tuple(shape))
    if stop - start != size:
        raise ValueError(f"{name}: {stop - start} bytes for {dtype} {shape}")
    return FileTensor(name, dtype, tuple(shape), path, body + start, size)


def _read_torch(path: Path) -> CheckpointFile:
    """Check the zip file, unpickle the state with the restricted reader, and name its tensors by their paths."""
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
    return CheckpointFile("torch", packed.leaves, packed.tensors)


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
