"""How is a trained meta controller stored? One safetensors file: numbers as tensors, options as JSON in its header.

Nothing in it is executed when it is read.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError, with_config
from safetensors import SafetensorError
from safetensors.numpy import load, save

from data.errors import BadRecord, BadSource, SourceUnavailable
from data.schemas.units import RECORD
from data.whole_file import whole_file
from tasks.forecasters.meta_controller import MetaController, MetaModel, Scale, parameter_shapes

FILE_NAME = "meta.safetensors"
MOST_BYTES = 64_000_000
MOST_CHOICES = 64


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Header:
    """The metadata of the file."""

    format: Literal["quantumflow-meta-1"]
    options: MetaController
    choices: tuple[int, ...]


_HEADER = TypeAdapter(Header)


def save_meta(model: MetaModel, path: Path) -> None:
    """Write ``model`` to ``path``, which appears whole or not at all; the same model gives the same bytes.

    Raises:
        OSError: the folder cannot be written.
    """
    tensors: dict[str, NDArray[np.generic]] = {
        "scale.center": model.scale.center,
        "scale.spread": model.scale.spread,
        "scale.typical": model.scale.typical,
        **{f"weights.{name}": values for name, values in model.weights},
    }
    header = Header("quantumflow-meta-1", model.options, model.choices)
    content = save(
        {name: np.ascontiguousarray(values) for name, values in tensors.items()},
        metadata={"quantumflow": _HEADER.dump_json(header).decode()},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(content)


def load_meta(path: Path) -> MetaModel:
    """Return the model in ``path``.

    Raises:
        SourceUnavailable: there is no such file, or it cannot be read.
        BadSource: it is not such a file.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise BadSource(str(path), [BadRecord(str(path), f"at most {MOST_BYTES} bytes", str(size))])
        content = path.read_bytes()
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror or error}") from error
    try:
        tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        header = _HEADER.validate_json(json.loads(content[8 : 8 + length])["__metadata__"]["quantumflow"])
        if not header.choices or not all(1 <= count <= MOST_CHOICES for count in header.choices):
            raise ValueError(f"choices: expected 1 to {MOST_CHOICES} for each question, got {header.choices}")
        return _model(header, tensors)
    except (SafetensorError, ValidationError, ValueError, KeyError, TypeError, RecursionError) as error:
        record = BadRecord(str(path), "a trained meta controller", f"{type(error).__name__}: {error}")
        raise BadSource(str(path), [record]) from error


def _model(header: Header, tensors: dict[str, NDArray[np.generic]]) -> MetaModel:
    center, spread, typical = (
        np.asarray(tensors[f"scale.{name}"], dtype=np.float64) for name in ("center", "spread", "typical")
    )
    if center.ndim != 1 or spread.shape != center.shape or typical.shape != (len(header.choices),):
        raise ValueError("scale: expected a spread per feature and a typical loss per question")
    shapes = parameter_shapes(header.options, center.size + sum(header.choices), header.choices)
    weights = []
    for name, shape in shapes.items():
        values = np.asarray(tensors[f"weights.{name}"], dtype=np.float32)
        if values.shape != shape or not np.isfinite(values).all():
            raise ValueError(f"weights.{name}: expected finite numbers of shape {shape}")
        weights.append((name, values))
    return MetaModel(header.options, Scale(center, spread, typical), header.choices, tuple(weights))
