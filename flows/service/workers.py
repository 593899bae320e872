"""How does a request get its share of the machine, and no more? Workers that are killed when they exceed it.

Python's threads cannot be stopped, and a parser can be made to fill the memory. So bodies are read in processes that
are warm, have a bound of memory, and are replaced when a request takes too long.
"""

import os
import queue
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from data.errors import SourceUnavailable
from flows.service.refusals import Answer, refusal

ASK, TELL = struct.Struct("<16sQ"), struct.Struct("<HQ")
"""Heads of a body (kind, length) and of its answer (status, length)."""

ORDER, REPLY = struct.Struct("<q"), struct.Struct("<q")

START_S = 300.0
"""Seconds in which the workers must have loaded what they need, on a busy machine."""

END_S = 20.0

MEMORY_MB = 4096
"""How far a worker may grow while it answers, in address space: reading a file alone reserves 2 GiB of it."""


class _Nursery:
    """The parent's side of :mod:`flows.service.worker`; used by one thread at a time.

    Args:
        memory_mb: MiB by which a worker may grow.

    Raises:
        SourceUnavailable: it did not start.
    """

    def __init__(self, memory_mb: int) -> None:
        shared = Path("/dev/shm")  # noqa: S108  # a folder in memory: what is written there need not reach a disk
        self.folder = Path(tempfile.mkdtemp(prefix="quantumflow-", dir=shared if os.access(shared, os.W_OK) else None))
        self.control, theirs = socket.socketpair()
        command = [sys.executable, "-m", "flows.service.worker", str(theirs.fileno()), str(memory_mb), str(self.folder)]
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603  # our own interpreter
                command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], cwd=Path(__file__).resolve().parents[2]
            )
        try:
            self._reply(START_S)
        except BaseException as error:
            self.close()
            raise SourceUnavailable(f"the workers did not start (exit code {self.process.returncode})") from error

    def fork(self) -> "_Worker":
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self.control, [ORDER.pack(0)], [theirs.fileno()])
        return _Worker(self, self._reply(END_S), ours)

    def end(self, worker: "_Worker") -> None:
        worker.connection.close()
        self.control.sendall(ORDER.pack(worker.pid))
        self._reply(END_S)

    def close(self) -> None:
        """End it, which ends every worker of it."""
        self.control.close()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _reply(self, limit_s: float) -> int:
        (value,) = REPLY.unpack(receive(self.control, REPLY.size, time.monotonic() + limit_s))
        return int(value)


@dataclass(frozen=True, slots=True, eq=False)
class _Worker:
    nursery: _Nursery
    pid: int
    connection: socket.socket

    def ask(self, kind: str, body: bytes, until_s: float) -> Answer:
        send(self.connection, ASK.pack(kind.encode(), len(body)) + body, until_s)
        status, length = TELL.unpack(receive(self.connection, TELL.size, until_s))
        return Answer(status, receive(self.connection, length, until_s))

    def lives(self) -> bool:
        """Whether the idle worker still listens: a dead one's connection has an end to read."""
        self.connection.setblocking(False)
        try:
            self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False


class Workers:
    """Processes that answer bodies, as many at a time as there are; a context manager, which ends them.

    Args:
        count: of processes.
        limit_s: seconds that an answer may take; then its worker is killed and replaced.
        wait_s: seconds that a request waits for a worker to be free.
        memory_mb: MiB by which a worker may grow.

    Raises:
        SourceUnavailable: on entering, where the workers do not start.
    """

    def __init__(self, count: int, limit_s: float, wait_s: float = 1.0, memory_mb: int = MEMORY_MB) -> None:
        self.count, self.limit_s, self.wait_s, self.memory_mb = count, limit_s, wait_s, memory_mb
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()  # None: one that is still to be made
        self._nursery: _Nursery | None = None
        self._lock = threading.Lock()
        self._ended = False

    def __enter__(self) -> Self:
        """Start the workers, and wait until all of them can answer."""
        workers = [self._made() for _ in range(self.count)]
        for worker in workers:
            self._idle.put(worker)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers, busy or not."""
        with self._lock:
            self._ended = True
            if self._nursery is not None:
                self._nursery.close()

    @property
    def free(self) -> int:
        """How many workers wait for a request."""
        return self._idle.qsize()

    def __call__(self, kind: str, body: bytes) -> Answer:
        """Return the answer to a body, or that nobody was free, or that it took too long."""
        try:
            worker = self._idle.get(timeout=self.wait_s)
        except queue.Empty:
            return refusal(429, "Busy", f"all {self.count} workers are busy: try again in a second")
        try:
            if worker is None or not worker.lives():
                worker = self._made(worker)
            answer = worker.ask(kind, body, time.monotonic() + self.limit_s)
        except SourceUnavailable as error:
            answer = refusal(503, "SourceUnavailable", str(error))
        except TimeoutError:
            answer = refusal(
                503, "TooLong", f"expected an answer within {self.limit_s:g} s: send less, or run it as a flow"
            )
        except (EOFError, OSError):
            answer = refusal(503, "WorkerLost", "the worker ended while it read the body; another one takes its place")
        if answer.status in (413, 503):  # after memory ran out nothing in a worker can be relied upon
            self._drop(worker)
            worker = None
        self._idle.put(worker)
        return answer

    def _made(self, instead: _Worker | None = None) -> _Worker:
        """Return a new worker, after another one was ended."""
        self._drop(instead)
        with self._lock:
            if self._ended:
                raise SourceUnavailable("the service is ending")
            if self._nursery is None:
                self._nursery = _Nursery(self.memory_mb)
            try:
                return self._nursery.fork()
            except (EOFError, OSError) as error:
                self._nursery.close()
                self._nursery = None
                raise SourceUnavailable("the workers' process was lost; another one takes its place") from error

    def _drop(self, worker: _Worker | None) -> None:
        """End a worker; whoever comes next makes another one."""
        if worker is None:
            return
        with self._lock:
            if self._nursery is not worker.nursery or self._ended:  # it ended with the one that made it
                worker.connection.close()
                return
            try:
                self._nursery.end(worker)
            except (EOFError, OSError):
                self._nursery.close()
                self._nursery = None


def send(connection: socket.socket, content: bytes, until_s: float | None = None) -> None:
    """Send all of ``content``.

    Raises:
        TimeoutError: not by ``until_s`` of the monotonic clock.
        OSError: the other side is gone.
    """
    connection.settimeout(None if until_s is None else max(0.001, until_s - time.monotonic()))
    connection.sendall(content)


def receive(connection: socket.socket, length: int, until_s: float | None = None) -> bytes:
    """Return the next ``length`` bytes.

    Raises:
        TimeoutError: not by ``until_s`` of the monotonic clock.
        EOFError: the other side closed before.
    """
    parts = bytearray()
    while len(parts) < length:
        connection.settimeout(None if until_s is None else max(0.001, until_s - time.monotonic()))
        part = connection.recv(min(length - len(parts), 1 << 20))
        if not part:
            raise EOFError("the other side closed")
        parts += part
    return bytes(parts)
