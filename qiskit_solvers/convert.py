"""How does a model move to and from dimod and qiskit-optimization?"""

from typing import TYPE_CHECKING, Any

import dimod
import numpy as np

from qiskit_solvers.ising import Ising

if TYPE_CHECKING:
    from qiskit_optimization import QuadraticProgram


def to_bqm(ising: Ising) -> dimod.BinaryQuadraticModel:
    """Return the model over SPIN variables ``0 .. spins - 1``."""
    rows, columns = np.nonzero(ising.J)
    return dimod.BinaryQuadraticModel.from_numpy_vectors(
        ising.h, (rows, columns, ising.J[rows, columns]), ising.offset, dimod.SPIN
    )


def from_bqm(bqm: dimod.BinaryQuadraticModel) -> Ising:
    """Return the model whose spin ``i`` is the i-th of ``bqm.variables``; a binary 1 becomes spin -1."""
    if bqm.vartype is dimod.BINARY:
        # dimod's own change of type maps 1 to spin +1; here a 1 is a move that is made, spin -1
        bqm = bqm.copy()
        for variable in bqm.variables:
            bqm.flip_variable(variable)
    spins = bqm.change_vartype(dimod.SPIN, inplace=False)
    vectors = spins.to_numpy_vectors(variable_order=list(bqm.variables))
    return _from_pairs(
        vectors.linear_biases,
        np.asarray(vectors.quadratic.row_indices),
        np.asarray(vectors.quadratic.col_indices),
        np.asarray(vectors.quadratic.biases),
        float(vectors.offset),
    )


def to_quadratic_program(ising: Ising) -> "QuadraticProgram":
    """Return the minimisation over binaries ``x0 ..``, 1 for spin -1, with the same values."""
    from qiskit_optimization import QuadraticProgram

    program = QuadraticProgram("ising")
    for i in range(ising.spins):
        program.binary_var(f"x{i}")
    coupled = ising.J + ising.J.T
    program.minimize(
        constant=float(ising.offset + ising.h.sum() + ising.J.sum()),
        linear=-2.0 * ising.h - 2.0 * coupled.sum(axis=1),
        quadratic=4.0 * ising.J,
    )
    return program


def from_quadratic_program(program: "QuadraticProgram") -> Ising:
    """Return the model with the values of an unconstrained binary program; a maximisation is negated.

    Raises:
        ValueError: the program has a constraint, or a variable that is not binary.
    """
    constraints = program.get_num_linear_constraints() + program.get_num_quadratic_constraints()
    if constraints or program.get_num_vars() != program.get_num_binary_vars():
        raise ValueError(
            f"program {program.name!r}: expected binary variables and no constraints, got "
            f"{program.get_num_vars() - program.get_num_binary_vars()} other variables and {constraints} constraints"
        )
    objective = program.objective
    sense = float(objective.sense.value)
    quadratic: Any = sense * objective.quadratic.to_array(symmetric=True)
    linear = sense * objective.linear.to_array() + np.diag(quadratic)  # x squared is x
    pairs = 2.0 * np.triu(quadratic, 1)
    # x = (1 - s) / 2
    return Ising(
        h=-linear / 2.0 - (pairs + pairs.T).sum(axis=1) / 4.0,
        J=pairs / 4.0,
        offset=sense * objective.constant + float(linear.sum()) / 2.0 + float(pairs.sum()) / 4.0,
    )


def _from_pairs(h: Any, rows: Any, columns: Any, couplings: Any, offset: float) -> Ising:
    J = np.zeros((len(h), len(h)))
    np.add.at(J, (np.minimum(rows, columns), np.maximum(rows, columns)), couplings)
    return Ising(np.asarray(h, dtype=np.float64), J, offset)
