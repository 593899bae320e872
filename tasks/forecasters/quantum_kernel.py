"""Can a quantum kernel tell the classes apart? A support-vector classifier on fidelities, in scikit-learn's interface.

Features are standardised, turned onto their main axes, scaled by ``bandwidth`` and encoded by
:mod:`qiskit_solvers.quantum_kernel`. The kernel of all pairs of rows would cost the square of their number, so rows are
described by their fidelities with a few landmarks (Nystroem method: Williams and Seeger 2001, Advances in Neural
Information Processing Systems 13), on which a linear support-vector machine is trained.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from qiskit_solvers.quantum_kernel import Entanglement, feature_states, fidelities

Floats = NDArray[np.float64]

_TINY = 1e-8
"""Eigenvalues of the landmarks' kernel below this share of the largest are noise."""

_CHUNK = 2_048
"""Rows encoded at once."""


class QuantumKernelClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Two classes, told apart by the fidelity of encoded rows. Names and attributes are scikit-learn's conventions.

    Args:
        qubits: main axes that are encoded, one qubit each.
        layers: repetitions of the feature map.
        entanglement: which axes are multiplied in pairs.
        bandwidth: scale of the encoded features; smaller is smoother.
        penalty: of a violated margin.
        landmarks: rows that all others are compared with.
        random_state: seed of the choice of landmarks, as in scikit-learn.
    """

    def __init__(
        self,
        qubits: int = 6,
        layers: int = 2,
        entanglement: Entanglement = "full",
        bandwidth: float = 0.01,
        penalty: float = 1.0,
        landmarks: int = 200,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        # scikit-learn: no checks here, every argument under its own name
        self.qubits = qubits
        self.layers = layers
        self.entanglement = entanglement
        self.bandwidth = bandwidth
        self.penalty = penalty
        self.landmarks = landmarks
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        """Say that there are two classes at most."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from rows ``X`` ``(rows, features)`` and their classes ``y`` ``(rows,)``.

        Raises:
            ValueError: ``X`` or ``y`` is unusable, or ``y`` has one class, or more than two.
        """
        rows, classes = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(classes)
        kind = type_of_target(classes, input_name="y")
        if kind != "binary":
            raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
        self.classes_, target = np.unique(classes, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("y: expected two classes, got one class")
        axes = min(self.qubits, *rows.shape)
        self.encoder_: Pipeline = make_pipeline(StandardScaler(), PCA(axes, svd_solver="full")).fit(rows)
        chosen = check_random_state(self.random_state).permutation(len(rows))[: self.landmarks]
        self.landmarks_ = self._states(rows[np.sort(chosen)])
        values, vectors = np.linalg.eigh(fidelities(self.landmarks_, self.landmarks_))
        kept = values > _TINY * values[-1]
        self.map_ = vectors[:, kept] / np.sqrt(values[kept])
        described = self._described(rows)
        self.margin_ = LinearSVC(C=self.penalty, dual=False).fit(described, target)
        # distances into probabilities (Platt 1999)
        distances = self.margin_.decision_function(described)[:, None]
        self.curve_ = LogisticRegression().fit(distances, target)
        return self

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return the signed distance of each row from the margin, ``(rows,)``; positive means the second class."""
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(self.margin_.decision_function(self._described(rows)))

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Return how likely each class is, ``(rows, 2)``."""
        distances = self.decision_function(X)[:, None]
        return np.asarray(self.curve_.predict_proba(distances))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the class of each row, ``(rows,)``."""
        side = (self.decision_function(X) > 0).astype(np.int64)
        return np.asarray(self.classes_[side])

    def _states(self, rows: Floats) -> NDArray[np.complex128]:
        axes = self.bandwidth * self.encoder_.transform(rows)
        return feature_states(axes, layers=self.layers, entanglement=self.entanglement)

    def _described(self, rows: Floats) -> Floats:
        """Return the rows in the space that the landmarks span, ``(rows, directions)``."""
        parts = [
            fidelities(self._states(rows[start : start + _CHUNK]), self.landmarks_) @ self.map_
            for start in range(0, len(rows), _CHUNK)
        ]
        return np.concatenate(parts)
