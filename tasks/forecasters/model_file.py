"""How is a trained power forecaster stored? One safetensors file: numbers as tensors, all else as JSON in its header.

A single file, so that weights and metadata cannot part. Nothing in it is executed when it is read; a digest over both
finds what a disk or a hand has changed.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError, with_config
from safetensors import SafetensorError
from safetensors.numpy import load, save

from data.errors import BadRecord, BadSource, SourceUnavailable
from data.readers.bounded import read_bounded
from data.schemas.power import PowerSamples
from data.schemas.units import RECORD, Sha256
from data.whole_file import whole_file
from tasks.forecasters.gnn import GraphModel, GraphSage, parameter_shapes
from tasks.forecasters.graph import Scaler
from tasks.forecasters.protocol import HeldOut, TrainedPower
from tasks.forecasters.residuals import Residuals

FILE_NAME = "power.safetensors"
MOST_BYTES = 256_000_000
_UNSIGNED = "0" * 64

Tensors = dict[str, NDArray[np.generic]]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Header:
    """The metadata of a model file; ``sha256`` covers it, with that field zeroed, and all tensors."""

    format: Literal["quantumflow-power-2"]
    trained_at: str
    feature_set: str
    names: tuple[str, ...]
    after_start: tuple[bool, ...]
    ids: tuple[str, ...]
    gpu_models: tuple[str, ...]
    workloads: tuple[str, ...]
    groups: tuple[str, ...]
    options: GraphSage
    held_out: HeldOut
    training_sha256: Sha256
    sha256: Sha256


_HEADER = TypeAdapter(Header)


def save_model(trained: TrainedPower, path: Path) -> None:
    """Write ``trained`` to ``path``, which appears whole or not at all; the same model gives the same bytes.

    Raises:
        ValueError: it is not a graph network (others are trained again from their samples, not stored), or its errors
            on held-out groups were not kept.
        OSError: the folder cannot be written.
    """
    model, samples = trained.model, trained.samples
    if not isinstance(model, GraphModel):
        raise ValueError(f"model: expected a graph network, got {model.kind}")
    if trained.residuals is None or trained.residuals.groups != samples.groups:
        raise ValueError("residuals: expected the errors on held-out groups, one per training row, got none")
    tensors = _tensors(model, trained.residuals)
    header = Header(
        format="quantumflow-power-2",
        trained_at=trained.trained_at,
        feature_set=samples.feature_set,
        names=samples.names,
        after_start=samples.after_start,
        ids=samples.ids,
        gpu_models=samples.gpu_models,
        workloads=samples.workloads,
        groups=samples.groups,
        options=model.options,
        held_out=trained.held_out,
        training_sha256=_digest("", {name: tensors[name] for name in tensors if name.startswith("support.")}),
        sha256=_UNSIGNED,
    )
    header = replace(header, sha256=_signature(header, tensors))
    # one key only: safetensors writes several in no particular order
    content = save(tensors, metadata={"quantumflow": _HEADER.dump_json(header).decode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(content)


def load_model(path: Path) -> TrainedPower:
    """Return the model in ``path``, or in the folder ``path`` under its usual name.

    Raises:
        SourceUnavailable: there is no such file, or it cannot be read.
        BadSource: it is not such a file, or it was changed after it was written.
    """
    try:
        path = path / FILE_NAME if path.is_dir() else path
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror or error}") from error
    content = read_bounded(path, MOST_BYTES)
    try:
        tensors: Tensors = dict(load(content))
        length = int.from_bytes(content[:8], "little")
        header = _HEADER.validate_json(json.loads(content[8 : 8 + length])["__metadata__"]["quantumflow"])
        datetime.fromisoformat(header.trained_at)
        if header.sha256 != _signature(header, tensors):
            raise ValueError("the digest does not fit: the file was changed after it was written")
        return _trained(header, tensors)
    except (SafetensorError, ValidationError, ValueError, KeyError, TypeError, RecursionError) as error:
        record = BadRecord(str(path), "a trained power forecaster", f"{type(error).__name__}: {error}")
        raise BadSource(str(path), [record]) from error


def _tensors(model: GraphModel, residuals: Residuals) -> Tensors:
    support, scaler = model.support, model.scaler
    tensors: Tensors = {
        "support.features": support.features,
        "support.idle_w": support.idle_w,
        "support.max_w": support.max_w,
        "support.power_w": support.power_w,
        "residuals.graph": residuals.graph,
        "residuals.boosting": residuals.boosting,
        "residuals.median": residuals.median,
        "residuals.blend": residuals.blend,
        "scaler.center": scaler.center,
        "scaler.spread": scaler.spread,
        "scaler.flagged": scaler.flagged,
    }
    for number, weights in enumerate(model.members):
        tensors |= {f"member.{number}.{name}": values for name, values in weights}
    return {name: np.ascontiguousarray(values) for name, values in tensors.items()}


def _trained(header: Header, tensors: Tensors) -> TrainedPower:
    """Return the model; shapes are checked by the values that are made here."""
    columns = {name: _floats(tensors, f"support.{name}") for name in ("features", "idle_w", "max_w", "power_w")}
    samples = PowerSamples(
        feature_set=header.feature_set,
        names=header.names,
        after_start=header.after_start,
        ids=header.ids,
        gpu_models=header.gpu_models,
        workloads=header.workloads,
        groups=header.groups,
        **columns,
    )
    flagged = np.asarray(tensors["scaler.flagged"], dtype=np.bool_)
    scaler = Scaler(_floats(tensors, "scaler.center"), _floats(tensors, "scaler.spread"), flagged)
    width = (len(header.names),)
    if not samples.measured.all() or {scaler.center.shape, scaler.spread.shape, scaler.flagged.shape} != {width}:
        raise ValueError(f"expected measured samples and a scaler of shape {width}")
    shapes = parameter_shapes(header.options, scaler)
    members = []
    for number in range(header.options.members):
        named = {name: np.asarray(tensors[f"member.{number}.{name}"], dtype=np.float32) for name in shapes}
        for name, values in named.items():
            if values.shape != shapes[name] or not np.isfinite(values).all():
                raise ValueError(f"member.{number}.{name}: expected finite numbers of shape {shapes[name]}")
        members.append(tuple(named.items()))
    model = GraphModel(header.options, samples, scaler, tuple(members))
    ratios = (_floats(tensors, f"residuals.{name}") for name in ("graph", "boosting", "median", "blend"))
    residuals = Residuals(header.groups, *ratios)
    return TrainedPower(model, samples, header.trained_at, header.held_out, residuals)


def _floats(tensors: Tensors, name: str) -> NDArray[np.float64]:
    return np.asarray(tensors[name], dtype=np.float64)


def _signature(header: Header, tensors: Tensors) -> str:
    return _digest(_HEADER.dump_json(replace(header, sha256=_UNSIGNED)).decode(), tensors)


def _digest(text: str, tensors: Tensors) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        values = tensors[name]
        digest.update(f"\n{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
