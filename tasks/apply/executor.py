"""Who carries a plan's actions out? What every executor promises, be it a dry run, Slurm, Kubernetes or a hook."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from data.schemas.plan import Action

Standing = Literal["before", "after", "gone", "other"]
"""What is in force for an action's target: what the plan found, what it wants, nothing any more, or something else."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an executor sees of one action's target.

    Args:
        standing: beside the action's ``before`` and ``after``. A target that shows both at once (an action whose
            effect cannot be seen, such as the registration of an archive) stands ``after``.
        detail: what was seen, in one line, for the journal and the message.
    """

    standing: Standing
    detail: str


class Executor(Protocol):
    """Changes a cluster. Its methods may be called again after a crash, with the same arguments.

    Undoing needs no method: it carries out the inverse actions of what was done.
    """

    @property
    def kind(self) -> str:
        """Its name in journals and messages."""
        ...

    def look(self, actions: Sequence[Action]) -> tuple[Found, ...]:
        """Return what is in force for each action's target, in order; changes nothing.

        Raises:
            SourceUnavailable: the cluster does not answer.
        """
        ...

    def room(self, actions: Sequence[Action]) -> AbstractContextManager[None]:
        """Keep what actions free, and what they fill, from everybody else while they are carried out or undone.

        Held from the first step to the last.

        Raises:
            SourceUnavailable: on entering: the cluster does not answer.
            ApplyFailed: on entering: the cluster refuses.
        """
        ...

    def carry_out(self, step: Sequence[Action]) -> None:
        """Bring one step (:func:`tasks.report.order.steps`) into force, and return once it is; what is there stays.

        Raises:
            SourceUnavailable: the cluster does not answer; the step may be half done.
            ApplyFailed: the cluster refuses, or did not get there in time; the step may be half done.
        """
        ...
