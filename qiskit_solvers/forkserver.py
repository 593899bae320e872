"""What runs on the far side of the sandbox? A process that has Aer loaded and forks a child for whoever asks.

Started as ``python -m qiskit_solvers.forkserver FD`` by :mod:`qiskit_solvers.sandbox`. The standard
library's fork server would do, but each of its children first imports the parent's ``__main__``
again: the whole of Prefect inside a flow run, and a script without a main guard runs twice.

Children are named ``qf-solver`` (``/proc/<pid>/comm``), this process ``qf-forkserver``.
"""

import contextlib
import ctypes
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qiskit_solvers import wire
from qiskit_solvers.errors import SolverFailed, TooLarge

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15  # linux/prctl.h


def serve(control: socket.socket) -> None:
    """Fork children and end them, as asked over ``control``, until it closes.

    ``FORK`` comes with one end of a socket pair, on which the child will answer calls, and is
    answered with its process id. ``END`` with a process id kills that child, and is answered with
    its wait status: what the child died of, when it was dead already.
    """
    # loaded here once, so that a fork has it for nothing
    import qiskit_aer  # noqa: F401 - for the children

    import qiskit_solvers.backends.aer
    import qiskit_solvers.backends.transfer
    import qiskit_solvers.circuits.transverse  # noqa: F401 - for the children

    gc.freeze()  # the children's collector then leaves these pages shared
    while True:
        message, descriptors, _flags, _address = socket.recv_fds(control, wire.REQUEST.size, 1)
        if len(message) < wire.REQUEST.size:
            return
        operation, pid = wire.REQUEST.unpack(message)
        if operation == wire.FORK:
            pid = _fork(descriptors[0], control)
            os.close(descriptors[0])
            control.sendall(wire.REPLY.pack(pid))
        else:
            control.sendall(wire.REPLY.pack(_end(pid)))


def _fork(descriptor: int, control: socket.socket) -> int:
    """Fork a child that answers calls on ``descriptor``; return its process id."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        _name_process("qf-solver")
        _die_with_parent(parent)
        control.close()
        _answer_calls(socket.socket(fileno=descriptor))
        status = 0
    finally:
        os._exit(status)  # nothing of the fork server's own ending may run here


def _end(pid: int) -> int:
    """Kill child ``pid`` and return its wait status, or -1 if there is no such child."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return -1  # of an earlier fork server, and dead with it; the number may be another process by now
    if not ended:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    return status


def _answer_calls(connection: socket.socket) -> None:
    """Answer calls until the other side closes."""
    _warm_up()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            wire.send(connection, _answer(wire.receive(connection)))


def _warm_up() -> None:
    """Have Aer take what it takes once, which later would count against a call's memory.

    The first run starts its thread, with a stack; the first matrix product state takes 128 MB of addresses for
    the linear algebra.
    """
    from qiskit import QuantumCircuit

    from qiskit_solvers.backends.aer import Aer

    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    for method in ("statevector", "matrix_product_state"):
        Aer(method=method).run([circuit], shots=1, seed=0)


def _answer(call: dict[str, Any]) -> dict[str, Any]:
    """Return ``{"value": ...}``, or ``{"failed": reason, "error": type}``."""
    unlimited = resource.getrlimit(resource.RLIMIT_AS)
    try:
        fence(call["memory_mb"])
        return {"value": _JOBS[call["job"]](call["request"], call["memory_mb"])}
    except MemoryError as error:
        reason = f"out of memory: more than {call['memory_mb']} MB wanted" + (f" ({error})" if str(error) else "")
        return {"failed": reason, "error": "MemoryError"}
    except (SolverFailed, TooLarge) as error:
        return {"failed": str(error), "error": type(error).__name__}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}", "error": type(error).__name__}
    finally:
        resource.setrlimit(resource.RLIMIT_AS, unlimited)


def _sample(request: dict[str, Any], memory_mb: int) -> list[list[int]]:
    """Return ``[[index, count], ...]`` of :func:`qiskit_solvers.backends.aer.sample`."""
    from qiskit_solvers.backends import aer, transfer

    counts = aer.sample(
        transfer.unpack_ising(request["ising"]),
        request["gammas"],
        request["betas"],
        shots=request["shots"],
        seed=request["seed"],
        memory_mb=memory_mb,
    )
    return [[index, count] for index, count in counts.items()]


def _run(request: dict[str, Any], _memory_mb: int) -> dict[str, Any]:
    """Run circuits on the backend that the request describes."""
    from qiskit_solvers.backends import transfer

    backend = transfer.unpack_backend(request["backend"], request["secrets"])
    circuits = transfer.unpack_circuits(request["circuits"])
    return transfer.pack_run(backend.run(circuits, shots=request["shots"], seed=request["seed"]))


def _read(request: dict[str, Any], _memory_mb: int) -> dict[str, Any]:
    """Anneal a model on the backend that the request describes."""
    from qiskit_solvers.backends import transfer

    backend = transfer.unpack_annealing_backend(request["backend"], request["secrets"])
    ising = transfer.unpack_ising(request["ising"])
    return transfer.pack_reads(backend.read(ising, reads=request["reads"], seed=request["seed"]))


_JOBS: dict[str, Callable[[dict[str, Any], int], Any]] = {"sample": _sample, "run": _run, "read": _read}
"""What a caller can name, and nothing else."""


def fence(memory_mb: int) -> None:
    """Let this process grow by ``memory_mb`` MiB of address space and no more (Linux; elsewhere nothing)."""
    statistics = Path("/proc/self/statm")
    if statistics.exists():
        in_use = int(statistics.read_text().split()[0]) * resource.getpagesize()
        _soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = in_use + (memory_mb << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _name_process(name: str) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def _die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when ``parent`` dies: a native run hears nothing else."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the request was in place
            os._exit(1)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # Aer logs what it also reports, and reports go to the caller
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the parent, whose end we see
    _name_process("qf-forkserver")
    with socket.socket(fileno=int(sys.argv[1])) as _control:
        serve(_control)
