"""How does a model move to and from dimod and qiskit-optimization?

Everywhere a binary 1 is spin -1 and labels are the model's names. Without names the labels are what each
library takes by itself: ``0, 1, ..`` in dimod, ``x0, x1, ..`` in qiskit-optimization, and these come back as no names.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import dimod
import numpy as np
from scipy import sparse

from qiskit_solvers.ising import Ising, Pairs
from qiskit_solvers.qubo import to_qubo

if TYPE_CHECKING:
    from qiskit_optimization import QuadraticProgram

Group = tuple[int, ...]

PENALTIES = "qiskit_optimization.converters.QuadraticProgramToQubo writes constraints as penalties"


def to_bqm(ising: Ising, vartype: Literal["SPIN", "BINARY"] = "SPIN") -> dimod.BinaryQuadraticModel:
    """Return the model over SPIN or BINARY variables named as its spins, in their order.

    Raises:
        ValueError: the model has groups, which a BinaryQuadraticModel cannot state, or the type is another one.
    """
    if ising.groups:
        raise ValueError(
            f"expected no groups, got {len(ising.groups)}: a BinaryQuadraticModel has no constraints; "
            "take one_hot.penalised(ising) or to_cqm(ising)"
        )
    if vartype == "SPIN":
        linear, pairs, offset = ising.h, ising.pairs, ising.offset
    elif vartype == "BINARY":
        qubo = to_qubo(ising)
        linear, pairs, offset = qubo.Q.diagonal(), _above_diagonal(qubo.Q), qubo.offset
    else:
        raise ValueError(f"vartype: expected 'SPIN' or 'BINARY', got {vartype!r}")
    labels = list(ising.names or range(ising.spins))
    quadratic = (pairs.rows, pairs.columns, pairs.values)
    return dimod.BinaryQuadraticModel.from_numpy_vectors(linear, quadratic, offset, vartype, variable_order=labels)


def from_bqm(bqm: dimod.BinaryQuadraticModel, *, as_sparse: bool = False) -> Ising:
    """Return the model whose spin ``i`` is the i-th of ``bqm.variables``; a binary 1 becomes spin -1.

    Args:
        bqm: SPIN or BINARY.
        as_sparse: whether J is a scipy sparse array.
    """
    vectors = bqm.to_numpy_vectors(variable_order=list(bqm.variables))
    quadratic = vectors.quadratic
    return _model(
        vectors.linear_biases,
        (quadratic.row_indices, quadratic.col_indices, quadratic.biases),
        vectors.offset,
        binary=[bqm.vartype is dimod.BINARY] * bqm.num_variables,
        names=_names(bqm.variables, range(bqm.num_variables)),
        as_sparse=as_sparse,
    )


def to_cqm(ising: Ising) -> dimod.ConstrainedQuadraticModel:
    """Return the minimisation over BINARY variables with a discrete constraint ``group 0`` .. for each group."""
    labels = list(ising.names or range(ising.spins))
    cqm = dimod.ConstrainedQuadraticModel()
    cqm.set_objective(to_bqm(replace(ising, groups=()), "BINARY"))
    for number, group in enumerate(ising.groups):
        cqm.add_discrete_from_iterable([labels[i] for i in group], label=f"group {number}", check_overlaps=False)
    return cqm


def from_cqm(cqm: dimod.ConstrainedQuadraticModel, *, as_sparse: bool = False) -> Ising:
    """Return the model of an objective over BINARY and SPIN variables; one-hot constraints become groups.

    A constraint is one-hot if it reads ``sum of BINARY variables == 1``, marked as discrete or not.

    Raises:
        ValueError: a variable is of another type, or a constraint is not one-hot, is soft, or shares a variable
            with another one.
    """
    labels = list(cqm.variables)
    place = {label: i for i, label in enumerate(labels)}
    others = {v: cqm.vartype(v).name for v in labels if cqm.vartype(v) not in (dimod.BINARY, dimod.SPIN)}
    if others:
        raise ValueError(f"cqm: expected BINARY and SPIN variables, got {others}")
    groups: dict[Hashable, Group] = {}
    for label, constraint in cqm.constraints.items():
        lhs = constraint.lhs
        terms = {v: bias for v, bias in lhs.iter_linear() if bias}
        if (
            lhs.is_soft()
            or not lhs.is_linear()
            or constraint.sense is not dimod.sym.Sense.Eq
            or constraint.rhs - lhs.offset != 1
            or set(terms.values()) != {1}
            or any(cqm.vartype(v) is not dimod.BINARY for v in terms)
        ):
            raise ValueError(
                f"constraint {label!r}: expected a sum of BINARY variables == 1, got {constraint.to_polystring()}"
                f"{' as a soft constraint' if lhs.is_soft() else ''}; add penalties to the objective instead"
            )
        groups[label] = tuple(place[v] for v in terms)
    linear = np.zeros(len(labels))
    for v, bias in cqm.objective.iter_linear():
        linear[place[v]] = bias
    pairs = [(place[u], place[v], bias) for u, v, bias in cqm.objective.iter_quadratic()]
    rows, columns, values = zip(*pairs, strict=True) if pairs else ((), (), ())
    return _model(
        linear,
        (rows, columns, values),
        cqm.objective.offset,
        binary=[cqm.vartype(v) is dimod.BINARY for v in labels],
        groups=_disjoint(groups, labels),
        names=_names(labels, range(len(labels))),
        as_sparse=as_sparse,
    )


def to_quadratic_program(ising: Ising) -> "QuadraticProgram":
    """Return the minimisation over binaries with the same values; a constraint ``group0`` .. for each group.

    Raises:
        ValueError: names are not distinct once they are text, which is what qiskit-optimization takes.
    """
    from qiskit_optimization import QuadraticProgram

    labels = [str(name) for name in ising.names] or [f"x{i}" for i in range(ising.spins)]
    if len(set(labels)) < len(labels) or "" in labels:
        raise ValueError(f"names: expected distinct texts that are not empty, got {sorted(labels)}")
    program = QuadraticProgram("ising")
    for label in labels:
        program.binary_var(label)
    qubo = to_qubo(ising)
    pairs = _above_diagonal(qubo.Q)
    # its type of sparse matrix, not array, is the one that the library knows
    quadratic = sparse.coo_matrix((pairs.values, (pairs.rows, pairs.columns)), shape=qubo.Q.shape)
    program.minimize(
        constant=qubo.offset,
        linear=np.asarray(qubo.Q.diagonal()),
        quadratic=quadratic if pairs.values.size else {},
    )
    for number, group in enumerate(ising.groups):
        program.linear_constraint({labels[i]: 1.0 for i in group}, "==", 1.0, f"group{number}")
    return program


def from_quadratic_program(program: "QuadraticProgram", *, as_sparse: bool = False) -> Ising:
    """Return the model with the values of a binary program; constraints ``sum of variables == 1`` become groups.

    A maximisation is negated: its value at a string is minus the energy.

    Raises:
        ValueError: a variable is not binary, a constraint is another one, or two constraints share a variable.
    """
    others = {
        v.name: f"{v.vartype.name} from {v.lowerbound} to {v.upperbound}"
        for v in program.variables
        if v.vartype.name != "BINARY" or (v.lowerbound, v.upperbound) != (0, 1)
    }
    if others:
        raise ValueError(
            f"program {program.name!r}: expected binary variables, got {others}; "
            "qiskit_optimization.converters.IntegerToBinary writes integers as binaries"
        )
    labels = [v.name for v in program.variables]
    groups: dict[Hashable, Group] = {}
    for constraint in program.linear_constraints:
        terms = {i: c for i, c in constraint.linear.to_dict().items() if c}
        if constraint.sense.name != "EQ" or constraint.rhs != 1 or set(terms.values()) != {1}:
            # its text ends with its name
            raise ValueError(f"constraint: expected a sum of variables == 1, got {constraint}; {PENALTIES}")
        groups[constraint.name] = tuple(terms)
    if program.quadratic_constraints:
        found = [constraint.name for constraint in program.quadratic_constraints]
        raise ValueError(f"program {program.name!r}: expected no quadratic constraints, got {found}")
    objective = program.objective
    sense = float(objective.sense.value)
    quadratic = objective.quadratic.coefficients.tocoo()  # upper triangular, squares on the diagonal
    square = quadratic.row == quadratic.col
    linear = objective.linear.to_array().astype(np.float64)
    np.add.at(linear, quadratic.row[square], quadratic.data[square])  # x squared is x
    return _model(
        sense * linear,
        (quadratic.row[~square], quadratic.col[~square], sense * quadratic.data[~square]),
        sense * objective.constant,
        binary=[True] * len(labels),
        groups=_disjoint(groups, labels),
        names=_names(labels, [f"x{i}" for i in range(len(labels))]),
        as_sparse=as_sparse,
    )


def _model(
    linear: Any,
    quadratic: tuple[Any, Any, Any],
    offset: float,
    *,
    binary: Sequence[bool],
    names: tuple[Hashable, ...],
    as_sparse: bool,
    groups: tuple[Group, ...] = (),
) -> Ising:
    """Return ``offset + sum_i linear_i v_i + sum values_k v_rows v_columns`` of bits (1 - s) / 2 and spins s."""
    spins = len(binary)
    rest, slope = np.where(binary, 0.5, 0.0), np.where(binary, -0.5, 1.0)  # v = rest + slope s
    linear = np.asarray(linear, dtype=np.float64)
    rows, columns = (np.asarray(ends, dtype=np.int64) for ends in quadratic[:2])
    values = np.asarray(quadratic[2], dtype=np.float64)
    ends = (np.minimum(rows, columns), np.maximum(rows, columns))
    upper = sparse.csr_array((values, ends), shape=(spins, spins))
    J = sparse.csr_array((values * slope[rows] * slope[columns], ends), shape=(spins, spins))
    return Ising(
        h=slope * (linear + (upper + upper.T) @ rest),
        J=J if as_sparse else J.toarray(),
        offset=float(offset + linear @ rest + rest @ (upper @ rest)),
        groups=groups,
        names=names,
    )


def _above_diagonal(matrix: Any) -> Pairs:
    return Ising(np.zeros(matrix.shape[0]), sparse.triu(matrix, 1, format="csr")).pairs


def _names(labels: Iterable[Hashable], usual: Iterable[Hashable]) -> tuple[Hashable, ...]:
    names = tuple(labels)
    return () if names == tuple(usual) else names


def _disjoint(groups: dict[Hashable, Group], labels: Sequence[Hashable]) -> tuple[Group, ...]:
    """Return the groups, refusing two constraints over one variable by name."""
    owner: dict[int, Hashable] = {}
    for constraint, group in groups.items():
        for spin in group:
            if spin in owner:
                raise ValueError(
                    f"constraints {owner[spin]!r} and {constraint!r}: expected disjoint sums, "
                    f"both hold variable {labels[spin]!r}"
                )
            owner[spin] = constraint
    return tuple(groups.values())
