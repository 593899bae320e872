"""How does the learned planner decide, and how is it stored? A small network scores each budget; the best one wins.

The same network scores every budget from its own features, so it knows nothing of how many there are. Weights are JSON:
numbers and nothing that could be executed.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data.errors import BadRecord, BadSource
from data.readers.json_file import read_json_object
from data.whole_file import whole_file
from tasks.planner.episode import FEATURES, Matrix, View

SHIPPED = Path(__file__).with_name("weights.json")
FORMAT = "quantumflow-planner-1"
SHAPES = {"linear": (FEATURES,), "inner": (FEATURES, 16), "bias": (16,), "outer": (16,)}


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A policy network: ``score = linear . x + outer . tanh(x inner + bias)`` for the features ``x`` of a budget.

    Args:
        linear: ``(FEATURES,)``.
        inner: ``(FEATURES, 16)``.
        bias: ``(16,)``.
        outer: ``(16,)``.

    Raises:
        ValueError: a shape differs, or a number is not finite.
    """

    linear: Matrix
    inner: Matrix
    bias: Matrix
    outer: Matrix
    kind: Literal["learned"] = "learned"

    def __post_init__(self) -> None:
        for name, shape in SHAPES.items():
            values = getattr(self, name)
            if values.shape != shape or not np.isfinite(values).all():
                raise ValueError(f"{name}: expected finite numbers of shape {shape}, got {values.shape}")

    def __call__(self, view: View) -> int:
        """Return the allowed budget of the highest score."""
        return int(np.argmax(np.where(view.allowed, self.scores(view.table), -np.inf)))

    def scores(self, table: Matrix) -> Matrix:
        """Return the score of each budget, ``(..., budgets, FEATURES) -> (..., budgets)``."""
        return np.asarray(table @ self.linear + np.tanh(table @ self.inner + self.bias) @ self.outer)


def save_policy(policy: Learned, path: Path) -> None:
    """Write the weights to ``path``, whole or not at all; the same weights give the same bytes."""
    weights = {name: np.round(getattr(policy, name), 6).tolist() for name in SHAPES}
    document = {"format": FORMAT, "weights": weights, "sha256": _digest(weights)}
    with whole_file(path) as file:
        file.write(json.dumps(document).encode() + b"\n")


def load_policy(path: Path = SHIPPED) -> Learned:
    """Return the policy in ``path``.

    Raises:
        SourceUnavailable: there is no such file.
        BadSource: it is not such a file, or it was changed after it was written.
    """
    document = read_json_object(path)
    weights: Any = document.get("weights")
    try:
        if document.get("format") != FORMAT or document.get("sha256") != _digest(weights):
            raise ValueError(f"expected format {FORMAT} and the digest of the weights")
        arrays = {name: np.array(weights[name], dtype=np.float64) for name in SHAPES}
        return Learned(arrays["linear"], arrays["inner"], arrays["bias"], arrays["outer"])
    except (ValueError, TypeError, KeyError) as error:
        raise BadSource(str(path), [BadRecord(str(path), "a trained planner", str(error))]) from error


def _digest(weights: Any) -> str:
    return hashlib.sha256(json.dumps(weights, sort_keys=True).encode()).hexdigest()
