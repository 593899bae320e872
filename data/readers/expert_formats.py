"""Which experts were busy, and where do they live? Recordings and maps of serving engines.

Recordings are SGLang's expert distributions, as JSON ``{"logical_count": [[...]]}`` or as the ``.pt`` file that its
recorder writes: tokens per expert and layer, or the same for each of several steps. Maps are what
:mod:`tasks.report.expert_formats` writes and the engines read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from data.errors import BadRecord, BadSource
from data.readers.bounded import read_bounded
from data.readers.dump import shown
from data.readers.json_file import parse_json_object
from data.readers.yaml_file import parse_plain_yaml
from data.schemas.routing import ExpertDeployment

MAX_BYTES = 1 << 30
"""A thousand steps of 61 layers and 256 experts are 125 MB as JSON."""

MAX_SLOTS = 50_000_000
"""Slots of all layers that a map may have; a real one has some ten thousand."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_DEPLOYMENT = TypeAdapter(ExpertDeployment)


@dataclass(frozen=True, slots=True, eq=False)
class ExpertCounts:
    """Tokens that were routed to each expert.

    Args:
        loads: oldest window first, ``(windows, layers, experts)``.
        dense_layers: layers before the first one that routed any; they are not among ``loads``.
        set_aside: files that were not used.
        notes: what was assumed, in plain words.
    """

    loads: Floats
    dense_layers: int
    set_aside: tuple[BadRecord, ...] = ()
    notes: tuple[str, ...] = ()


def read_expert_counts(paths: Sequence[Path], *, steps_per_window: int = 0) -> ExpertCounts:
    """Read recordings as windows, oldest first; one that is wrong is set aside.

    Args:
        paths: the files in order of time.
        steps_per_window: steps that are added up to a window; 0 makes each file one window.

    Raises:
        SourceUnavailable: a file is missing or cannot be read.
        BadSource: no file can be used; carries what is wrong with each.
        ValueError: no file, or a negative number of steps.
    """
    if not paths or steps_per_window < 0:
        raise ValueError(f"expected files and steps_per_window of at least 0, got {len(paths)}, {steps_per_window}")
    windows: list[Floats] = []
    bad: list[BadRecord] = []
    notes: list[str] = []
    for path in paths:
        try:
            steps = _steps(path)
            if windows and steps.shape[1:] != windows[0].shape:
                expected = "{} layers of {} experts, as in the files before".format(*windows[0].shape)
                raise BadRecord(f"{path.name}: logical_count", expected, f"shape {steps.shape[1:]}")
        except BadRecord as wrong:
            bad.append(wrong)
            continue
        size = steps_per_window or len(steps)
        whole = len(steps) // size if len(steps) >= size else 1
        windows += [steps[number * size : (number + 1) * size].sum(axis=0) for number in range(whole)]
        if len(steps) > whole * size:
            notes.append(f"{path.name}: the last {len(steps) - whole * size} steps fill no window and were left out")
    if not windows:
        raise BadSource(", ".join(path.name for path in paths), bad)
    loads = np.stack(windows)
    used = np.flatnonzero(loads.sum(axis=(0, 2)) > 0.0)
    if not used.size:
        record = BadRecord(f"{paths[0].name}: logical_count", "tokens in some layer", "zeros only")
        raise BadSource(", ".join(path.name for path in paths), [*bad, record])
    dense = int(used[0])
    if dense:
        notes.append(f"the first {dense} layers routed no token: taken to be dense")
    return ExpertCounts(loads[:, dense:], dense, tuple(bad), tuple(notes))


def counted_deployment(
    counts: ExpertCounts,
    identifier: str,
    job: str,
    *,
    ranks: int,
    slots_per_rank: int,
    placement: Integers | None = None,
    window_s: float = 600.0,
    expert_gb: float = 0.0,
) -> ExpertDeployment:
    """Return the deployment that ``counts`` were taken from.

    Args:
        counts: the recordings.
        identifier: its id.
        job: id of the job that it runs on.
        ranks: GPUs of the expert-parallel group.
        slots_per_rank: expert slots of each GPU, per layer.
        placement: expert in each slot, ``(layers, slots)``, or ``(dense layers + layers, slots)``; None takes the
            engines' trivial map, slot ``s`` holding expert ``s`` modulo the experts.
        window_s: length of a window.
        expert_gb: size of an expert's weights.

    Raises:
        BadRecord: ranks, slots, placement and recordings do not fit one another.
    """
    layers, experts = counts.loads.shape[1:]
    slots = ranks * slots_per_rank
    if slots < experts:
        raise BadRecord(f"{identifier}: slots", f"at least {experts}, one for each expert", slots)
    if placement is None:
        placement = np.tile(np.arange(slots) % experts, (layers, 1))
    if len(placement) == counts.dense_layers + layers:
        placement = placement[counts.dense_layers :]
    if placement.shape != (layers, slots):
        raise BadRecord(f"{identifier}: placement", f"{layers} layers of {slots} slots", f"shape {placement.shape}")
    _check_rows(placement, experts, f"{identifier}: placement")
    try:
        made = ExpertDeployment(
            identifier, job, ranks, slots_per_rank, _nested(counts.loads), _nested(placement),
            window_s=window_s, expert_gb=expert_gb,
        )  # fmt: skip
        return _DEPLOYMENT.validate_json(_DEPLOYMENT.dump_json(made))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise BadRecord(f"{identifier}: {where}", problem["msg"], shown(problem["input"])) from error


def read_expert_map(path: Path) -> Integers:
    """Read an engine's map, ``(layers, slots)``; layers that a TensorRT-LLM file skips are not in it.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadSource: it is none of the four formats, or what it says is no map.
    """
    content = _content(path)
    try:
        if path.suffix in (".yaml", ".yml"):
            return _tensorrt(content, path.name)
        document = parse_json_object(content, path.name)
        if "physical_to_logical_map" in document:
            return _rows(document["physical_to_logical_map"], f"{path.name}: physical_to_logical_map")
        if "layer_list" in document:
            return _ascend(document["layer_list"], path.name)
        expected = "physical_to_logical_map (SGLang, vLLM) or layer_list (vLLM Ascend)"
        raise BadRecord(path.name, expected, f"keys {sorted(document)[:8]}")
    except BadRecord as record:
        raise BadSource(path.name, [record]) from record


def _nested(array: NDArray[Any]) -> Any:
    """Return ``array`` as nested tuples."""
    return tuple(_nested(part) if array.ndim > 1 else part for part in (array if array.ndim > 1 else array.tolist()))


def _content(path: Path) -> bytes:
    return read_bounded(path, MAX_BYTES)


def _steps(path: Path) -> Floats:
    """Return the tokens of each step of one recording, ``(steps, layers, experts)``."""
    where = f"{path.name}: logical_count"
    try:
        document: Any = _torch(path) if path.suffix == ".pt" else parse_json_object(_content(path), path.name)
    except BadSource as source:
        raise source.records[0] from source
    if not isinstance(document, dict) or "logical_count" not in document:
        found = f"keys {sorted(map(str, document))[:8]}" if isinstance(document, dict) else type(document).__name__
        raise BadRecord(path.name, "an SGLang recording with logical_count", found)
    counts = _numbers(document["logical_count"], where)
    if counts.ndim == 2:
        counts = counts[None]
    if counts.ndim != 3 or not counts.size:
        raise BadRecord(where, "layers x experts or steps x layers x experts", f"shape {counts.shape}")
    wrong = np.argwhere(~(np.isfinite(counts) & (counts >= 0.0) & (counts <= 1e15)))
    if len(wrong):
        step, layer, expert = wrong[0].tolist()
        place = f"{where}[{layer}][{expert}]" if len(counts) == 1 else f"{where}[{step}][{layer}][{expert}]"
        raise BadRecord(place, "tokens from 0 to 1e15", float(counts[step, layer, expert]))
    return counts


def _torch(path: Path) -> Any:
    import torch

    _content(path)  # says what is wrong with the file itself
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, KeyError, UnpicklingError) as error:
        expected = "a torch file of tensors and plain containers (weights_only)"
        raise BadRecord(path.name, expected, shown(" ".join(str(error).split()))) from error
    if isinstance(document, dict) and isinstance(document.get("logical_count"), torch.Tensor):
        return {**document, "logical_count": document["logical_count"].double().numpy()}
    return document


def _numbers(value: Any, where: str) -> Floats:
    """Return a regular array of numbers, saying which row is none."""
    if isinstance(value, np.ndarray):
        return value.astype(np.float64)
    if not isinstance(value, list) or not value:
        raise BadRecord(where, "a list of layers", shown(value))
    rows: list[NDArray[Any]] = []
    for number, row in enumerate(value):
        place = f"{where}[{number}]"
        try:
            array = np.array(row)
        except (ValueError, OverflowError) as error:
            raise BadRecord(place, "rows of the same length", shown(str(error))) from error
        if array.ndim == 0 or array.dtype.kind not in "iuf":
            raise BadRecord(place, "numbers", shown(row))
        if rows and array.shape != rows[0].shape:
            raise BadRecord(place, f"shape {rows[0].shape}, as in the rows before", f"shape {array.shape}")
        rows.append(array)
    return np.stack(rows).astype(np.float64)


def _rows(value: Any, where: str) -> Integers:
    rows = _numbers(value, where)
    if rows.ndim != 2 or not rows.size:
        raise BadRecord(where, "layers x slots", f"shape {rows.shape}")
    experts = int(rows.max()) + 1 if 0.0 <= rows.max() < rows.shape[1] else rows.shape[1]
    _check_rows(rows, experts, where)
    return rows.astype(np.int64)


def _check_rows(rows: NDArray[Any], experts: int, where: str) -> None:
    for layer, row in enumerate(rows):
        missing = np.setdiff1d(np.arange(experts), row)
        foreign = np.setdiff1d(row, np.arange(experts))
        if foreign.size:
            raise BadRecord(f"{where}[{layer}]", f"experts from 0 to {experts - 1}", foreign[:5].tolist())
        if missing.size:
            raise BadRecord(f"{where}[{layer}]", f"each of {experts} experts", f"none for {missing[:5].tolist()}")


def _ascend(layers: Any, name: str) -> Integers:
    rows: dict[int, list[int]] = {}
    if not isinstance(layers, list):
        raise BadRecord(f"{name}: layer_list", "a list", type(layers).__name__)
    for position, layer in enumerate(layers):
        try:
            devices = sorted(layer["device_list"], key=lambda device: int(device["device_id"]))
            rows[int(layer["layer_id"])] = [expert for device in devices for expert in device["device_expert"]]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            expected = "layer_id and device_list of device_id and device_expert"
            raise BadRecord(f"{name}: layer_list[{position}]", expected, shown(layer)) from error
    if len(rows) != len(layers):
        raise BadRecord(f"{name}: layer_list", "each layer_id once", f"{len(rows)} of {len(layers)}")
    return _rows([rows[number] for number in sorted(rows)], f"{name}: layer_list")


def _tensorrt(content: bytes, name: str) -> Integers:
    document = parse_plain_yaml(content, name)
    where = f"{name}: initial_global_assignments"
    layers = document.get("initial_global_assignments") if isinstance(document, dict) else None
    if not isinstance(layers, dict) or not layers or not all(isinstance(row, list) for row in layers.values()):
        raise BadRecord(where, "a list of experts for each layer", shown(layers))
    if sum(len(row) for row in layers.values()) > MAX_SLOTS:
        raise BadRecord(where, f"at most {MAX_SLOTS} slots", "more")
    try:
        numbered = {int(layer): [int(expert) for expert in row] for layer, row in layers.items()}
        slots = int(document["num_slots"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadRecord(where, "whole numbers, and num_slots beside them", shown(str(error))) from error
    rows = _rows([numbered[layer] for layer in sorted(numbered)], where)
    if rows.shape[1] != slots:
        raise BadRecord(f"{name}: num_slots", f"{rows.shape[1]}, as the layers have", slots)
    return rows
