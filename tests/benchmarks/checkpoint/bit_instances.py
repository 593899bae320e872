"""Which choices of steps are the solvers compared on? Seeded ones, from networks that were trained and measured."""

import numpy as np
import numpy.typing as npt

from data.schemas.sensitivity import Sensitivities
from tasks.allocate_bits import measured_steps, posed, uniform_losses
from tasks.codecs.sensitivity import measure_sensitivities
from tasks.problems.bits import Bits
from tests.benchmarks.checkpoint.held_out_bits import MEASURES, PROBED, Calibrated, Held, lost

ERRORS = (0.02, 0.05, 0.1)
"""Relative RMS errors in force, in turn."""

Weights = dict[str, npt.NDArray[np.float32]]


def of_minilm(model: Calibrated, count: int) -> list[tuple[str, Bits]]:
    """Return choices for MiniLM, each calibrated on another half of the calibration sentences."""
    made = []
    for number in range(count):
        rng = np.random.default_rng([number])
        half = rng.permutation(len(model.before[0]))[: len(model.before[0]) // 2]
        of = {}
        for name, probes in model.probes.items():
            each = [lost(model.before[0][half], after[half]) for after in probes]
            squares = sum(error**2 for error in PROBED)
            of[name] = tuple(max(0.0, sum(one[measure] for one in each)) / squares for measure in MEASURES)
        sensitivities = Sensitivities(MEASURES, of)
        error = ERRORS[number % len(ERRORS)]
        allowed = uniform_losses(sensitivities, model.tables, error)
        made.append((f"minilm #{number}, {error}", posed(model.tables, sensitivities, allowed)))
    return made


def of_digits(count: int) -> list[tuple[str, Bits]]:
    """Return choices for networks trained on scikit-learn's digits, each of another seed and other widths."""
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    digits = load_digits()
    pictures = digits.data / 16.0
    made = []
    for number in range(count):
        rng = np.random.default_rng([1, number])
        widths = tuple(int(width) for width in rng.integers(32, 160, size=rng.integers(3, 9)))
        network = MLPClassifier(widths, random_state=number, learning_rate_init=2e-3)
        chosen = rng.permutation(len(pictures))
        for _ in range(15):
            network.partial_fit(pictures[chosen[:1000]], digits.target[chosen[:1000]], classes=np.arange(10))
        weights = {f"layer{k}": matrix.astype(np.float32) for k, matrix in enumerate(network.coefs_)}
        biases = [vector.astype(np.float32) for vector in network.intercepts_]
        calibration = pictures[chosen[1000:1400]].astype(np.float32)
        names = [name for name, value in weights.items() if value.size >= 1024]

        def losses(
            changed: Weights, weights: Weights = weights, biases: list = biases, given: np.ndarray = calibration
        ) -> dict[str, float]:
            return _lost(weights, changed, biases, given)

        sensitivities = measure_sensitivities(weights, losses, names, PROBED)
        error = ERRORS[number % len(ERRORS)]
        tables = measured_steps([Held(name, weights[name]) for name in names], sensitivities, error)
        problem = posed(tables, sensitivities, uniform_losses(sensitivities, tables))
        made.append((f"digits #{number}, {len(names)} tensors, {error}", problem))
    return made


def _lost(before: Weights, after: Weights, biases: list, given: np.ndarray) -> dict[str, float]:
    """Return the relative squared error of the outputs, and the divergence of the classes' probabilities."""
    one, other = (_outputs(weights, biases, given) for weights in (before, after))
    logs = [each - np.logaddexp.reduce(each, axis=1, keepdims=True) for each in (one, other)]
    divergence = (np.exp(logs[0]) * (logs[0] - logs[1])).sum(axis=1).mean()
    return {"outputs": float(np.square(one - other).sum() / np.square(one).sum()), "classes": float(divergence)}


def _outputs(weights: Weights, biases: list, given: np.ndarray) -> np.ndarray:
    for layer, bias in enumerate(biases):
        given = given @ weights[f"layer{layer}"] + bias
        given = np.maximum(given, 0.0) if layer < len(biases) - 1 else given
    return given
