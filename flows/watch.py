"""How long did each phase take, how far is the run, and has it used up its time? The only clock of a run."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from prefect.artifacts import create_progress_artifact, update_progress_artifact

Listener = Callable[[str, float], None]
"""Told the phase and the share of the run that is done, 0 to 1."""


@dataclass(slots=True)
class Watch:
    """A stopwatch over the phases of a run; tells whoever listens how far it is.

    Args:
        guard_s: time after which :meth:`expired` says yes.
        listen: told the phase and the share of the run that is done, 0 to 1.
    """

    guard_s: float
    listen: Listener
    started_s: float = field(default_factory=time.monotonic)
    laps: list[tuple[str, float]] = field(default_factory=list)
    _phase: str = ""
    _since_s: float = 0.0

    def enter(self, phase: str, share: float) -> None:
        """Begin ``phase``, which ends the one before."""
        now = time.monotonic()
        if self._phase:
            self.laps.append((self._phase, now - self._since_s))
        self._phase, self._since_s = phase, now
        self.listen(phase, share)

    def finish(self) -> tuple[tuple[str, float], ...]:
        """End the last phase and return the seconds of each phase, in order, and of the whole."""
        self.enter("", 1.0)
        return (*self.laps, ("total", time.monotonic() - self.started_s))

    def within(self, stage: str, low: float, high: float) -> Listener:
        """Return a listener for a stage that takes the run from ``low`` to ``high``."""

        def enter(phase: str, share: float) -> None:
            self.enter(f"{stage}: {phase}", low + (high - low) * share)

        return enter

    def expired(self) -> bool:
        """Tell whether the guard's time is over."""
        return time.monotonic() - self.started_s > self.guard_s


_LISTENERS: ContextVar[tuple[Listener, ...]] = ContextVar("_LISTENERS", default=())


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Let ``listener`` hear of every watch that starts inside the block (a terminal's progress bar)."""
    token = _LISTENERS.set((*_LISTENERS.get(), listener))
    try:
        yield
    finally:
        _LISTENERS.reset(token)


def artifact_progress(description: str, *, key: str) -> Listener:
    """Return a listener that keeps the Prefect progress artifact ``key`` up to date, and tells those who listen."""
    identifier = create_progress_artifact(progress=0.0, key=key, description=description)
    others = _LISTENERS.get()

    def listen(phase: str, share: float) -> None:
        for other in others:
            other(phase, share)
        update_progress_artifact(identifier, progress=round(100.0 * share, 1), description=phase or "finished")  # type: ignore[arg-type]  # typed for the async result too

    return listen
