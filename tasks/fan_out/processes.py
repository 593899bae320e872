"""How do processes of this machine take steps? One child for each, over a socket that nobody else can reach.

They are started by their own module, not by :mod:`multiprocessing`, which would import this process's ``__main__`` in
each of them: in a run of a deployment that is Prefect's engine.
"""

import heapq
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Pipe
from pathlib import Path
from threading import Condition, Thread
from typing import Any, Literal

from tasks.fan_out.perform import Asked, asked
from tasks.fan_out.workers import Done, Step, Team

TRIES = 2
"""Children that a step may cost before it is given up: it may be what kills them."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
"""As many steps at a time as processes; more threads would change sums, and fight for the cores."""

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Processes:
    """Several processes of this machine.

    Args:
        count: how many; each needs about 250 MB and a second to start.
    """

    kind: Literal["processes"] = "processes"
    count: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 256:
            raise ValueError(f"count: expected 1 to 256 processes, got {self.count}")

    @contextmanager
    def team(self) -> Iterator[Team]:
        """Start the processes, which import what they need while the first steps are made ready; end them after."""
        with started(self.count) as children:
            yield children


@contextmanager
def started(size: int) -> Iterator["Children"]:
    """Start ``size`` child processes, and end them afterwards."""
    children = Children(size)
    try:
        yield children
    finally:
        children.close()


@dataclass(slots=True, eq=False)
class _Waiting:
    asked: Asked
    future: Future[Done]
    tries: int = 0

    def drop(self) -> None:
        """Tell whoever waits that nobody will take the step."""
        if not self.future.cancel() and not self.future.done():
            self.future.set_exception(ChildDied("its process died, and no other is left"))


class Children:
    """A team of child processes, each with a thread of this process that hands it one step at a time."""

    def __init__(self, size: int) -> None:
        self._changed, self._closed = Condition(), False
        self._queue: list[tuple[int, int, _Waiting]] = []
        self._number = count()
        self._children: list[_Child] = []
        self._serving = size
        self._threads = [Thread(target=self._serve, name=f"fan-out-{index}", daemon=True) for index in range(size)]
        for thread in self._threads:
            thread.start()

    def submit(self, step: Step[Any], priority: int) -> Future[Done]:
        """Queue a step."""
        waiting = _Waiting(asked(step), Future())
        self._put(waiting, priority)
        return waiting.future

    def close(self) -> None:
        """End the children; whoever waits for a step learns that it was dropped."""
        with self._changed:
            self._closed = True
            self._drop_queue()
            for child in self._children:
                child.kill()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def pids(self) -> tuple[int, ...]:
        """Return the process ids of the children."""
        with self._changed:
            return tuple(child.process.pid for child in self._children)

    def _put(self, waiting: _Waiting, priority: int) -> None:
        with self._changed:
            if self._closed:
                waiting.drop()
                return
            heapq.heappush(self._queue, (priority, next(self._number), waiting))
            self._changed.notify()

    def _take(self) -> tuple[int, _Waiting] | None:
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            priority, _, waiting = heapq.heappop(self._queue)
            return priority, waiting

    def _hire(self) -> "_Child | None":
        """Start a child; None where this team has ended."""
        child = _Child()
        with self._changed:
            if self._closed:
                child.kill()
                child.connection.close()
                return None
            self._children.append(child)
        return child

    def _dismiss(self, child: "_Child") -> int:
        """End a child and return its exit status."""
        with self._changed:
            self._children.remove(child)
        status = child.kill()
        child.connection.close()
        return status

    def _drop_queue(self) -> None:
        for _, _, waiting in self._queue:
            waiting.drop()
        self._queue.clear()

    def _serve(self) -> None:
        try:
            self._work()
        except OSError:  # no process can be started, so the others take the steps, or nobody
            pass
        finally:
            with self._changed:
                self._serving -= 1
                if not self._serving:
                    self._closed = True
                    self._drop_queue()

    def _work(self) -> None:
        child = self._hire()
        while child is not None and (taken := self._take()) is not None:
            priority, waiting = taken
            if waiting.future.done() or not (waiting.tries or waiting.future.set_running_or_notify_cancel()):
                continue
            try:
                answer = child.ask(waiting.asked)
            except (OSError, EOFError):
                status = self._dismiss(child)
                waiting.tries += 1
                if waiting.tries < TRIES and not self._closed:
                    self._put(waiting, priority)
                else:
                    waiting.future.set_exception(ChildDied(f"{waiting.tries} processes died, the last with {status}"))
                child = self._hire()
            except Exception as error:  # what cannot be sent is the step's fault, not the child's
                waiting.future.set_exception(error)
            else:
                if isinstance(answer, Done):
                    waiting.future.set_result(answer)
                else:
                    waiting.future.set_exception(StepFailed(str(answer)))
        if child is not None:
            self._dismiss(child)


class ChildDied(RuntimeError):
    """A step took its processes along."""


class StepFailed(RuntimeError):
    """A child could not take a step."""


class _Child:
    def __init__(self) -> None:
        self.connection, far_end = Pipe()
        with far_end:
            self.process = subprocess.Popen(  # noqa: S603 - this interpreter, our module
                [sys.executable, "-P", "-m", "tasks.fan_out.child", str(far_end.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[far_end.fileno()],
                env=child_environment(),
            )

    def ask(self, asked: Asked) -> object:
        """Send a step and wait for what comes back.

        Raises:
            OSError, EOFError: the child is gone.
        """
        self.connection.send(asked)
        return self.connection.recv()

    def kill(self) -> int:
        """End the process and return its exit status, which is minus the signal that ended it."""
        self.process.kill()
        return self.process.wait()


def child_environment() -> dict[str, str]:
    """Return the environment of a process that takes steps: one thread, and the modules that this process finds."""
    entries = [os.path.abspath(entry or os.curdir) for entry in (str(ROOT), *sys.path)]  # noqa: PTH100 - archives too
    return {**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(entries)}
