"""What else can tell which links are about to be congested? A logistic curve (the default), trees, a quantum kernel.

They were compared on topologies that they had not seen (``python -m tests.benchmarks.bench_congestion``). The fewer
freedoms, the better there: links of one simulated network are much alike, so there is less to learn from than there
are rows. Options were chosen on other random networks of the same topologies, so the figures may flatter a little.
"""

from dataclasses import dataclass
from typing import Any, Literal

from qiskit_solvers.quantum_kernel import Entanglement


@dataclass(frozen=True, slots=True)
class BoostedLinks:
    """Histogram gradient boosting (Ke et al. 2017, LightGBM) with small trees: there is little to tell apart.

    Args:
        rounds: trees.
        rate: shrinkage of each.
        leaves: of a tree.
        fewest: links in a leaf.
        shrinkage: l2 penalty of the leaves' values.
        networks: simulated to learn from.
        most_links: learned from at most.
    """

    rounds: int = 50
    rate: float = 0.05
    leaves: int = 4
    fewest: int = 60
    shrinkage: float = 10.0
    networks: int = 60
    most_links: int = 20_000
    kind: Literal["boosting"] = "boosting"

    def estimator(self, seed: int) -> Any:
        """Return an untrained classifier."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(
            max_iter=self.rounds,
            learning_rate=self.rate,
            max_leaf_nodes=self.leaves,
            min_samples_leaf=self.fewest,
            l2_regularization=self.shrinkage,
            early_stopping=False,
            random_state=seed,
        )


@dataclass(frozen=True, slots=True)
class Logistic:
    """Logistic regression on standardised features, with weights held small.

    Args:
        penalty: inverse of the weights' penalty.
        networks: simulated to learn from.
        most_links: learned from at most.
    """

    penalty: float = 0.001
    networks: int = 60
    most_links: int = 20_000
    kind: Literal["logistic"] = "logistic"

    def estimator(self, seed: int) -> Any:
        """Return an untrained classifier."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), LogisticRegression(C=self.penalty, max_iter=1_000, random_state=seed))


@dataclass(frozen=True, slots=True)
class QuantumKernel:
    """A linear SVM on quantum fidelities with landmarks, see :mod:`tasks.forecasters.quantum_kernel`.

    Args:
        qubits: main axes of the features that are encoded.
        layers: of the feature map.
        entanglement: which axes are multiplied; ``none`` makes a product of one-qubit kernels, which needs no quantum
            computer.
        bandwidth: scale of the encoded features.
        penalty: of a violated margin.
        landmarks: rows that all others are compared with.
        networks: simulated to learn from.
        most_links: learned from at most.
    """

    qubits: int = 6
    layers: int = 2
    entanglement: Entanglement = "full"
    bandwidth: float = 0.01
    penalty: float = 1.0
    landmarks: int = 200
    networks: int = 60
    most_links: int = 4_000
    kind: Literal["quantum kernel"] = "quantum kernel"

    def estimator(self, seed: int) -> Any:
        """Return an untrained classifier."""
        from tasks.forecasters.quantum_kernel import QuantumKernelClassifier

        return QuantumKernelClassifier(
            qubits=self.qubits,
            layers=self.layers,
            entanglement=self.entanglement,
            bandwidth=self.bandwidth,
            penalty=self.penalty,
            landmarks=self.landmarks,
            random_state=seed,
        )
