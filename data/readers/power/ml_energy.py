"""What do measured configurations of served models draw? Rows of the ML.ENERGY leaderboard as power samples.

Source: the ML.ENERGY benchmark (Chung et al. 2025, arXiv 2505.06371), leaderboard v3, one CSV row per configuration.
Only what is known before a run becomes a feature: throughput, latency and energy are outcomes, and stay out.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.errors import BadRecord
from data.readers.csv_file import Row, read_records
from data.readers.gpu_models import find_gpu_model
from data.schemas.power import PowerSamples

FEATURE_SET = "ml-energy-1"

_LOGARITHMS = {
    "log2_gpus": ("num_gpus",),
    "log2_parameters": ("total_params_billions",),
    "log2_active_parameters": ("activated_params_billions",),
    "log2_batch": ("max_num_seqs", "batch_size"),  # language models state the first, diffusion models the second
    "log2_tensor_parallel": ("tensor_parallel",),
    "log2_expert_parallel": ("expert_parallel",),
    "log2_data_parallel": ("data_parallel",),
    "log2_ring": ("ring_degree",),
    "log2_ulysses": ("ulysses_degree",),
    "log2_steps": ("inference_steps",),
    "log2_frames": ("num_frames",),
    "log2_height": ("image_height", "video_height"),
    "log2_width": ("image_width", "video_width"),
}
"""Features that are base-2 logarithms of a column; the second column stands in where the first is empty."""

_CATEGORIES = {
    "task": ("gpqa", "image-chat", "lm-arena-chat", "sourcegraph-fim", "text-to-image", "text-to-video", "video-chat"),
    "architecture": ("Dense Transformer", "Mamba-Transformer Hybrid", "MoE"),
    "weight_precision": ("bfloat16", "fp8", "mxfp4"),
}
"""Columns that become one feature per value, 1 or 0; values not listed are 0 in all."""

_REQUIRED = ("task", "gpu_model", "model_id", "num_gpus", "avg_power_watts")


@dataclass(frozen=True, slots=True, eq=False)
class PowerReading:
    """Samples, and the rows that were not used."""

    samples: PowerSamples
    set_aside: tuple[BadRecord, ...] = ()


def read_energy(path: Path) -> PowerReading:
    """Return the rows of the CSV file ``path``; the table states no idle draw, so that of :mod:`gpu_models` stands in.

    Workloads are the benchmark's tasks; groups are its models, so that a forecaster is judged on models it never saw.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadSource: it is not such a table, or no row can be used.
    """
    used, aside = read_records(path, _REQUIRED, _measured)
    return PowerReading(_table(used), tuple(aside))


@dataclass(frozen=True, slots=True)
class _Measured:
    place: str
    features: tuple[float, ...]
    gpu_model: str
    task: str
    model: str
    idle_w: float
    max_w: float
    power_w: float


def _measured(where: str, _number_of_row: int, row: Row) -> _Measured:
    gpu = find_gpu_model(row["gpu_model"])
    if gpu is None:
        raise BadRecord(f"{where}.gpu_model", "a GPU model with known power limits", row["gpu_model"])
    gpus = _number(where, row, "num_gpus")
    total_w = _number(where, row, "avg_power_watts")
    if math.isnan(gpus) or gpus < 1 or math.isnan(total_w) or not gpu.idle_w * 0.5 <= total_w / gpus <= gpu.power_max_w:
        expected = f"{gpu.idle_w * 0.5:.0f} to {gpu.power_max_w:.0f} W for each of the GPUs"
        raise BadRecord(f"{where}.avg_power_watts", expected, f"{total_w} W, num_gpus {gpus}")
    numbers = [_logarithm(where, row, columns) for columns in _LOGARITHMS.values()]
    flags = [float(row.get(column) == value) for column, values in _CATEGORIES.items() for value in values]
    return _Measured(
        place=where,
        features=(gpu.power_max_w, *numbers, *flags),
        gpu_model=gpu.name,
        task=row["task"],
        model=row["model_id"],
        idle_w=gpu.idle_w,
        max_w=gpu.power_max_w,
        power_w=total_w / gpus,
    )


def _number(where: str, row: Row, column: str) -> float:
    """Return the number in ``column``, or NaN where the cell is empty or the column missing."""
    cell = (row.get(column) or "").strip()
    if not cell:
        return math.nan
    try:
        number = float(cell)
    except ValueError:
        raise BadRecord(f"{where}.{column}", "a number", cell) from None
    if not math.isfinite(number):
        raise BadRecord(f"{where}.{column}", "a finite number", cell)
    return number


def _logarithm(where: str, row: Row, columns: tuple[str, ...]) -> float:
    for column in columns:
        number = _number(where, row, column)
        if not math.isnan(number):
            if number <= 0:
                raise BadRecord(f"{where}.{column}", "a positive number", str(number))
            return math.log2(number)
    return math.nan


def _table(rows: list[_Measured]) -> PowerSamples:
    flags = (f"{column}={value}" for column, values in _CATEGORIES.items() for value in values)
    names = ("gpu_max_w", *_LOGARITHMS, *flags)
    return PowerSamples(
        feature_set=FEATURE_SET,
        names=names,
        after_start=(False,) * len(names),
        ids=tuple(row.place for row in rows),
        features=np.array([row.features for row in rows]),
        gpu_models=tuple(row.gpu_model for row in rows),
        workloads=tuple(row.task for row in rows),
        groups=tuple(row.model for row in rows),
        idle_w=np.array([row.idle_w for row in rows], dtype=np.float64),
        max_w=np.array([row.max_w for row in rows], dtype=np.float64),
        power_w=np.array([row.power_w for row in rows]),
    )
