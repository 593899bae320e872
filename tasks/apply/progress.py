"""How far is an apply? What its journal's entries say, put together."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from data.errors import BadRecord
from data.schemas.apply import Begun, Done, Ended, Entry, Failed, Left, Opened, Outcome, Resumed, UndoBegun, UndoDone
from data.schemas.plan import Action
from tasks.apply.targets import single_steps


@dataclass(slots=True)
class Progress:
    """What was done and undone so far.

    Args:
        opened: the first entry.
        begun: the steps that were begun, by their number.
        done: numbers of the steps that were seen to be in force.
        back: whether it is on its way back.
        why: what turned it back; empty where somebody asked for it.
        undone: positions of the actions that rolling back has dealt with.
        half: positions of the actions that were begun, be it to do or to undo them, and not seen to have got there.
        left: what rolling back left, and why.
        outcome: how it ended; None while it has not.
    """

    opened: Opened
    begun: dict[int, Begun] = field(default_factory=dict)
    done: list[int] = field(default_factory=list)
    back: bool = False
    why: str = ""
    undone: set[int] = field(default_factory=set)
    half: set[int] = field(default_factory=set)
    left: list[Left] = field(default_factory=list)
    outcome: Outcome | None = None

    @property
    def actions(self) -> tuple[Action, ...]:
        """All actions of the plan."""
        return self.opened.actions

    @property
    def skipped(self) -> tuple[Left, ...]:
        """Actions that were not carried out, though their step was begun."""
        return tuple(left for begun in self.begun.values() for left in begun.skipped)

    @property
    def carried_out(self) -> tuple[int, ...]:
        """Positions of the actions that were begun and not undone, in order."""
        begun = {position for each in self.begun.values() for position in each.actions}
        return tuple(sorted(begun - self.undone))

    @property
    def in_force(self) -> tuple[Action, ...]:
        """Actions that are done and not undone, in order, as far as the journal knows."""
        done = {position for step in self.done for position in self.begun[step].actions}
        return tuple(self.actions[position] for position in sorted(done - self.undone))


def progress_of(entries: Sequence[Entry]) -> Progress:
    """Return what ``entries`` add up to.

    Raises:
        BadRecord: they contradict one another; names the entry.
    """
    if not entries or not isinstance(entries[0], Opened):
        raise BadRecord("journal: entry 0", "an entry of kind open", entries[0].kind if entries else "none")
    progress = Progress(entries[0])
    groups = numbered_steps(progress.actions)
    for number, entry in enumerate(entries[1:], start=1):
        where = f"journal: entry {number} ({entry.kind})"
        match entry:
            case Begun() if entry.step < len(groups) and _all_of(entry, groups[entry.step]):
                progress.begun[entry.step] = entry
                progress.half = set(entry.actions)
            case Done() if entry.step in progress.begun:
                progress.done.append(entry.step)
                progress.half = set()
            case Failed():
                progress.back, progress.why = True, entry.why
            case Resumed():
                progress.back = progress.back or entry.way == "back"
                progress.outcome = None
                stuck = {left.action for left in progress.left if not left.gone}
                progress.undone -= stuck  # tried once more
                progress.left = [left for left in progress.left if left.gone]
            case UndoBegun() if set(entry.actions) <= set(progress.carried_out):
                progress.half |= set(entry.actions)
            case UndoDone() if set(entry.actions) <= set(progress.carried_out):
                progress.undone |= set(entry.actions)
                progress.half -= set(entry.actions) - {left.action for left in entry.left if not left.gone}
                progress.left += entry.left
            case Ended():
                progress.outcome = entry.outcome
            case _:
                raise BadRecord(where, "steps and actions that the plan has and that were begun", repr(entry)[:200])
    return progress


def numbered_steps(actions: Sequence[Action]) -> tuple[tuple[int, ...], ...]:
    """Return the positions of the actions of each step, in the order in which the steps are carried out."""
    found: list[tuple[int, ...]] = []
    start = 0
    for step in single_steps(actions):
        found.append(tuple(range(start, start + len(step))))
        start += len(step)
    return tuple(found)


def _all_of(begun: Begun, step: Sequence[int]) -> bool:
    named = [*begun.actions, *(left.action for left in begun.skipped)]
    return sorted(named) == list(step)
