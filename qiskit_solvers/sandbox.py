"""How is native code kept from taking the whole run down? It runs in a child that is killed when it misbehaves.

Aer holds the interpreter lock for a whole run, so in this process it would starve every thread,
outlast every timeout and take the run along when it crashes. Here each call has a deadline and a
memory bound, and whatever goes wrong is one :class:`~qiskit_solvers.errors.SolverFailed`.

Children stay warm between calls and are used by one thread at a time. They end with this process,
however it ends: an idle child sees its connection close, a busy one is killed by the kernel
together with the fork server, which sees the same (Linux; elsewhere a busy child ends after its run).
"""

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qiskit_solvers import wire
from qiskit_solvers.backends.protocol import OverBudget, Unavailable
from qiskit_solvers.errors import SolverFailed, TooLarge

_START_LIMIT_S = 120.0  # to import Qiskit and Aer on a busy machine
_END_LIMIT_S = 20.0  # to kill and reap one child
_LONGEST_DEADLINE_S = 1e6  # a socket's timeout cannot hold any number
_IDLE_CHILDREN = 4  # kept; a burst of threads gets more, which end after their call

# what a caller tells apart keeps its type on the way back; everything else is SolverFailed
_ERRORS: dict[str, type[Exception]] = {error.__name__: error for error in (TooLarge, Unavailable, OverBudget)}

_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "QISKIT_PARALLEL": "FALSE",
    "MALLOC_ARENA_MAX": "1",  # each arena reserves 128 MB of the address space that the fence counts
}


def call(job: str, request: Mapping[str, Any], *, deadline_s: float, memory_mb: int) -> Any:
    """Do one job in a child and return its answer.

    Args:
        job: a name that the child knows (:mod:`qiskit_solvers.forkserver`).
        request: what the job needs; JSON.
        deadline_s: seconds after which the child is killed; its start does not count.
        memory_mb: how far the child may grow, MiB.

    Raises:
        ValueError: the deadline is not more than 0 and at most 11 days, or there is no memory to use.
        SolverFailed: no answer in time, the child died, memory ran out, or the job raised.
        TooLarge: the job said so.
    """
    if not 0 < deadline_s <= _LONGEST_DEADLINE_S:
        raise ValueError(f"deadline_s: expected more than 0 and at most {_LONGEST_DEADLINE_S:g}, got {deadline_s}")
    if memory_mb < 1:
        raise ValueError(f"memory_mb: expected at least 1, got {memory_mb}")
    return _sandbox.call({"job": job, "request": request, "memory_mb": memory_mb}, deadline_s)


def prepare() -> None:
    """Begin to load Aer in the background, so that the first call need not wait for it."""
    _sandbox.prepare()


def children() -> tuple[int, ...]:
    """Return the process ids of the children of this process, busy or idle."""
    return _sandbox.children()


@dataclass(frozen=True, slots=True, eq=False)
class _Child:
    pid: int
    connection: socket.socket

    def is_alive(self) -> bool:
        """Whether the idle child still listens: a dead one's connection has an end to read."""
        self.connection.setblocking(False)
        try:
            self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


class _ForkServer:
    """The parent's side of :mod:`qiskit_solvers.forkserver`; used by one thread at a time."""

    def __init__(self) -> None:
        if not hasattr(os, "fork"):
            raise SolverFailed("the sandbox needs a system that can fork")
        paths = [os.path.abspath(entry or os.curdir) for entry in sys.path]  # noqa: PTH100 - entries may be archives
        self.control, far_end = socket.socketpair()
        with far_end:
            try:
                self.process = subprocess.Popen(  # noqa: S603 - this interpreter, our module
                    [sys.executable, "-P", "-m", "qiskit_solvers.forkserver", str(far_end.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[far_end.fileno()],
                    env={**os.environ, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(paths)},
                )
            except BaseException:
                self.control.close()
                raise

    def fork(self) -> _Child:
        """Return a new child; the first one waits until Aer is loaded."""
        ours, theirs = socket.socketpair()
        with theirs:
            self.control.settimeout(_START_LIMIT_S)
            try:
                socket.send_fds(self.control, [wire.REQUEST.pack(wire.FORK, 0)], [theirs.fileno()])
                return _Child(self._reply(), ours)
            except BaseException:
                ours.close()
                raise

    def end(self, pid: int) -> int:
        """Kill the child, if it still runs; return its wait status, or -1 for a child of another fork server."""
        self.control.settimeout(_END_LIMIT_S)
        self.control.sendall(wire.REQUEST.pack(wire.END, pid))
        return self._reply()

    def close(self) -> None:
        """End the fork server, and with it every child."""
        self.control.close()
        self.process.kill()
        self.process.wait()

    def _reply(self) -> int:
        reply = self.control.recv(wire.REPLY.size, socket.MSG_WAITALL)
        if len(reply) < wire.REPLY.size:
            raise EOFError("the fork server ended")
        (value,) = wire.REPLY.unpack(reply)
        return int(value)


class _Sandbox:
    """The children of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: _ForkServer | None = None
        self._idle: list[_Child] = []
        self._busy: list[_Child] = []

    def call(self, message: Mapping[str, Any], deadline_s: float) -> Any:
        child = self._take()
        until_s = time.monotonic() + deadline_s
        try:
            wire.send(child.connection, message, until_s=until_s)
            answer = wire.receive(child.connection, until_s=until_s)
        except TimeoutError:
            self._end(child)
            raise SolverFailed(f"{message['job']}: no answer within {deadline_s:g} s; its process was killed") from None
        except (EOFError, ConnectionError):
            raise SolverFailed(f"{message['job']}: its process {self._end(child)}") from None
        except BaseException:
            self._end(child)  # interrupted: its answer would reach the next caller
            raise
        if "failed" in answer:
            self._end(child)
            raise _ERRORS.get(answer["error"], SolverFailed)(f"{message['job']}: {answer['failed']}")
        self._give_back(child)
        return answer["value"]

    def prepare(self) -> None:
        # what goes wrong here goes wrong again in the first call, where somebody is told
        with self._lock, contextlib.suppress(OSError, SolverFailed):
            self._running_server()

    def children(self) -> tuple[int, ...]:
        with self._lock:
            return tuple(child.pid for child in (*self._busy, *self._idle))

    def close(self) -> None:
        with self._lock:
            for child in (*self._idle, *self._busy):
                child.connection.close()
            self._drop_server()

    def abandon(self) -> None:
        """In a fork of this process: leave the children to the one that has them."""
        for child in (*self._idle, *self._busy):
            child.connection.close()
        if self._server is not None:
            self._server.control.close()
            self._server.process.returncode = 0  # not ours to wait for
        self._lock = threading.Lock()  # a thread that is not here may hold the old one
        self._server, self._idle, self._busy = None, [], []

    def _running_server(self) -> _ForkServer:
        if self._server is not None and self._server.process.poll() is not None:
            self._drop_server()
        if self._server is None:
            self._server = _ForkServer()
        return self._server

    def _drop_server(self) -> None:
        if self._server is not None:
            self._server.close()
        self._server = None
        for child in self._idle:
            child.connection.close()
        self._idle.clear()

    def _take(self) -> _Child:
        with self._lock:
            try:
                child = self._living_child(self._running_server())
            except (OSError, EOFError) as error:
                self._drop_server()
                raise SolverFailed(f"the sandbox did not start: {type(error).__name__}: {error}") from error
            except BaseException:
                self._drop_server()  # interrupted: its reply would answer the next request
                raise
            self._busy.append(child)
            return child

    def _living_child(self, server: _ForkServer) -> _Child:
        while self._idle:
            child = self._idle.pop()
            if child.is_alive():
                return child
            child.connection.close()
            server.end(child.pid)
        return server.fork()

    def _give_back(self, child: _Child) -> None:
        with self._lock:
            if len(self._idle) < _IDLE_CHILDREN:
                self._busy.remove(child)
                self._idle.append(child)
                return
        self._end(child)

    def _end(self, child: _Child) -> str:
        """Kill ``child`` and say how it ended."""
        with self._lock:
            if child in self._busy:
                self._busy.remove(child)
            child.connection.close()
            try:
                status = -1 if self._server is None else self._server.end(child.pid)
            except (OSError, EOFError):
                self._drop_server()
                status = -1
            except BaseException:
                self._drop_server()
                raise
        return _ending(status)


def _ending(status: int) -> str:
    """Say in words what a wait status means."""
    if status < 0:
        return "was killed together with the fork server"
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with exit status {code}"
    try:
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:  # a real-time signal has no name
        return f"was killed by signal {-code}"


# One per process, not per solver: solvers are values, and a process outlives them.
_sandbox = _Sandbox()
atexit.register(lambda: _sandbox.close())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_sandbox.abandon)
