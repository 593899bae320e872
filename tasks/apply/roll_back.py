"""How is an apply undone? The inverse of what was done, newest first; what cannot be undone is left and told."""

from collections.abc import Sequence

from data.errors import ApplyFailed
from data.schemas.apply import Ended, Left, Outcome, UndoBegun, UndoDone
from data.schemas.plan import Action, Migrate, Place
from data.transition import inverse
from tasks.apply.executor import Executor, Found
from tasks.apply.journal import Journal
from tasks.apply.progress import Progress, progress_of
from tasks.apply.targets import gpus_after, gpus_of, single_steps, targets


def roll_back(journal: Journal, executor: Executor) -> Outcome:
    """Undo what the journal says was begun and not undone, and end the journal.

    An action that was seen done and stands otherwise now was changed by somebody else since: it is left. One that was
    only begun may stand half way, and is undone.

    Raises:
        SourceUnavailable: the cluster or the journal's disk does not answer; the journal says how far it came.
    """
    progress = progress_of(journal.entries)
    newest_first = progress.carried_out[::-1]
    undoing = inverse([progress.actions[position] for position in reversed(newest_first)])
    start = 0
    for step in single_steps(undoing):
        progress.left += _undo(journal, executor, progress, newest_first[start : start + len(step)], step)
        start += len(step)
    outcome: Outcome = "rolled-back" if all(left.gone for left in progress.left) else "partly-rolled-back"
    journal.append(Ended(outcome))
    return outcome


def _undo(
    journal: Journal, executor: Executor, progress: Progress, positions: tuple[int, ...], undoing: tuple[Action, ...]
) -> list[Left]:
    """Undo the actions at ``positions`` together, and return those that are left as they are."""
    found = _looked_at(executor, undoing)
    wanted: list[int] = []
    left: list[Left] = []
    for at, (position, each) in enumerate(zip(positions, found, strict=True)):
        blocked = _blocked(progress, position)
        if each.standing == "after":
            continue
        if each.standing == "gone":
            left.append(Left(position, f"nothing to undo any more: {each.detail}", gone=True))
        elif blocked is not None:
            left.append(Left(position, f"not undone, since {blocked} could not be: {each.detail}"))
        elif each.standing == "other" and position not in progress.half:
            left.append(Left(position, f"not undone, it is not as this apply left it: {each.detail}"))
        else:
            wanted.append(at)
    if wanted:
        journal.append(UndoBegun(tuple(positions[at] for at in wanted)))
        left += _carried_out(executor, [positions[at] for at in wanted], [undoing[at] for at in wanted])
    journal.append(UndoDone(positions, tuple(left)))
    return left


def _carried_out(executor: Executor, positions: Sequence[int], undoing: Sequence[Action]) -> list[Left]:
    """Carry out actions that undo others, and return those that are not in force afterwards."""
    why = [""] * len(undoing)
    try:
        executor.carry_out(undoing)
    except ApplyFailed as error:
        why = _by_themselves(executor, undoing, f"{error}; ")
    return [
        Left(position, f"could not be undone: {said}{each.detail}", gone=each.standing == "gone")
        for position, said, each in zip(positions, why, _looked_at(executor, undoing), strict=True)
        if not _settled(each) or (said and each.standing == "gone")  # it may have ended of being told to stop
    ]


def _by_themselves(executor: Executor, undoing: Sequence[Action], together: str) -> list[str]:
    """Carry out one by one what failed ``together``, since one that cannot be undone must not keep the others.

    Moves are not: they need the GPUs of one another.

    Returns:
        What went wrong with each.
    """
    why = [together] * len(undoing)
    if len(undoing) == 1:
        return why
    for at, (action, found) in enumerate(zip(undoing, _looked_at(executor, undoing), strict=True)):
        if _settled(found) or isinstance(action, Migrate):
            continue
        try:
            executor.carry_out([action])
        except ApplyFailed as error:
            why[at] = f"{error}; "
    return why


def _looked_at(executor: Executor, undoing: Sequence[Action]) -> tuple[Found, ...]:
    """Return what is in force; where the cluster refuses to tell, what it said instead, and the rest goes on."""
    try:
        return executor.look(undoing)
    except ApplyFailed as error:
        return tuple(Found("other", str(error)) for _ in undoing)


def _settled(found: Found) -> bool:
    return found.standing in ("after", "gone")


def _blocked(progress: Progress, position: int) -> str | None:
    """Return which action that is left stands in the way of undoing another: the same target, or GPUs it needs."""
    action = progress.actions[position]
    needed = gpus_of(action.before) if isinstance(action, Migrate | Place) else frozenset()
    for left in progress.left:
        other = progress.actions[left.action]
        if left.gone:
            continue
        if not set(targets(other)).isdisjoint(targets(action)) or not needed.isdisjoint(gpus_after(other)):
            return f"{other.kind} {' '.join(str(part) for part in targets(other)[0][1:])}"
    return None
