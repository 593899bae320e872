"""Models keep their values on the way to dimod and qiskit-optimization, and back."""

import dimod
import numpy as np
import pytest
from qiskit_optimization import QuadraticProgram

from qiskit_solvers import Ising, diagonal, energies, strings_of
from qiskit_solvers.convert import from_bqm, from_quadratic_program, to_bqm, to_quadratic_program


@pytest.fixture
def ising() -> Ising:
    rng = np.random.default_rng(4)
    J = np.triu(rng.normal(size=(5, 5)) * (rng.random((5, 5)) < 0.7), 1)
    return Ising(rng.normal(size=5), J, 2.5)


def test_a_bqm_gives_each_string_its_energy(ising: Ising):
    strings = strings_of(np.arange(32), 5)
    np.testing.assert_allclose(to_bqm(ising).energies((strings, range(5))), energies(ising, strings))


def test_a_quadratic_program_gives_each_string_its_energy(ising: Ising):
    program = to_quadratic_program(ising)
    strings = strings_of(np.arange(32), 5)
    values = [program.objective.evaluate((1 - string) // 2) for string in strings]
    np.testing.assert_allclose(values, energies(ising, strings))


def test_there_and_back_is_the_same_model(ising: Ising):
    for back in (from_bqm(to_bqm(ising)), from_quadratic_program(to_quadratic_program(ising))):
        np.testing.assert_allclose(back.h, ising.h, atol=1e-12)
        np.testing.assert_allclose(back.J, ising.J, atol=1e-12)
        assert back.offset == pytest.approx(ising.offset)


def test_a_binary_one_is_spin_minus_one():
    bqm = dimod.BinaryQuadraticModel({"a": 3.0, "b": -1.0}, {("a", "b"): 5.0}, 0.25, dimod.BINARY)
    np.testing.assert_allclose(diagonal(from_bqm(bqm)), [0.25, 3.25, -0.75, 7.25])
    assert bqm.vartype is dimod.BINARY


def test_a_maximisation_becomes_a_minimisation():
    program = QuadraticProgram()
    program.binary_var("x")
    program.binary_var("y")
    program.maximize(constant=1.0, linear={"x": 2.0}, quadratic={("x", "y"): -4.0, ("y", "y"): 0.5})
    np.testing.assert_allclose(diagonal(from_quadratic_program(program)), [-1.0, -3.0, -1.5, 0.5])


def test_a_program_with_constraints_is_refused():
    program = QuadraticProgram("rooms")
    program.binary_var("x")
    program.integer_var(0, 3, "k")
    program.linear_constraint({"x": 1}, "<=", 1)
    with pytest.raises(ValueError, match=r"'rooms'.*1 other variables and 1 constraints"):
        from_quadratic_program(program)
