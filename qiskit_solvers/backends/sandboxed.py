"""How is any backend kept from taking the whole run down? It runs in the sandbox's child."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qiskit_solvers import memory, sandbox
from qiskit_solvers.backends import transfer
from qiskit_solvers.backends.credentials import credential
from qiskit_solvers.backends.protocol import (
    AnnealingBackend,
    Backend,
    Batch,
    Circuit,
    Reads,
    Run,
    as_batches,
    check_request,
)
from qiskit_solvers.ising import Ising


@dataclass(frozen=True, slots=True)
class Sandboxed:
    """Another backend, run in a warm child process with a deadline and a bound on its memory.

    Args:
        backend: what runs there; its options cross as plain data, its keys over the socket between the two only.
        deadline_s: seconds after which the child is killed, the queue of a machine included.
        memory_mb: how far the child may grow, MiB.

    Raises:
        ValueError: the deadline or the memory is not positive, no child knows the backend, or it is of the other kind.
    """

    backend: Backend
    deadline_s: float = 60.0
    memory_mb: int = 1024

    def __post_init__(self) -> None:
        _check(self.backend, self.deadline_s, self.memory_mb)
        if not hasattr(self.backend, "run"):
            raise ValueError(f"expected a backend of circuits, got {self.kind}: SandboxedAnnealing takes it")

    @property
    def kind(self) -> str:
        """The backend's."""
        return self.backend.kind

    def run(self, circuits: Sequence[Circuit | Batch], *, shots: int, seed: int) -> Run:
        """Run the circuits in the child; see :meth:`~qiskit_solvers.backends.protocol.Backend.run`.

        What would not fit is refused here, before any process is asked.
        """
        check_request(shots, seed)
        batches = as_batches(circuits)
        memory.require(self.backend.bytes_needed(batches, shots), self.memory_mb, self.kind)
        answer = sandbox.call(
            "run",
            {
                **_described(self.backend),
                "circuits": transfer.pack_circuits(batches),
                "shots": shots,
                "seed": seed,
            },
            deadline_s=self.deadline_s,
            memory_mb=self.memory_mb,
        )
        return transfer.unpack_run(answer)

    def bytes_needed(self, circuits: Sequence[Circuit | Batch], shots: int) -> int:
        """Return the memory that the run will take in the child, at most."""
        return self.backend.bytes_needed(circuits, shots)


@dataclass(frozen=True, slots=True)
class SandboxedAnnealing:
    """Another annealing backend, run in a warm child process with a deadline and a bound on its memory.

    Args:
        backend: what runs there.
        deadline_s: seconds after which the child is killed, the queue of a machine included.
        memory_mb: how far the child may grow, MiB; loading D-Wave's client alone takes several hundred.

    Raises:
        ValueError: the deadline or the memory is not positive, no child knows the backend, or it is of the other kind.
    """

    backend: AnnealingBackend
    deadline_s: float = 60.0
    memory_mb: int = 1024

    def __post_init__(self) -> None:
        _check(self.backend, self.deadline_s, self.memory_mb)
        if not hasattr(self.backend, "read"):
            raise ValueError(f"expected an annealing backend, got {self.kind}: Sandboxed takes it")

    @property
    def kind(self) -> str:
        """The backend's."""
        return self.backend.kind

    def read(self, ising: Ising, *, reads: int, seed: int) -> Reads:
        """Anneal in the child; see :meth:`~qiskit_solvers.backends.protocol.AnnealingBackend.read`."""
        check_request(reads, seed, "reads")
        answer = sandbox.call(
            "read",
            {**_described(self.backend), "ising": transfer.pack_ising(ising), "reads": reads, "seed": seed},
            deadline_s=self.deadline_s,
            memory_mb=self.memory_mb,
        )
        return transfer.unpack_reads(answer)


def _check(backend: Any, deadline_s: float, memory_mb: int) -> None:
    transfer.pack_backend(backend)
    if not deadline_s > 0 or memory_mb < 1:
        raise ValueError(f"expected a positive deadline and memory, got {deadline_s} s and {memory_mb} MiB")


def _described(backend: Any) -> Mapping[str, Any]:
    """Return the backend's options, and beside them the keys that it will ask for."""
    names: tuple[str, ...] = getattr(backend, "credentials", ())
    secret = getattr(backend, "secret", None)
    return {
        "backend": transfer.pack_backend(backend),
        "secrets": {name: credential(name, secret) for name in names},
    }
