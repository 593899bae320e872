"""Facts about the quantum kernel as an estimator of scikit-learn."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from tasks.forecasters.quantum_kernel import QuantumKernelClassifier


def rings(rng, count=240):
    """Return points on two rings, which no straight line tells apart, and their ring."""
    ring = rng.integers(2, size=count)
    angle = rng.uniform(0.0, 2 * np.pi, size=count)
    radius = 1.0 + ring + 0.1 * rng.standard_normal(count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), ring


def test_it_keeps_the_interface_of_scikit_learn():
    """Array API support is optional, and the one check that is skipped."""
    results = check_estimator(
        QuantumKernelClassifier(qubits=2, bandwidth=0.1, landmarks=20), on_fail=None, on_skip=None
    )
    missed = [one["check_name"] for one in results if one["status"] != "passed"]
    assert set(missed) <= {"check_array_api_input"}
    assert len(results) > 40


def test_it_tells_rings_apart(rng):
    points, ring = rings(rng)
    classifier = QuantumKernelClassifier(qubits=2, bandwidth=0.3, landmarks=60)
    assert cross_val_score(classifier, points, ring, cv=4).mean() > 0.95


def test_with_all_rows_as_landmarks_the_description_has_the_exact_kernel(rng):
    points, ring = rings(rng, 40)
    fitted = QuantumKernelClassifier(qubits=2, bandwidth=0.3, landmarks=40).fit(points, ring)
    described = fitted._described(points)
    states = fitted._states(points)
    assert described @ described.T == pytest.approx(np.abs(states.conj() @ states.T) ** 2, abs=1e-5)


def test_the_same_seed_gives_the_same_answers_and_parameters_can_be_set(rng):
    points, ring = rings(rng)
    one = QuantumKernelClassifier(qubits=2, landmarks=30, random_state=4).fit(points, ring)
    same = clone(one).fit(points, ring)
    assert one.predict_proba(points).tobytes() == same.predict_proba(points).tobytes()
    assert clone(one).set_params(bandwidth=0.5).get_params()["bandwidth"] == 0.5


def test_probabilities_rise_with_the_distance_from_the_margin(rng):
    points, ring = rings(rng)
    fitted = QuantumKernelClassifier(qubits=2, bandwidth=0.3, landmarks=60).fit(points, ring)
    order = np.argsort(fitted.decision_function(points))
    likely = fitted.predict_proba(points)
    assert likely.sum(axis=1) == pytest.approx(np.ones(len(points)))
    assert (np.diff(likely[order, 1]) >= 0).all()
