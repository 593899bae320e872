"""How does torch's distributed checkpoint (DCP) store through archives?

    import torch.distributed.checkpoint as dcp

    dcp.save(state, storage_writer=ArchiveWriter(Path("step-100")))
    dcp.load(state, storage_reader=ArchiveReader(Path("step-100")))

Each rank writes one archive, ``rank-<n>.qfz``; the coordinator writes ``metadata.json``. DCP's own storage keeps its
metadata and every value that is no tensor as a pickle; here both are JSON, and nothing is unpickled that was read.
"""

import io
import json
import os
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.distributed._shard._utils import narrow_tensor_by_index
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import (
    LoadItemType,
    LoadPlan,
    LoadPlanner,
    SavePlan,
    SavePlanner,
    WriteItemType,
)
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter, WriteResult
from torch.futures import Future

from data.errors import BadRecord, SourceUnavailable
from data.readers.checkpoint.torch_state import pack_state, torch_type, unpack_state
from data.whole_file import whole_file
from tasks.codecs import qfz
from tasks.codecs.keeping import Packing

METADATA = "metadata.json"
METADATA_BYTES_MAX = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a piece of a tensor, or a value, is stored.

    Args:
        file: the archive of a rank, in the folder of the checkpoint.
        name: of the tensor in it.
    """

    file: str
    name: str


class ArchiveWriter(StorageWriter):
    """Writes the share of each rank into an archive of its own.

    Args:
        folder: of this checkpoint, on a disk that all ranks share.
        packing: what is kept, with how much effort, on how many threads.
    """

    def __init__(self, folder: Path, packing: Packing = Packing()) -> None:  # noqa: B008  frozen
        self.folder = folder
        self.packing = packing

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begin a checkpoint, in another folder if one is given."""
        self.folder = self.folder if checkpoint_id is None else Path(checkpoint_id)

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Make the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        """Leave the plan of a rank as it is."""
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """Give each rank its archive."""
        return [replace(plan, storage_data=f"rank-{rank}.qfz") for rank, plan in enumerate(plans)]

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Write what the plan gives this rank."""
        tensors: dict[str, Any] = {}
        results = []
        for item in plan.items:
            data = planner.resolve_data(item)
            if item.type == WriteItemType.BYTE_IO:
                name = item.index.fqn
                tensors[name] = _as_json(data, name)
            else:
                offset = ",".join(str(at) for at in item.index.offset or ())
                name = f"{item.index.fqn} [{offset}]"
                tensors[name] = data.detach().cpu()  # type: ignore[union-attr]  # no bytes here
            size = int(tensors[name].nbytes)
            results.append(WriteResult(item.index, size, Place(str(plan.storage_data), name)))
        qfz.save_file(tensors, self.folder / str(plan.storage_data), packing=self.packing)
        done: Future[list[WriteResult]] = Future()
        done.set_result(results)
        return done

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Write the metadata, last of all: without it there is no checkpoint."""
        places = {result.index: result.storage_data for of_rank in results for result in of_rank}
        text = json.dumps({"state": _entries(metadata, places), "paths": metadata.planner_data}, separators=(",", ":"))
        with whole_file(self.folder / METADATA) as file:
            file.write(text.encode("ascii"))

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Tell whether a folder of that name can be made."""
        return Path(checkpoint_id).parent.is_dir()


class ArchiveReader(StorageReader):
    """Reads what :class:`ArchiveWriter` wrote, with as many ranks as there are now.

    Args:
        folder: of the checkpoint.
        workers: threads that decode.
    """

    def __init__(self, folder: Path, workers: int = 1) -> None:
        self.folder = folder
        self.workers = workers
        self.places: dict[MetadataIndex, Place] = {}

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begin to read, from another folder if one is given."""
        self.folder = self.folder if checkpoint_id is None else Path(checkpoint_id)

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:  # noqa: ARG002
        """Return which tensors there are, and in which pieces.

        Raises:
            SourceUnavailable: the file is missing or cannot be read.
            BadRecord: it is not what :class:`ArchiveWriter` writes.
        """
        path = self.folder / METADATA
        try:
            with path.open("rb") as file:
                text = file.read(METADATA_BYTES_MAX)
            tree = json.loads(text)
            described = {name: _described(name, entry) for name, entry in tree["state"].items()}
            paths = {name: tuple(steps) for name, steps in tree["paths"].items()}
        except OSError as error:
            raise SourceUnavailable(f"{path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadRecord(str(path), "the metadata of a checkpoint", f"{type(error).__name__}: {error}") from error
        places = {index: place for _, of_name in described.values() for index, place in of_name.items()}
        return Metadata({name: entry for name, (entry, _) in described.items()}, paths, places)

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Remember where the pieces are."""
        self.places = metadata.storage_data

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        """Leave the plan of a rank as it is."""
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        """Leave the plans as they are."""
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Read what the plan asks for, each archive opened once.

        Raises:
            SourceUnavailable: an archive is missing.
            BadRecord: an archive is damaged.
        """
        by_file = defaultdict(list)
        for item in plan.items:
            place = self.places[item.storage_index]
            by_file[place.file].append((item, place.name))
        for file, items in by_file.items():
            with qfz.open_file(self.folder / file, framework="torch", workers=self.workers) as opened:
                for item, name in items:
                    tensor: Any = opened.get_tensor(name)
                    if item.type == LoadItemType.BYTE_IO:
                        planner.load_bytes(item, _as_bytes(tensor, name))
                        continue
                    part = narrow_tensor_by_index(tensor, item.storage_offsets, item.lengths)
                    target = planner.resolve_tensor(item).detach()
                    target.copy_(part)
                    planner.commit_tensor(item, target)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Tell whether there is a checkpoint of that name."""
        return (Path(checkpoint_id) / METADATA).is_file()


def _as_json(data: Any, name: str) -> Any:
    """Return a value that DCP pickled, in this very process, as bytes of JSON."""
    data.seek(0)  # it stands where the planner stopped writing
    packed = pack_state(torch.load(data, weights_only=True), name)
    if packed.tensors:
        raise BadRecord(name, "a value without tensors in it", f"{len(packed.tensors)} tensors")
    return np.frombuffer(packed.leaves, dtype=np.uint8)


def _as_bytes(tensor: torch.Tensor, name: str) -> io.BytesIO:
    """Return a value as DCP wants it: pickled, from JSON, in this very process."""
    try:
        value = unpack_state(tensor.numpy().tobytes(), {})
    except ValueError as error:
        raise BadRecord(name, "a value as JSON", str(error)) from error
    pickled = io.BytesIO()
    torch.save(value, pickled)
    pickled.seek(0)
    return pickled


def _entries(metadata: Metadata, places: dict[MetadataIndex, Place]) -> dict[str, object]:
    """Return what is to be known of each tensor and value."""
    entries: dict[str, object] = {}
    for name, entry in metadata.state_dict_metadata.items():
        if isinstance(entry, TensorStorageMetadata):
            pieces = []
            for chunk in entry.chunks:
                place = places[MetadataIndex(name, chunk.offsets)]
                pieces.append([list(chunk.offsets), list(chunk.sizes), place.file, place.name])
            entries[name] = {"dtype": str(entry.properties.dtype), "size": list(entry.size), "pieces": pieces}
        else:
            place = places[MetadataIndex(name)]
            entries[name] = {"value": [place.file, place.name]}
    return entries


def _described(
    name: str, entry: dict[str, Any]
) -> tuple[TensorStorageMetadata | BytesStorageMetadata, dict[MetadataIndex, Place]]:
    """Return one entry as DCP knows it, and where its pieces are."""
    if "value" in entry:
        return BytesStorageMetadata(), {MetadataIndex(name): _place(*entry["value"])}
    chunks, places = [], {}
    for offsets, sizes, file, stored in entry["pieces"]:
        chunk = ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes))
        chunks.append(chunk)
        places[MetadataIndex(name, chunk.offsets)] = _place(file, stored)
    properties = TensorProperties(torch_type(entry["dtype"]))
    return TensorStorageMetadata(properties, torch.Size(entry["size"]), chunks), places


def _place(file: str, name: str) -> Place:
    if Path(file).name != file or not file.endswith(".qfz"):
        raise ValueError(f"expected an archive in the folder, found {file!r}")
    return Place(file, name)
