"""What would carrying a plan out do? A rehearsal on the snapshot, which touches no cluster; the default."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

from data.errors import ApplyFailed, PlanRefused
from data.schemas.cluster import Snapshot
from data.schemas.plan import Action, Compress, Migrate, MoveReplicas, Place, Recap, Start
from data.transition import apply_actions, inverse
from tasks.apply.executor import Found


@dataclass(slots=True)
class DryRun:
    """Keeps the state in memory, and changes it by what the actions mean.

    Args:
        state: of the cluster; of an apply that goes on, the snapshot with what its journal says is done.
    """

    state: Snapshot
    kind: Literal["dry-run"] = "dry-run"

    def look(self, actions: Sequence[Action]) -> tuple[Found, ...]:
        """Return what is in force for each action's target."""
        return tuple(look_at(self.state, action) for action in actions)

    def room(self, actions: Sequence[Action]) -> AbstractContextManager[None]:  # noqa: ARG002
        """Keep nothing: nobody else changes a state in memory."""
        return nullcontext()

    def carry_out(self, step: Sequence[Action]) -> None:
        """Change the state; what is there stays.

        Raises:
            ApplyFailed: an action's target is neither as it was found nor as it is wanted.
        """
        left = [action for action in step if look_at(self.state, action).standing != "after"]
        try:
            self.state = apply_actions(self.state, left)
        except PlanRefused as error:
            raise ApplyFailed(f"dry run: {error}") from error


def look_at(state: Snapshot, action: Action) -> Found:
    """Return how the target of ``action`` stands in ``state``."""
    if not _there(state, action):
        return Found("gone", "the snapshot does not have it")
    if _in_force(state, inverse((action,))[0]):
        return Found("after", "as the plan wants it")
    if _in_force(state, action):
        return Found("before", "as the plan found it")
    return Found("other", "neither as the plan found it nor as it wants it")


def _there(state: Snapshot, action: Action) -> bool:
    match action:
        case Migrate() | Place() | Recap() | Start():
            return any(job.id == action.job for job in state.jobs)
        case MoveReplicas():
            return any(deployment.id == action.deployment for deployment in state.deployments)
        case Compress():
            return any(checkpoint.id == action.checkpoint for checkpoint in state.checkpoints)


def _in_force(state: Snapshot, action: Action) -> bool:
    """Tell whether ``action`` could be carried out: its ``before`` is in force."""
    try:
        apply_actions(state, (action,))
    except PlanRefused:
        return False
    return True
