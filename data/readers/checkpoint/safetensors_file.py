"""Which tensors does a safetensors file hold, or a model that is cut into shards with an index?"""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open

from data.errors import BadRecord, SourceUnavailable
from data.readers.checkpoint.contents import CheckpointFile, FileTensor
from data.schemas.tensor import tensor_bytes

HEADER_BYTES_MAX = 100_000_000
"""As safetensors itself limits it; held against an index of shards too."""

INDEX_SUFFIX = ".safetensors.index.json"
SHARDS_MAX = 99_999
"""The index of an archive counts files up to 100,000."""


def read_safetensors(path: Path) -> CheckpointFile:
    """Let the library judge the file, then find each tensor's place from the header.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadRecord: it is cut, damaged or no safetensors file.
    """
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
    return CheckpointFile(path, length + text, tensors)


def read_shards(index: Path) -> tuple[CheckpointFile, ...]:
    """Read an index as Hugging Face writes it (``{"weight_map": {tensor: file}}``), and the shards that it names.

    Returns:
        The index itself, without tensors, then the shards by name.

    Raises:
        SourceUnavailable: the index or a shard is missing or cannot be read.
        BadRecord: one of them is damaged, or they do not belong together.
    """
    text = _index_text(index)
    files = _weight_map(index, text)
    shards = tuple(read_safetensors(index.with_name(name)) for name in sorted(set(files.values())))
    held: dict[str, str] = {}
    for shard in shards:
        for tensor in shard.tensors:
            if tensor.name in held:
                twice = f"it in {held[tensor.name]} and in {shard.path.name}"
                raise BadRecord(f"{index}: {tensor.name}", "a tensor in one shard", twice)
            held[tensor.name] = shard.path.name
    for name, file in files.items():
        if held.get(name) != file:
            raise BadRecord(f"{index}: {name}", f"a tensor in {file}", f"it in {held.get(name, 'no shard')}")
    return (CheckpointFile(index, text, ()), *shards)


def only_checkpoint_in(folder: Path) -> Path:
    """Return the index of shards in a folder, or the one safetensors file where there is no index.

    Raises:
        BadRecord: there is none, or more than one, so that nobody can say which is meant.
    """
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise SourceUnavailable(f"{folder}: {error.strerror}") from error
    for suffix in (INDEX_SUFFIX, ".safetensors"):
        found = [name for name in names if name.endswith(suffix)]
        if len(found) == 1:
            return folder / found[0]
        if found:
            break
    said = ", ".join(found[:4]) or "neither"
    raise BadRecord(str(folder), f"one *{INDEX_SUFFIX} or one *.safetensors file in the folder", said)


def _index_text(index: Path) -> bytes:
    try:
        with index.open("rb") as file:
            text = file.read(HEADER_BYTES_MAX + 1)
    except OSError as error:
        raise SourceUnavailable(f"{index}: {error.strerror}") from error
    if len(text) > HEADER_BYTES_MAX:
        raise BadRecord(str(index), f"an index of at most {HEADER_BYTES_MAX} bytes", "a longer one")
    return text


def _weight_map(index: Path, text: bytes) -> dict[str, str]:
    """Return the shard of each tensor; names of files without a folder, so that nothing outside of it is read."""
    expected = 'JSON like {"weight_map": {"a": "model-00001-of-00002.safetensors"}}'
    try:
        entries = json.loads(text)["weight_map"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadRecord(str(index), expected, str(error)) from error
    if not isinstance(entries, dict) or not entries:
        raise BadRecord(str(index), expected, repr(entries)[:80])
    for name, file in entries.items():
        bare = isinstance(file, str) and file not in ("", "..") and Path(file).name == file
        if not bare or "\\" in file or "\0" in file:
            raise BadRecord(f"{index}: weight_map.{name}", "the name of a file beside the index", repr(file)[:80])
    if len(set(entries.values())) > SHARDS_MAX:
        raise BadRecord(str(index), f"at most {SHARDS_MAX} shards", str(len(set(entries.values()))))
    return entries


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
