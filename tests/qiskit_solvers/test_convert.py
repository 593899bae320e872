"""Models keep values, names, coefficients and groups on the way to dimod and qiskit-optimization, and back."""

import dimod
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit_optimization import QuadraticProgram
from scipy import sparse

from qiskit_solvers import Ising, diagonal, energies, strings_of
from qiskit_solvers.convert import (
    from_bqm,
    from_cqm,
    from_quadratic_program,
    to_bqm,
    to_cqm,
    to_quadratic_program,
)
from qiskit_solvers.one_hot import feasible


@st.composite
def models(draw: st.DrawFn, grouped: bool = False) -> Ising:
    """Models of 0 to 6 spins with small binary fractions, which no conversion rounds."""
    spins = draw(st.integers(0, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    J = np.triu(rng.integers(-8, 9, size=(spins, spins)) / 4.0 * (rng.random((spins, spins)) < 0.7), 1)
    order = draw(st.permutations(range(spins)))
    cut = draw(st.integers(0, spins))
    groups = tuple(group for group in (tuple(order[:cut]), tuple(order[cut : cut + 2])) if group) if grouped else ()
    names = tuple(f"move {i}" for i in rng.permutation(spins)) if draw(st.booleans()) else ()
    size = draw(st.sampled_from([1.0, 2.0**40, 2.0**-600]))
    h = size * rng.integers(-8, 9, size=spins) / 4.0
    return Ising(h, sparse.csr_array(size * J) if draw(st.booleans()) else size * J, size * 2.5, groups, names)


def assert_same(back: Ising, ising: Ising) -> None:
    assert np.array_equal(back.h, ising.h)
    assert np.array_equal(back.couplings, ising.couplings)
    assert back.offset == ising.offset
    assert back.names == ising.names
    assert {frozenset(group) for group in back.groups} == {frozenset(group) for group in ising.groups}


@pytest.fixture
def ising() -> Ising:
    rng = np.random.default_rng(4)
    J = np.triu(rng.normal(size=(5, 5)) * (rng.random((5, 5)) < 0.7), 1)
    return Ising(rng.normal(size=5), J, 2.5)


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_a_bqm_gives_each_string_its_energy(ising: Ising, vartype: str):
    strings = strings_of(np.arange(32), 5)
    bqm = to_bqm(ising, vartype)
    assert bqm.vartype.name == vartype
    samples = strings if vartype == "SPIN" else (1 - strings) // 2
    np.testing.assert_allclose(bqm.energies((samples, range(5))), energies(ising, strings))


def test_a_quadratic_program_gives_each_string_its_energy(ising: Ising):
    program = to_quadratic_program(ising)
    strings = strings_of(np.arange(32), 5)
    values = [program.objective.evaluate((1 - string) // 2) for string in strings]
    np.testing.assert_allclose(values, energies(ising, strings))


@settings(max_examples=40, deadline=None)
@given(models(), st.booleans())
def test_there_and_back_is_the_same_model_to_the_last_bit(ising: Ising, as_sparse: bool):
    for back in (
        from_bqm(to_bqm(ising), as_sparse=as_sparse),
        from_bqm(to_bqm(ising, "BINARY"), as_sparse=as_sparse),
        from_cqm(to_cqm(ising), as_sparse=as_sparse),
        from_quadratic_program(to_quadratic_program(ising), as_sparse=as_sparse),
    ):
        assert_same(back, ising)
        assert sparse.issparse(back.J) == as_sparse


@settings(max_examples=40, deadline=None)
@given(models(grouped=True))
def test_groups_are_constraints_and_constraints_are_groups(ising: Ising):
    program, cqm = to_quadratic_program(ising), to_cqm(ising)
    assert_same(from_cqm(cqm), ising)
    assert_same(from_quadratic_program(program), ising)
    assert len(cqm.discrete) == sum(len(group) > 1 for group in ising.groups)  # dimod counts no group of one
    assert len(cqm.constraints) == len(ising.groups)
    strings = strings_of(np.arange(2**ising.spins), ising.spins)
    labels = list(ising.names or range(ising.spins))
    for string, good, energy in zip(strings, feasible(ising, strings), energies(ising, strings), strict=True):
        bits = (1 - string) // 2
        sample = dict(zip(labels, bits, strict=True))
        assert cqm.check_feasible(sample) == good
        if sample:  # dimod drops the offset of an empty sample
            assert cqm.objective.energy(sample) == pytest.approx(energy)
        assert all((c.evaluate(bits) == c.rhs) for c in program.linear_constraints) == good


def test_a_binary_one_is_spin_minus_one():
    bqm = dimod.BinaryQuadraticModel({"a": 3.0, "b": -1.0}, {("a", "b"): 5.0}, 0.25, dimod.BINARY)
    ising = from_bqm(bqm)
    np.testing.assert_allclose(diagonal(ising), [0.25, 3.25, -0.75, 7.25])
    assert ising.names == ("a", "b")
    assert bqm.vartype is dimod.BINARY


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["SPIN", "BINARY"]), st.integers(0, 2**32 - 1))
def test_a_bqm_of_odd_names_comes_back_as_it_was(vartype: str, seed: int):
    rng = np.random.default_rng(seed)
    labels = [("gpu", 1), "b", 7, frozenset([2])]
    bqm = dimod.BinaryQuadraticModel(
        {v: float(rng.integers(-9, 10)) for v in labels},
        {(labels[i], labels[j]): float(rng.integers(1, 10)) for i in range(4) for j in range(i)},
        float(rng.integers(-9, 10)),
        vartype,
    )
    back = to_bqm(from_bqm(bqm), vartype)
    assert back == bqm
    assert list(back.variables) == list(bqm.variables)


def test_a_large_sparse_bqm_stays_sparse():
    spins = 20_000
    rows = np.arange(spins - 1)
    ising = Ising(np.ones(spins), sparse.csr_array((np.full(spins - 1, 2.0), (rows, rows + 1)), shape=(spins, spins)))
    for vartype in ("SPIN", "BINARY"):
        back = from_bqm(to_bqm(ising, vartype), as_sparse=True)
        assert abs(back.J - ising.J).nnz == 0
        assert np.array_equal(back.h, ising.h)


def test_a_cqm_may_mix_bits_and_spins_and_leave_variables_out_of_its_objective():
    a, b, c, s = *dimod.Binaries("abc"), dimod.Spin("s")
    cqm = dimod.ConstrainedQuadraticModel()
    cqm.set_objective(3 * a * s - 2 * s + a + 5)
    cqm.add_constraint(b + c == 1, label="not marked discrete")
    ising = from_cqm(cqm)
    assert [{ising.names[i] for i in group} for group in ising.groups] == [{"b", "c"}]
    for string in strings_of(np.arange(16), 4):
        sample = {
            v: int(spin) if v == "s" else (1 - int(spin)) // 2 for v, spin in zip(ising.names, string, strict=True)
        }
        assert energies(ising, string)[0] == cqm.objective.energy(sample)


def test_a_maximisation_becomes_a_minimisation():
    program = QuadraticProgram()
    program.binary_var("x")
    program.binary_var("y")
    program.maximize(constant=1.0, linear={"x": 2.0}, quadratic={("x", "y"): -4.0, ("y", "y"): 0.5})
    ising = from_quadratic_program(program)
    np.testing.assert_allclose(diagonal(ising), [-1.0, -3.0, -1.5, 0.5])
    assert ising.names == ("x", "y")


def test_a_program_with_an_integer_or_a_bound_is_refused_by_name():
    program = QuadraticProgram("rooms")
    program.binary_var("x")
    program.integer_var(0, 3, "k")
    with pytest.raises(ValueError, match=r"'rooms': expected binary variables, got \{'k': 'INTEGER from 0 to 3'\}"):
        from_quadratic_program(program)
    bounded = QuadraticProgram("rooms")
    bounded.binary_var("x").lowerbound = 1
    with pytest.raises(ValueError, match=r"\{'x': 'BINARY from 1 to 1'\}"):
        from_quadratic_program(bounded)


@pytest.mark.parametrize(
    ("linear", "sense", "rhs"),
    [({"x": 1, "y": 1}, "<=", 1), ({"x": 1, "y": 1}, "==", 2), ({"x": 1, "y": 2}, "==", 1), ({}, "==", 1)],
)
def test_another_constraint_is_refused_by_name_with_what_it_says(linear: dict[str, int], sense: str, rhs: int):
    program = QuadraticProgram("rooms")
    for name in "xy":
        program.binary_var(name)
    program.linear_constraint(linear, sense, rhs, "seats")
    with pytest.raises(ValueError, match=rf"expected a sum .*, got .* {sense} {rhs} 'seats'; .*QuadraticProgramToQubo"):
        from_quadratic_program(program)


def test_quadratic_and_overlapping_constraints_are_refused_by_name():
    program = QuadraticProgram("rooms")
    for name in "xyz":
        program.binary_var(name)
    program.linear_constraint({"x": 1, "y": 1}, "==", 1, "first")
    program.linear_constraint({"y": 1, "z": 1}, "==", 1, "second")
    with pytest.raises(ValueError, match="'first' and 'second': expected disjoint sums, both hold variable 'y'"):
        from_quadratic_program(program)
    program.quadratic_constraint({}, {("x", "y"): 1}, "==", 0, "apart")
    with pytest.raises(ValueError, match=r"no quadratic constraints, got \['apart'\]"):
        from_quadratic_program(program)


def test_a_cqm_that_says_more_than_groups_is_refused_by_name():
    x, y, i, s = *dimod.Binaries("xy"), dimod.Integer("i"), dimod.Spin("s")
    for constraint, found in [(x + y <= 1, "<="), (x + 2 * y == 1, "2"), (x + s == 1, "s"), (x * y == 1, r"x\*y")]:
        cqm = dimod.ConstrainedQuadraticModel()
        cqm.add_constraint(constraint, label="seats")
        with pytest.raises(ValueError, match=f"'seats': expected a sum of BINARY variables == 1, got .*{found}"):
            from_cqm(cqm)
    soft = dimod.ConstrainedQuadraticModel()
    soft.add_constraint(x + y == 1, label="seats", weight=3.0)
    with pytest.raises(ValueError, match="as a soft constraint"):
        from_cqm(soft)
    other = dimod.ConstrainedQuadraticModel()
    other.set_objective(i * x)
    with pytest.raises(ValueError, match=r"expected BINARY and SPIN variables, got \{'i': 'INTEGER'\}"):
        from_cqm(other)
    twice = dimod.ConstrainedQuadraticModel()
    twice.add_constraint(x + y == 1, label="first")
    twice.add_constraint(x + dimod.Binary("z") == 1, label="second")
    with pytest.raises(ValueError, match="'first' and 'second': expected disjoint sums, both hold variable 'x'"):
        from_cqm(twice)


def test_a_bqm_cannot_hold_groups():
    with pytest.raises(ValueError, match=r"expected no groups, got 1.*penalised\(ising\) or to_cqm\(ising\)"):
        to_bqm(Ising(np.zeros(2), np.zeros((2, 2)), groups=((0, 1),)))
    with pytest.raises(ValueError, match="'SPIN' or 'BINARY', got 'INTEGER'"):
        to_bqm(Ising(np.zeros(2), np.zeros((2, 2))), "INTEGER")


def test_names_that_are_one_text_are_refused():
    with pytest.raises(ValueError, match="distinct texts"):
        to_quadratic_program(Ising(np.zeros(2), np.zeros((2, 2)), names=(1, "1")))
