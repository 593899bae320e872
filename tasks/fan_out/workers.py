"""Who takes the steps of a run? This process, or a team of others; the answers are the same, and are checked.

A step that a worker lost, refused or answered wrongly is taken again in this process: what a team does can change how
long a run takes and nothing else.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, Literal, Protocol, TypeVar

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, eq=False)
class Step(Generic[Answer]):
    """One piece of work that needs nothing but what it is given.

    Args:
        label: what it does, for logs and timings.
        work: a function of a module, so that another process finds it by its name.
        given: its arguments; values.
        sound: tells whether an answer can be believed; asked of answers that come from another process.
    """

    label: str
    work: Callable[..., Answer]
    given: tuple[Any, ...]
    sound: Callable[[Answer], bool]


class Workers(Protocol):
    """Whoever takes steps."""

    def begin(self, step: Step[Answer]) -> Callable[[], Answer]:
        """Begin a step; calling what is returned waits for its answer.

        Raises:
            Cancelled: nobody wants the answers any more.
        """
        ...


class Here:
    """This process: each step is taken when its answer is asked for."""

    def begin(self, step: Step[Answer]) -> Callable[[], Answer]:
        """Return the step itself."""
        return lambda: step.work(*step.given)


HERE = Here()


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """What a worker sends back.

    Args:
        value: the answer.
        seconds: that the step took there.
    """

    value: Any
    seconds: float


class Unlike(RuntimeError):
    """A worker that runs other versions, or another processor, than this process: its answers could differ."""


class NoTeam(RuntimeError):
    """No worker can be had that computes as this process does; it can take the steps itself."""


class Cancelled(RuntimeError):
    """The answers of these steps are not wanted any more."""


class Pending(Protocol):
    """The future of a step: of :mod:`concurrent.futures` or of Dask."""

    def result(self) -> Done:
        """Wait for the answer.

        Raises:
            Exception: there will be none.
        """
        ...

    def cancel(self) -> Any:
        """Do not begin the step if it has not begun."""
        ...


class Team(Protocol):
    """Processes that take steps for this one."""

    def submit(self, step: Step[Any], priority: int) -> Pending:
        """Queue a step; of several that wait, the one of lowest priority number is begun first."""
        ...


@dataclass(frozen=True, slots=True)
class Local:
    """No team: this process takes every step."""

    kind: Literal["local"] = "local"

    @contextmanager
    def team(self) -> Iterator[None]:
        """Start nothing."""
        yield None


class Errand:
    """What a team does for one problem: its steps, how long they took, and what went wrong.

    Args:
        team: takes the steps.
        priority: of its steps among those that wait, lowest first.
    """

    def __init__(self, team: Team, priority: int = 0) -> None:
        self.laps: list[tuple[str, float]] = []
        self.lost: list[str] = []
        self._team, self._priority = team, priority
        self._lock, self._cancelled = Lock(), False
        self._pending: list[Pending] = []

    def begin(self, step: Step[Answer]) -> Callable[[], Answer]:
        """Queue a step; see :class:`Workers`."""
        with self._lock:
            if self._cancelled:
                raise Cancelled(step.label)
            pending = self._team.submit(step, self._priority)
            self._pending.append(pending)
        return lambda: self._answer(step, pending)

    def urge(self) -> None:
        """Let the steps that are begun from now on go before all that others begin early."""
        self._priority = 0

    def cancel(self) -> None:
        """Drop the steps that have not begun; whoever waits for an answer gets :class:`Cancelled`."""
        with self._lock:
            self._cancelled = True
            for pending in self._pending:
                pending.cancel()

    def _answer(self, step: Step[Answer], pending: Pending) -> Answer:
        try:
            done = pending.result()
            if not isinstance(done, Done):
                raise TypeError(f"expected an answer with its time, got {type(done).__name__}")
            if not step.sound(done.value):
                raise ValueError("the answer does not agree with its own account")
        except Exception as error:
            if self._cancelled:
                raise Cancelled(step.label) from error
            began = time.monotonic()
            self.lost.append(f"{step.label}: {type(error).__name__}: {error}; computed in this process instead")
            value = step.work(*step.given)  # a fault of the step itself comes up again here
            self.laps.append((step.label, time.monotonic() - began))
            return value
        self.laps.append((step.label, done.seconds))
        return done.value  # type: ignore[no-any-return]  # `sound` has looked at it


class Guard:
    """Tells whether time is over, in whichever process it is: it travels as the seconds that are left.

    Args:
        left_s: seconds from now.
    """

    def __init__(self, left_s: float) -> None:
        self._until_s = time.monotonic() + left_s

    def expired(self) -> bool:
        """Tell whether the time is over."""
        return time.monotonic() > self._until_s

    def __reduce__(self) -> tuple[type["Guard"], tuple[float]]:
        return Guard, (self._until_s - time.monotonic(),)
