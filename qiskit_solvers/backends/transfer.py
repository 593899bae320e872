"""How do circuits, backends and answers cross to another process? As JSON; circuits in QPY, Qiskit's own format.

Plain data, never code: a backend is named by its kind among those listed here, and nothing is unpickled.
"""

import base64
import dataclasses
import importlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from qiskit_solvers.backends.protocol import AnnealingBackend, Backend, Batch, Figures, Reads, Run
from qiskit_solvers.ising import Ising

_BACKENDS = {"aer": ("aer", "Aer"), "ibm": ("ibm", "Ibm"), "google": ("google", "Google")}
_ANNEALING_BACKENDS = {"dwave": ("dwave", "DWave")}
_PARTS = {"gate-noise": ("noise", "GateNoise"), "fake-device": ("noise", "FakeDevice")}


def pack_circuits(batches: Sequence[Batch]) -> dict[str, Any]:
    """Return circuits and the values of their parameters, which stand in the order of ``circuit.parameters``."""
    from qiskit import qpy

    if not batches:
        return {"qpy": "", "bindings": []}
    written = io.BytesIO()
    qpy.dump([batch.circuit for batch in batches], written)
    return {
        "qpy": base64.b64encode(written.getvalue()).decode("ascii"),
        "bindings": [
            [[float(value) for value in batch.bindings[angle]] for angle in batch.circuit.parameters]
            for batch in batches
        ],
    }


def unpack_circuits(packed: Mapping[str, Any]) -> tuple[Batch, ...]:
    """Return what :func:`pack_circuits` packed."""
    from qiskit import qpy

    if not packed["qpy"]:
        return ()
    circuits = qpy.load(io.BytesIO(base64.b64decode(packed["qpy"])))
    return tuple(
        Batch(circuit, dict(zip(circuit.parameters, bindings, strict=True)))
        for circuit, bindings in zip(circuits, packed["bindings"], strict=True)
    )


def pack_backend(backend: Any) -> dict[str, Any]:
    """Return a backend's options; a getter of secrets stays behind.

    Raises:
        ValueError: the backend is of no kind that another process knows.
    """
    known = _BACKENDS | _ANNEALING_BACKENDS
    if known.get(backend.kind, ("", ""))[1] != type(backend).__name__:
        names = ", ".join(sorted(name for _, name in known.values()))
        raise ValueError(f"backend: expected one of {names}, got {type(backend).__name__} of kind {backend.kind}")
    return {name: value for name, value in dataclasses.asdict(backend).items() if name != "secret"}


def unpack_backend(packed: Mapping[str, Any], secrets: Mapping[str, str]) -> Backend:
    """Return the backend of circuits that was packed, which finds its keys among ``secrets``."""
    backend: Backend = _build(_BACKENDS[packed["kind"]], packed, secrets)
    return backend


def unpack_annealing_backend(packed: Mapping[str, Any], secrets: Mapping[str, str]) -> AnnealingBackend:
    """Return the annealing backend that was packed, which finds its keys among ``secrets``."""
    backend: AnnealingBackend = _build(_ANNEALING_BACKENDS[packed["kind"]], packed, secrets)
    return backend


def pack_run(run: Run) -> dict[str, Any]:
    """Return counts as ``[[index, count], ...]`` and the figures."""
    return {
        "counts": [list(map(list, counts.items())) for counts in run.counts],
        "figures": dataclasses.asdict(run.figures),
    }


def unpack_run(packed: Mapping[str, Any]) -> Run:
    """Return what :func:`pack_run` packed."""
    counts = tuple(dict(pairs) for pairs in packed["counts"])
    return Run(counts, _figures(packed["figures"]))


def pack_ising(ising: Ising) -> dict[str, Any]:
    """Return a model without its names, which no machine needs."""
    pairs = ising.pairs
    return {
        "h": ising.h.tolist(),
        "pairs": [pairs.rows.tolist(), pairs.columns.tolist(), pairs.values.tolist()],
        "offset": ising.offset,
        "groups": [list(group) for group in ising.groups],
    }


def unpack_ising(packed: Mapping[str, Any]) -> Ising:
    """Return what :func:`pack_ising` packed, with sparse couplings."""
    rows, columns, values = packed["pairs"]
    h = np.array(packed["h"], dtype=np.float64)
    ends = (np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64))
    J = sparse.csr_array((np.array(values, dtype=np.float64), ends), shape=(h.size, h.size))
    return Ising(h, J, packed["offset"], tuple(tuple(group) for group in packed["groups"]))


def pack_reads(reads: Reads) -> dict[str, Any]:
    """Return the strings of an annealing machine as plain lists."""
    return {
        "strings": reads.strings.tolist(),
        "spins": reads.strings.shape[1],
        "energies": reads.energies.tolist(),
        "counts": reads.counts.tolist(),
        "figures": dataclasses.asdict(reads.figures),
    }


def unpack_reads(packed: Mapping[str, Any]) -> Reads:
    """Return what :func:`pack_reads` packed."""
    return Reads(
        np.array(packed["strings"], dtype=np.int8).reshape(len(packed["strings"]), packed["spins"]),
        np.array(packed["energies"], dtype=np.float64),
        np.array(packed["counts"], dtype=np.int64),
        _figures(packed["figures"]),
    )


def _build(place: tuple[str, str], packed: Mapping[str, Any], secrets: Mapping[str, str]) -> Any:
    module, name = place
    kind = getattr(importlib.import_module(f"qiskit_solvers.backends.{module}"), name)
    options = {option: _value(value) for option, value in packed.items()}
    if "secret" in {field.name for field in dataclasses.fields(kind)}:
        options["secret"] = dict(secrets).get
    return kind(**options)


def _value(value: Any) -> Any:
    """Return an option: JSON has lists for tuples, and objects for the values that an option holds."""
    if isinstance(value, dict):
        return _build(_PARTS[value["kind"]], value, {})
    return tuple(value) if isinstance(value, list) else value


def _figures(packed: Mapping[str, Any]) -> Figures:
    return Figures(
        queue_s=packed["queue_s"],
        run_s=packed["run_s"],
        two_qubit_gates=tuple(packed["two_qubit_gates"]),
        depth=tuple(packed["depth"]),
        measured=tuple(tuple(qubits) for qubits in packed["measured"]),
    )
