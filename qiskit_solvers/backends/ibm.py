"""How do circuits reach an IBM quantum computer, or a fake one that needs no network?

Sessions with hardware cost money and wait in queues: what exceeds a cap is refused before it is submitted,
what waits too long is cancelled, and the service is told to stop the job at the same cap. Coded against
``qiskit.primitives.BaseSamplerV2``. The real service was never asked by our tests; the fake devices are.
"""

import functools
import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from qiskit_solvers import memory
from qiskit_solvers.backends.credentials import Secret, credential, without
from qiskit_solvers.backends.noise import fake_device
from qiskit_solvers.backends.protocol import (
    Batch,
    Circuit,
    Counts,
    Figures,
    OverBudget,
    Run,
    Unavailable,
    as_batches,
    check_request,
)
from qiskit_solvers.backends.transpiled import measured, pass_manager, physical_qubits
from qiskit_solvers.errors import SolverFailed

_TOKEN, _INSTANCE = "QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE"
_SHOT_S = 3e-4  # 250 microseconds between shots by default, and the circuit itself
_JOB_S = 2.0  # seconds of the processor that a job takes beside its shots
_POLL_S = 2.0
_WAITING = ("INITIALIZING", "QUEUED", "VALIDATING")
_CLIENT_BYTES = 512 << 20  # of addresses, for qiskit-ibm-runtime and what it loads


@dataclass(frozen=True, slots=True)
class Ibm:
    """A device of the IBM Quantum Platform; its key and its instance are ``QISKIT_IBM_TOKEN`` and ``..._INSTANCE``.

    Args:
        kind: name in reports.
        device: name; empty takes the least busy one that is wide enough.
        fake: run on this fake device in this process instead, ``FakeManilaV2`` for instance; no key is asked for.
        qubits: the physical qubit of each qubit; empty leaves the choice to the transpiler.
        level: of optimisation, 0 to 3.
        max_shots: of a call, all its circuits together.
        max_seconds: of the quantum processor, for a call.
        queue_limit_s: seconds after which a job that still waits is cancelled.
        secret: returns a secret by name; none reads the environment.

    Raises:
        ValueError: a cap is not positive, or the level is unknown.
    """

    kind: Literal["ibm"] = "ibm"
    device: str = ""
    fake: str = ""
    qubits: tuple[int, ...] = ()
    level: int = 2
    max_shots: int = 200_000
    max_seconds: float = 60.0
    queue_limit_s: float = 600.0
    secret: Secret | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.max_shots < 1 or not (self.max_seconds > 0 and self.queue_limit_s > 0):
            raise ValueError(f"expected positive caps, got {self}")
        if self.level not in range(4):
            raise ValueError(f"level: expected 0 to 3, got {self.level}")

    @property
    def credentials(self) -> tuple[str, ...]:
        """Names of the secrets that a run asks for."""
        return () if self.fake else (_TOKEN, _INSTANCE)

    def run(self, circuits: Sequence[Circuit | Batch], *, shots: int, seed: int) -> Run:
        """Run all circuits as one job; see :meth:`~qiskit_solvers.backends.protocol.Backend.run`.

        The seed draws the shots of a fake device; nature has none.
        """
        check_request(shots, seed)
        batches = as_batches(circuits)
        runs = sum(batch.sets for batch in batches if batch.circuit.num_qubits)
        self._check_budget(runs, shots)
        if not runs:
            return Run(tuple({0: shots} for batch in batches for _ in range(batch.sets)))
        secrets = tuple(credential(name, self.secret) for name in self.credentials)
        try:
            return self._submit(batches, shots, seed, secrets)
        except (SolverFailed, MemoryError):
            raise
        except Exception as error:  # the client raises a dozen kinds of its own, and its transport's
            reason = without(f"{type(error).__name__}: {error}", secrets)
            raise SolverFailed(f"ibm: {reason}") from None  # the original may quote the request, key and all

    def bytes_needed(self, circuits: Sequence[Circuit | Batch], shots: int) -> int:
        """Return what the client takes; a fake device simulates as well."""
        batches = as_batches(circuits)
        qubits = max((batch.circuit.num_qubits for batch in batches), default=0)
        kept = sum(batch.sets * shots * (8 + qubits // 4) for batch in batches)
        return _CLIENT_BYTES + kept + (memory.statevector_bytes(qubits) if self.fake else 0)

    def _check_budget(self, runs: int, shots: int) -> None:
        if runs * shots > self.max_shots:
            raise OverBudget(f"ibm: expected at most {self.max_shots} shots, {runs} circuits take {runs * shots}")
        seconds = _JOB_S + runs * shots * _SHOT_S
        if not self.fake and seconds > self.max_seconds:
            raise OverBudget(f"ibm: expected at most {self.max_seconds:g} s, {runs * shots} shots take {seconds:.1f} s")

    def _submit(self, batches: Sequence[Batch], shots: int, seed: int, secrets: tuple[str, ...]) -> Run:
        widest = max(batch.circuit.num_qubits for batch in batches)
        device = fake_device(self.fake) if self.fake else _open(self.device, widest, secrets)
        asked = [batch for batch in batches if batch.circuit.num_qubits and batch.sets]
        translated = [
            _pass_manager(device, self.level, self.qubits[: batch.circuit.num_qubits]).run(measured(batch.circuit))
            for batch in asked
        ]
        # one array of values per parameter and circuit: one transfer for all its sets
        pubs = [
            (circuit, {angle: np.array(values) for angle, values in batch.bindings.items()})
            for circuit, batch in zip(translated, asked, strict=True)
        ]
        job = _sampler(device, seed if self.fake else None, self.max_seconds).run(pubs, shots=shots)
        queue_s = wait_in_queue(job, self.queue_limit_s)
        results = iter(job.result())
        counts: list[Counts] = []
        for batch in batches:
            if not (batch.circuit.num_qubits and batch.sets):
                counts += [{0: shots}] * batch.sets
                continue
            bits = next(results).join_data()
            places = range(batch.sets) if batch.bindings else [None]
            counts += [dict(sorted(bits.get_int_counts(place).items())) for place in places]
        return Run(
            tuple(counts),
            Figures(
                queue_s=queue_s,
                run_s=0.0 if self.fake else float(job.usage()),
                two_qubit_gates=tuple(circuit.num_nonlocal_gates() for circuit in translated),
                depth=tuple(circuit.depth() for circuit in translated),
                measured=tuple(physical_qubits(circuit) for circuit in translated),
            ),
        )


def wait_in_queue(job: Any, limit_s: float, poll_s: float = _POLL_S) -> float:
    """Wait until a job no longer waits; return the seconds that took.

    Args:
        job: has ``status()`` and ``cancel()``.
        limit_s: seconds after which the job is cancelled.
        poll_s: seconds between two looks.

    Raises:
        Unavailable: it still waits after ``limit_s``; it was cancelled.
    """
    start_s = time.monotonic()
    while True:
        status = job.status()
        waited_s = time.monotonic() - start_s
        if str(getattr(status, "name", status)) not in _WAITING:
            return waited_s
        if waited_s >= limit_s:
            job.cancel()
            raise Unavailable(f"ibm: expected to leave the queue within {limit_s:g} s; the job was cancelled")
        time.sleep(min(poll_s, max(limit_s - waited_s, 0.0)))


_opened: dict[tuple[str, bytes], Any] = {}  # opening the service takes seconds; the key is kept as its digest


def _open(name: str, qubits: int, secrets: tuple[str, ...]) -> Any:
    """Return the device of this name, or the least busy of those with so many qubits."""
    try:
        from qiskit_ibm_runtime import QiskitRuntimeService
    except ImportError as error:
        raise Unavailable(
            "qiskit-ibm-runtime is not installed: in the project's folder, "
            "pip install --constraint constraints.txt --editable '.[ibm]'"
        ) from error
    token, instance = secrets
    place = (name, hashlib.sha256(f"{token}\n{instance}".encode()).digest())
    if name and place in _opened:
        return _opened[place]
    service = QiskitRuntimeService(channel="ibm_quantum_platform", token=token, instance=instance)
    device = service.backend(name) if name else service.least_busy(min_num_qubits=qubits, simulator=False)
    if name:
        _opened[place] = device
    return device


@functools.lru_cache(maxsize=8)
def _pass_manager(device: Any, level: int, qubits: tuple[int, ...]) -> Any:
    return pass_manager(device.target, level=level, qubits=qubits)


def _sampler(device: Any, seed: int | None, max_seconds: float) -> Any:
    """Return the runtime's sampler; its SamplerV2 is deprecated since 0.50, the executor's is newer than 0.47."""
    try:
        from qiskit_ibm_runtime.executor_sampler import Sampler
    except ImportError:
        from qiskit_ibm_runtime import SamplerV2 as Sampler

    sampler = Sampler(mode=device)
    if seed is None:
        sampler.options.max_execution_time = math.ceil(max_seconds)
    else:
        sampler.options.simulator.seed_simulator = seed
    return sampler
