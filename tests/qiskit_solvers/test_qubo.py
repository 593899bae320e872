"""QUBO and Ising are the same function; matrices that are neither are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from qiskit_solvers import energies, strings_of
from qiskit_solvers.qubo import Qubo, ising_of, qubo_of, to_ising, to_qubo, values


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    """Square matrices of 0 to 7 rows: full, thin or zero, from tiny to huge."""
    bits = draw(st.integers(0, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    full = rng.random((bits, bits)) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    return rng.normal(size=(bits, bits)) * full * draw(st.sampled_from([1.0, 1e12, 1e150, 1e-200]))


def all_bits(bits: int) -> np.ndarray:
    return (np.arange(2**bits)[:, None] >> np.arange(bits)) & 1


@settings(max_examples=60, deadline=None)
@given(matrices(), st.booleans())
def test_a_qubo_has_the_values_of_its_matrix_and_so_has_its_ising_model(matrix: np.ndarray, thin: bool):
    bits = all_bits(len(matrix))
    offset = 0.3 * np.abs(matrix).max(initial=0.0)
    by_hand = [float(offset + sum(matrix[i, j] for i in np.flatnonzero(x) for j in np.flatnonzero(x))) for x in bits]
    qubo = qubo_of(sparse.coo_array(matrix) if thin else matrix, offset)
    tiny = 1e-13 * (np.abs(matrix).sum() + offset)
    np.testing.assert_allclose(values(qubo, bits), by_hand, atol=tiny)
    ising = to_ising(qubo)
    np.testing.assert_allclose(energies(ising, 1 - 2 * bits), by_hand, atol=tiny)
    back = to_qubo(ising)
    np.testing.assert_allclose(values(back, bits), by_hand, atol=tiny)
    assert sparse.issparse(qubo.Q) == sparse.issparse(ising.J) == sparse.issparse(back.Q) == thin


def test_integers_survive_the_way_there_and_back_to_the_last_bit():
    rng = np.random.default_rng(2)
    Q = np.triu(rng.integers(-9, 10, size=(12, 12)).astype(float))
    for matrix in (Q, sparse.csr_array(Q)):
        back = to_qubo(to_ising(Qubo(matrix, 5.0)))
        assert np.array_equal(back.Q.toarray() if sparse.issparse(back.Q) else back.Q, Q)
        assert back.offset == 5.0


def test_groups_and_names_go_along():
    qubo = qubo_of(np.ones((4, 4)), 1.0, groups=((2, 0), (3,)), names=("a", "b", 7, ("d", 1)))
    ising = to_ising(qubo)
    back = to_qubo(ising)
    assert ising.groups == back.groups == ((2, 0), (3,))
    assert ising.names == back.names == ("a", "b", 7, ("d", 1))


def test_a_large_sparse_qubo_stays_sparse():
    bits = 50_000
    rows = np.arange(bits - 1)
    qubo = qubo_of(sparse.coo_array((np.full(bits - 1, 4.0), (rows + 1, rows)), shape=(bits, bits)))
    ising = to_ising(qubo)
    assert ising.J.nnz == bits - 1
    assert energies(ising, np.full(bits, -1, dtype=np.int8))[0] == 4.0 * (bits - 1)
    assert values(to_qubo(ising), np.ones(bits))[0] == 4.0 * (bits - 1)


@pytest.mark.parametrize("thin", [False, True])
def test_a_symmetric_coupling_counts_once(thin: bool):
    J = np.array([[0.0, 3.0], [3.0, 0.0]])
    ising = ising_of([1.0, 10.0], sparse.csr_array(J) if thin else J, 100.0, names=("a", "b"))
    assert energies(ising, strings_of(np.arange(4), 2)).tolist() == [114.0, 106.0, 88.0, 92.0]
    assert ising.names == ("a", "b")


def test_rounding_is_not_asymmetry():
    rng = np.random.default_rng(1)
    J = rng.normal(size=(6, 6))
    J = J + J.T
    np.fill_diagonal(J, 0.0)
    J[3, 1] = np.nextafter(J[3, 1], 9.0)
    assert ising_of(np.zeros(6), J).J[1, 3] == J[1, 3]


def test_nothing_is_a_model_too():
    qubo = qubo_of(np.zeros((0, 0)), 2.5)
    assert values(qubo, np.zeros((1, 0))).tolist() == [2.5]
    assert to_qubo(to_ising(qubo)).offset == 2.5
    assert ising_of([], np.zeros((0, 0)), 1.0).spins == 0


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((2, 3)), r"matrix: expected a square matrix, got shape \(2, 3\)"),
        (np.zeros(3), r"matrix: expected a square matrix, got shape \(3,\)"),
        ([], r"matrix: expected a square matrix, got shape \(0,\)"),
        (sparse.coo_array((2, 3)), r"matrix: expected a square matrix, got shape \(2, 3\)"),
        (np.array([[0.0, np.nan], [0.0, 0.0]]), "finite numbers, got NaN"),
        (sparse.csr_array(np.array([[0.0, np.inf], [0.0, 0.0]])), "finite numbers, got NaN or infinity"),
        (np.array([[1j]]), "expected real numbers, got complex128"),
        ([["one"]], "expected real numbers, got <U3"),
        (None, "expected real numbers, got object"),
    ],
)
def test_what_is_no_square_matrix_of_numbers_is_refused(matrix: object, message: str):
    with pytest.raises(ValueError, match=message):
        qubo_of(matrix)


@pytest.mark.parametrize(
    ("h", "J", "message"),
    [
        ([0, 0], np.triu(np.ones((2, 2)), 1), r"symmetric matrix, got 1.0 at \(0, 1\) and 0.0 at \(1, 0\)"),
        ([0, 0], sparse.csr_array(np.triu(np.full((2, 2), 2.0), 1)), r"got 2.0 at \(0, 1\) and 0.0 at \(1, 0\)"),
        ([0, 0], np.eye(2), "zeros on the diagonal"),
        ([0, 0], np.zeros((2, 3)), "J: expected a square matrix"),
        ([0, 0, 0], np.zeros((2, 2)), r"J: expected shape \(3, 3\), got \(2, 2\)"),
        ([[0, 0]], np.zeros((2, 2)), r"h: expected shape \(spins,\), got \(1, 2\)"),
        ([0, np.nan], np.zeros((2, 2)), "h, J, offset: expected finite numbers"),
    ],
)
def test_couplings_that_are_not_symmetric_are_refused(h: object, J: object, message: str):
    with pytest.raises(ValueError, match=message):
        ising_of(h, J)


def test_a_qubo_itself_must_be_upper_triangular():
    for Q in (np.tril(np.ones((2, 2))), sparse.csr_array(np.tril(np.ones((2, 2))))):
        with pytest.raises(ValueError, match="below the diagonal; see qubo_of"):
            Qubo(Q)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": ((0, 1), (1,))}, r"disjoint groups, got spins \[1\]"),
        ({"groups": ((0, 5),)}, "expected spins 0 to 1, got 0 to 5"),
        ({"names": ("a", "a")}, "expected 2 distinct names"),
        ({"offset": np.inf}, "finite numbers"),
    ],
)
def test_groups_names_and_offset_must_fit(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        Qubo(np.zeros((2, 2)), **options)


def test_strings_of_another_length_have_no_value():
    with pytest.raises(ValueError, match=r"expected shape \(strings, 2\), got \(1, 3\)"):
        values(qubo_of(np.zeros((2, 2))), [0, 1, 1])
