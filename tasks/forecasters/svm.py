"""Can a support-vector machine with a radial kernel tell which links are about to be congested?

Soft-margin SVM with a radial kernel (Cortes and Vapnik 1995, doi 10.1007/BF00994018).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from tasks.forecasters.protocol import Floats


class CalibratedSvm:
    """A radial SVM, and the logistic curve that turns its distances into probabilities (Platt 1999)."""

    def __init__(self, penalty: float, gamma: float) -> None:
        self.pipeline = make_pipeline(StandardScaler(), SVC(C=penalty, gamma=gamma))
        self.curve = LogisticRegression()

    def fit(self, features: ArrayLike, labels: ArrayLike) -> "CalibratedSvm":
        """Learn from rows ``(links, features)`` and labels ``(links,)``."""
        self.pipeline.fit(features, labels)
        self.curve.fit(self.decision_function(features)[:, None], labels)
        return self

    def decision_function(self, features: ArrayLike) -> Floats:
        """Return signed distances from the margin, ``(links,)``."""
        return np.asarray(self.pipeline.decision_function(features))

    def predict_proba(self, features: ArrayLike) -> NDArray[np.float64]:
        """Return how likely each class is, ``(links, 2)``."""
        return np.asarray(self.curve.predict_proba(self.decision_function(features)[:, None]))


@dataclass(frozen=True, slots=True)
class Svm:
    """Options of the classifier.

    Args:
        penalty: of a violated margin.
        gamma: inverse square of the kernel's width, in standardised features. Wide and soft was best on networks held
            out; a narrow kernel forgets beyond its support that a link fuller than all others is in trouble too.
        networks: simulated to learn from.
        most_links: learned from at most; training takes the square of it.
    """

    penalty: float = 0.3
    gamma: float = 0.003
    networks: int = 60
    most_links: int = 4_000
    kind: Literal["svm"] = "svm"

    def estimator(self, seed: int) -> CalibratedSvm:  # noqa: ARG002  # nothing in it is drawn by chance
        """Return an untrained classifier."""
        return CalibratedSvm(self.penalty, self.gamma)
