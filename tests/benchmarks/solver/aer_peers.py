"""How fast is one energy of QAOA on Qiskit? Aer in its strongest forms, and qiskit-optimization as it comes.

Every circuit is h, then for each layer rz, rzz and rx, as a user writes it: built, and where it must be,
transpiled once, outside the time that is measured. One thread.
"""

import itertools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from qiskit_solvers.ising import Ising
from tests.benchmarks.solver.intervals import Floats

Energy = Callable[[Floats, Floats], float]

STOCK_SHOTS = 1024


def aer_energies(ising: Ising, costs: Floats, layers: int) -> Mapping[str, Energy]:
    """Return the ways to get an exact energy from Aer, by name.

    Args:
        ising: the model.
        costs: its energies, ``(2**spins,)``.
        layers: of the circuit.
    """
    from qiskit.circuit import ParameterVector
    from qiskit_aer import AerSimulator
    from qiskit_aer.primitives import EstimatorV2

    gammas, betas = ParameterVector("g", layers), ParameterVector("b", layers)
    plain = _circuit(ising, gammas, betas, _terms(ising))
    grouped = _circuit(ising, gammas, betas, _grouped(ising))
    saved, saved_grouped = plain.copy(), grouped.copy()
    saved.save_statevector()
    saved_grouped.save_statevector()
    simulator = AerSimulator(method="statevector", max_parallel_threads=1)
    binding = AerSimulator(method="statevector", max_parallel_threads=1, runtime_parameter_bind_enable=True)
    wide = AerSimulator(method="statevector", max_parallel_threads=1, fusion_max_qubit=6, fusion_threshold=12)

    def expectation(result: Any) -> float:
        amplitudes = np.asarray(result.data(0)["statevector"])
        return float(costs @ (amplitudes.real**2 + amplitudes.imag**2))

    def assigned(g: Floats, b: Floats) -> float:
        bound = saved.assign_parameters({gammas: g, betas: b})
        return expectation(simulator.run(bound).result())

    def batched(g: Floats, b: Floats) -> float:
        values = zip((*gammas, *betas), (*g.tolist(), *b.tolist()), strict=True)
        return expectation(binding.run(saved, parameter_binds=[{name: [value] for name, value in values}]).result())

    def fused(g: Floats, b: Floats) -> float:
        bound = saved_grouped.assign_parameters({gammas: g, betas: b})
        return expectation(wide.run(bound).result())

    options = {"method": "statevector", "max_parallel_threads": 1}
    estimator = EstimatorV2(options={"backend_options": options, "default_precision": 0.0})
    operator = operator_of(ising)

    def estimated(g: Floats, b: Floats) -> float:
        job = estimator.run([(plain, operator, {gammas: g, betas: b})])
        return float(job.result()[0].data.evs) + ising.offset

    return {
        "Aer, assign_parameters": assigned,
        "Aer, parameter_binds": batched,
        "Aer, gates ordered to fuse": fused,
        "Aer EstimatorV2": estimated,
    }


def stock_energies(ising: Ising, layers: int, seed: int, *, statevector: bool) -> Mapping[str, Energy]:
    """Return the objective that qiskit-optimization's QAOA hands to its optimiser, by sampler; 1,024 shots.

    Args:
        ising: the model.
        layers: of the circuit.
        seed: of the samplers.
        statevector: also by Qiskit's own sampler, which is far slower than Aer's.
    """
    found = {"stock QAOA, Aer SamplerV2": _stock(ising, layers, seed, aer=True)}
    if statevector:
        found["stock QAOA, StatevectorSampler"] = _stock(ising, layers, seed, aer=False)
    return found


class _HeldBackError(Exception):
    """Carries the objective out before anything is optimised."""

    def __init__(self, objective: Callable[[Floats], float]) -> None:
        super().__init__("the objective, not an error")
        self.objective = objective


def _stock(ising: Ising, layers: int, seed: int, *, aer: bool) -> Energy:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses classes that Qiskit has deprecated
        from qiskit.primitives import StatevectorSampler
        from qiskit.transpiler import generate_preset_pass_manager
        from qiskit_aer import AerSimulator
        from qiskit_optimization.minimum_eigensolvers import QAOA

        def optimiser(fun: Callable[[Floats], float], x0: Floats, jac: Any, bounds: Any) -> Any:
            raise _HeldBackError(fun)

        sampler: Any = aer_sampler(seed) if aer else StatevectorSampler(default_shots=STOCK_SHOTS, seed=seed)
        passes = generate_preset_pass_manager(1, backend=AerSimulator()) if aer else None
        solver = QAOA(sampler, optimiser, reps=layers, pass_manager=passes)
        try:
            solver.compute_minimum_eigenvalue(operator_of(ising))
        except _HeldBackError as held:
            objective = held.objective

    def energy(gammas: Floats, betas: Floats) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # its parameters are the betas, then the gammas; its mixer is exp(-i beta X)
            return float(objective(np.concatenate([-betas, gammas]))) + ising.offset

    return energy


def aer_sampler(seed: int) -> Any:
    """Return Aer's sampler with one thread and the stock number of shots."""
    from qiskit_aer.primitives import SamplerV2

    return SamplerV2(
        default_shots=STOCK_SHOTS,
        seed=seed,
        options={"backend_options": {"method": "statevector", "max_parallel_threads": 1}},
    )


def operator_of(ising: Ising) -> Any:
    """Return the model as a sum of Paulis, without its offset."""
    from qiskit.quantum_info import SparsePauliOp

    terms = [("Z", [i], float(value)) for i, value in enumerate(ising.h) if value]
    pairs = ising.pairs
    rows, columns, values = pairs.rows.tolist(), pairs.columns.tolist(), pairs.values.tolist()
    terms += [("ZZ", [i, j], value) for i, j, value in zip(rows, columns, values, strict=True)]
    return SparsePauliOp.from_sparse_list(terms, ising.spins)


def _terms(ising: Ising) -> list[tuple[int, int, float]]:
    pairs = ising.pairs
    fields = [(i, i, float(value)) for i, value in enumerate(ising.h) if value]
    rows, columns, values = pairs.rows.tolist(), pairs.columns.tolist(), pairs.values.tolist()
    return fields + list(zip(rows, columns, values, strict=True))


def _grouped(ising: Ising) -> list[tuple[int, int, float]]:
    """Return the terms so that those of the same two blocks of three qubits follow one another."""
    return sorted(_terms(ising), key=lambda term: (term[0] // 3, term[1] // 3))


def _circuit(ising: Ising, gammas: Any, betas: Any, terms: list[tuple[int, int, float]]) -> Any:
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(ising.spins)
    circuit.h(range(ising.spins))
    for gamma, beta in itertools.zip_longest(gammas, betas):
        for i, j, value in terms:
            if i == j:
                circuit.rz(2.0 * value * gamma, i)
            else:
                circuit.rzz(2.0 * value * gamma, i, j)
        circuit.rx(-2.0 * beta, range(ising.spins))
    return circuit
