"""How is it measured what a model loses when a tensor is quantised? Each tensor alone, with the model's own measure."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.schemas.sensitivity import Sensitivities

Floats = npt.NDArray[np.floating]
Losses = Callable[[Mapping[str, Floats]], Mapping[str, float]]
"""Given all tensors by name, what the model loses by each measure: 0 for the tensors as they are."""


def measure_sensitivities(
    tensors: Mapping[str, Floats], losses: Losses, names: Sequence[str], relative_rms: Sequence[float] = (0.04, 0.08)
) -> Sensitivities:
    """Quantise one tensor after another, and see what is lost on calibration data.

    Args:
        tensors: the model's, by name.
        losses: called once for each tensor and error; at least one measure. A loss below 0 counts as none.
        names: of the tensors that may be quantised.
        relative_rms: errors to measure with, near to those that are wanted in the end; their losses are averaged.

    Raises:
        ValueError: a tensor is not there, or holds nothing but zeros or numbers that are not finite.
    """
    found: dict[str, tuple[float, ...]] = {}
    measures: tuple[str, ...] = ()
    for name in names:
        if name not in tensors:
            raise ValueError(f"{name}: expected a tensor of the model, found none of that name")
        lost, squares = np.zeros(0), 0.0
        for error in relative_rms:
            changed, reached = _quantised(name, tensors[name], error)
            measured = losses({**tensors, name: changed})
            measures = tuple(measured)
            lost = np.array([measured[measure] for measure in measures]) + (lost if lost.size else 0.0)
            squares += reached
        found[name] = tuple(np.maximum(0.0, lost / squares).tolist())
    return Sensitivities(measures, found)


def write_sensitivities(path: Path, sensitivities: Sensitivities) -> None:
    """Write the JSON that :func:`data.readers.sensitivities.read_sensitivities` reads."""
    told = {name: dict(zip(sensitivities.measures, numbers, strict=True)) for name, numbers in sensitivities.of.items()}
    path.write_text(json.dumps(told, indent=1) + "\n")


def _quantised(name: str, tensor: Floats, relative_rms: float) -> tuple[Floats, float]:
    """Return the tensor in multiples of a step, and its squared relative error."""
    wide = tensor.astype(np.float64)
    energy = float(np.square(wide).sum())
    if not 0.0 < energy < np.inf:
        raise ValueError(f"{name}: expected finite elements, not all 0, found a sum of squares of {energy}")
    step = relative_rms * np.sqrt(12.0 * energy / wide.size)
    changed = (np.rint(wide / step) * step).astype(tensor.dtype)
    return changed, float(np.square(changed - wide).sum()) / energy
