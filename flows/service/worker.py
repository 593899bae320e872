"""What runs on the far side of a request? A process that has everything loaded, and forks a child for each worker.

Started by :mod:`flows.service.workers` as ``python -m flows.service.worker FD MEMORY_MB FOLDER``. Loading takes
seconds and forking milliseconds, so a worker that was killed is replaced before the next request notices.
"""

import ctypes
import gc
import json
import os
import shutil
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from flows.environment import prepare

prepare()  # before anything imports Prefect, which reads its settings once

from flows.service.answers import answer  # noqa: E402
from flows.service.forms import GRAPH, MESSAGES, STREAM  # noqa: E402
from flows.service.workers import ASK, ORDER, REPLY, TELL, receive, send  # noqa: E402
from qiskit_solvers.forkserver import fence  # noqa: E402

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def obey(control: socket.socket, folder: Path, memory_mb: int) -> None:
    """Fork children and end them, as asked over ``control``, until it closes; then end them all.

    An order of 0 comes with one end of a socket pair, on which the new child answers, and is answered with its process
    id. Any other order is the process id of a child, which is killed; the answer is its wait status.
    """
    children: set[int] = set()
    try:
        while True:
            message, descriptors, _flags, _address = socket.recv_fds(control, ORDER.size, 1)
            if len(message) < ORDER.size:
                return
            (pid,) = ORDER.unpack(message)
            if pid == 0:
                pid = _fork(control, descriptors[0], folder, memory_mb)
                os.close(descriptors[0])
                children.add(pid)
                control.sendall(REPLY.pack(pid))
            else:
                control.sendall(REPLY.pack(_end(pid, folder) if pid in children else 0))
                children.discard(pid)
    finally:
        for child in children:
            _end(child, folder)


def _fork(control: socket.socket, descriptor: int, folder: Path, memory_mb: int) -> int:
    """Fork a child that answers bodies on ``descriptor``; return its process id."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        if sys.platform == "linux":  # a child amid an answer hears nothing else of this process's end
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == parent:
            control.close()
            own = folder / str(os.getpid())
            own.mkdir(mode=0o700)
            fence(memory_mb)
            _serve(socket.socket(fileno=descriptor), own)
            status = 0
    finally:
        os._exit(status)  # nothing of the parent's own ending may run here


def _end(pid: int, folder: Path) -> int:
    """Kill the child ``pid``, remove what it kept, and return its wait status."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)  # a child that has ended is still ours to wait for, so this is no stranger
    _, status = os.waitpid(pid, 0)
    shutil.rmtree(folder / str(pid), ignore_errors=True)
    return status


def _serve(connection: socket.socket, folder: Path) -> None:
    """Answer bodies until the other side closes."""
    with suppress(EOFError, ConnectionError):
        while True:
            kind, length = ASK.unpack(receive(connection, ASK.size))
            told = answer(kind.rstrip(b"\0").decode(), receive(connection, length), folder)
            send(connection, TELL.pack(told.status, len(told.content)) + told.content)


def _warm_up(folder: Path) -> None:
    """Load what the first request would wait for."""
    for kind, body in (("tokens", {"tokens": STREAM, "model_graph": GRAPH}), ("rounds", {"transfers": MESSAGES})):
        answer(kind, json.dumps(body).encode(), folder)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the parent, whose end we see
    _folder = Path(sys.argv[3])
    with socket.socket(fileno=int(sys.argv[1])) as _control:
        _warm_up(_folder)
        gc.freeze()  # the children's collector then leaves these pages shared
        send(_control, REPLY.pack(os.getpid()))
        obey(_control, _folder, int(sys.argv[2]))
    shutil.rmtree(_folder, ignore_errors=True)
