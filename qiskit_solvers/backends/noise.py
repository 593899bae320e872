"""Which errors does the simulated machine make? Uniform ones, or those of a real device as once calibrated."""

import functools
from dataclasses import dataclass
from typing import Any, Literal

from qiskit_solvers.backends.protocol import Unavailable

BASIS_GATES = ("rz", "sx", "x", "cz")
"""What circuits are translated to under :class:`GateNoise`; rz is a change of frame and has no error."""


@dataclass(frozen=True, slots=True)
class GateNoise:
    """The same errors on every qubit and pair: depolarising, thermal relaxation, and wrong readings.

    Args:
        kind: tag.
        one_qubit: depolarising probability of a sx or x, 0 to 1.
        two_qubit: depolarising probability of a cz, 0 to 1.
        read_1_for_0: probability that |0> is read as 1.
        read_0_for_1: probability that |1> is read as 0.
        t1_us: relaxation time, microseconds; 0: none.
        t2_us: dephasing time, microseconds, at most twice ``t1_us``; 0 with ``t1_us`` 0.
        one_qubit_ns: duration of a sx or x, for the relaxation.
        two_qubit_ns: duration of a cz, for the relaxation.

    Raises:
        ValueError: a probability is not in 0 .. 1, a time is negative, or t2 and t1 do not go together.
    """

    kind: Literal["gate-noise"] = "gate-noise"
    one_qubit: float = 0.0
    two_qubit: float = 0.0
    read_1_for_0: float = 0.0
    read_0_for_1: float = 0.0
    t1_us: float = 0.0
    t2_us: float = 0.0
    one_qubit_ns: float = 35.0
    two_qubit_ns: float = 70.0

    def __post_init__(self) -> None:
        for name in ("one_qubit", "two_qubit", "read_1_for_0", "read_0_for_1"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: expected a probability, got {getattr(self, name)}")
        if not min(self.t1_us, self.t2_us, self.one_qubit_ns, self.two_qubit_ns) >= 0.0:
            raise ValueError(f"expected times of 0 and more, got {self}")
        if self.t2_us > 2.0 * self.t1_us or (self.t1_us > 0.0) != (self.t2_us > 0.0):
            raise ValueError(f"t2_us: expected more than 0 and at most twice t1_us {self.t1_us}, got {self.t2_us}")


@dataclass(frozen=True, slots=True)
class FakeDevice:
    """The errors, the gates and the couplings of an IBM device as calibrated one day; needs no network.

    Args:
        name: class in ``qiskit_ibm_runtime.fake_provider``, ``FakeManilaV2`` for instance. Devices of more than a
            hundred qubits take 15 s to load, once in a process.
        kind: tag.
    """

    name: str = "FakeManilaV2"
    kind: Literal["fake-device"] = "fake-device"


Noise = GateNoise | FakeDevice


@functools.lru_cache(maxsize=4)
def fake_device(name: str) -> Any:
    """Return the fake IBM backend of this name, loaded once in a process.

    Raises:
        Unavailable: qiskit-ibm-runtime is not installed.
        ValueError: there is no fake of this name.
    """
    try:
        from qiskit_ibm_runtime import fake_provider
    except ImportError as error:
        raise Unavailable(
            "qiskit-ibm-runtime is not installed: in the project's folder, "
            "pip install --constraint constraints.txt --editable '.[ibm]'"
        ) from error
    if not (name.startswith("Fake") and "Provider" not in name and hasattr(fake_provider, name)):
        raise ValueError(f"expected a class of qiskit_ibm_runtime.fake_provider, FakeManilaV2 for instance, got {name}")
    return getattr(fake_provider, name)()


@functools.lru_cache(maxsize=16)
def noise_model(noise: Noise) -> Any:
    """Return Aer's ``NoiseModel``, built once in a process."""
    from qiskit_aer.noise import NoiseModel, ReadoutError

    if isinstance(noise, FakeDevice):
        return NoiseModel.from_backend(fake_device(noise.name))
    model = NoiseModel(basis_gates=list(BASIS_GATES))
    one, two = _gate_errors(noise)
    if one is not None:
        model.add_all_qubit_quantum_error(one, ["sx", "x"])
    if two is not None:
        model.add_all_qubit_quantum_error(two, ["cz"])
    if noise.read_1_for_0 or noise.read_0_for_1:
        read = [[1 - noise.read_1_for_0, noise.read_1_for_0], [noise.read_0_for_1, 1 - noise.read_0_for_1]]
        model.add_all_qubit_readout_error(ReadoutError(read))
    return model


def _gate_errors(noise: GateNoise) -> tuple[Any, Any]:
    """Return the error after a one-qubit gate and after a two-qubit gate; None where there is none."""
    from qiskit_aer.noise import depolarizing_error, thermal_relaxation_error

    one = depolarizing_error(noise.one_qubit, 1) if noise.one_qubit else None
    two = depolarizing_error(noise.two_qubit, 2) if noise.two_qubit else None
    if noise.t1_us:
        t1_ns, t2_ns = 1e3 * noise.t1_us, 1e3 * noise.t2_us
        relaxed = thermal_relaxation_error(t1_ns, t2_ns, noise.one_qubit_ns)
        one = relaxed if one is None else one.compose(relaxed)
        waited = thermal_relaxation_error(t1_ns, t2_ns, noise.two_qubit_ns)
        two = waited.tensor(waited) if two is None else two.compose(waited.tensor(waited))
    return one, two
