"""Which state does the QAOA circuit prepare? Computed directly, without gates.

The cost is diagonal, so a layer is one elementwise product and one rotation of every qubit.
Rotations of up to six qubits act together as one small matrix (a matrix product is what numpy
does best). The circuit is that of Farhi, Goldstone and Gutmann 2014, arXiv:1411.4028.
"""

import functools

import numpy as np
import numpy.typing as npt

from qiskit_solvers.ising import Floats, Ising, diagonal

State = npt.NDArray[np.complex128]

_JOINT_QUBITS = 6  # 64 x 64: large enough for a fast matrix product, small enough to waste little work


def state(ising: Ising, gammas: Floats, betas: Floats) -> State:
    """Return the amplitudes ``(2**spins,)`` after all layers, in the order of :func:`~qiskit_solvers.ising.diagonal`.

    Each layer applies ``exp(-i gamma (E - offset))``, then ``exp(i beta X)`` on every qubit; the
    start is the uniform superposition, the ground state of ``-sum X``, so growing gammas and
    falling betas (both positive) lead towards low energies.

    Args:
        ising: the cost.
        gammas: cost angles, ``(layers,)``, in units of 1 / energy.
        betas: mixer angles, ``(layers,)``, in radians.

    Raises:
        ValueError: the two schedules differ in length.
    """
    if gammas.shape != betas.shape or gammas.ndim != 1:
        raise ValueError(f"gammas, betas: expected two equal shapes (layers,), got {gammas.shape} and {betas.shape}")
    cost = diagonal(ising) - ising.offset
    amplitudes = np.full(cost.size, 2.0 ** (-ising.spins / 2), dtype=np.complex128)
    for gamma, beta in zip(gammas, betas, strict=True):
        amplitudes *= np.exp(-1j * gamma * cost)
        amplitudes = _mix(amplitudes, ising.spins, float(beta))
    return amplitudes


def probabilities(ising: Ising, gammas: Floats, betas: Floats) -> Floats:
    """Return the probability of every string, ``(2**spins,)``, summing to one; arguments as for :func:`state`."""
    amplitudes = state(ising, gammas, betas)
    return np.asarray(amplitudes.real**2 + amplitudes.imag**2, dtype=np.float64)


def _mix(amplitudes: State, spins: int, beta: float) -> State:
    """Apply ``exp(i beta X)`` to every qubit."""
    one = np.array([[np.cos(beta), 1j * np.sin(beta)], [1j * np.sin(beta), np.cos(beta)]])
    for low in range(0, spins, _JOINT_QUBITS):
        joint = functools.reduce(np.kron, [one] * min(_JOINT_QUBITS, spins - low))
        amplitudes = (joint @ amplitudes.reshape(-1, joint.shape[0], 1 << low)).reshape(-1)
    return amplitudes
