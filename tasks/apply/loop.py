"""How is a plan carried out? Step by step: look, write down, carry out, look again; and back on the first failure."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from data.errors import ApplyFailed, SourceUnavailable
from data.schemas.apply import Begun, Done, Ended, Failed, Left, Outcome
from data.schemas.plan import Action
from tasks.apply.executor import Executor, Found
from tasks.apply.journal import Journal
from tasks.apply.progress import Progress, numbered_steps, progress_of
from tasks.apply.roll_back import roll_back
from tasks.report.changes import told

Answer = TypeVar("Answer")
Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Applied:
    """How an apply ended.

    Args:
        outcome: whether the plan is in force, or what was before.
        journal: its file.
        done: actions that were carried out, before anything was rolled back.
        skipped: actions that were not carried out, and why.
        left: what rolling back left as the plan wants it, and why.
        why: what made it roll back; empty where nothing did.
    """

    outcome: Outcome
    journal: Path
    done: int
    skipped: tuple[Left, ...]
    left: tuple[Left, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """An executor that asks again while the cluster does not answer; whoever runs it may be asked twice.

    Args:
        executor: that is asked.
        waits_s: seconds before each further time.
        sleep: waits.
    """

    executor: Executor
    waits_s: tuple[float, ...]
    sleep: Sleep

    @property
    def kind(self) -> str:
        """Of the executor."""
        return self.executor.kind

    def look(self, actions: Sequence[Action]) -> tuple[Found, ...]:
        """See :class:`tasks.apply.executor.Executor`."""
        return self._again(lambda: self.executor.look(actions))

    @contextmanager
    def room(self, actions: Sequence[Action]) -> Iterator[None]:
        """See :class:`tasks.apply.executor.Executor`."""
        with ExitStack() as held:
            self._again(lambda: held.enter_context(self.executor.room(actions)))
            yield

    def carry_out(self, step: Sequence[Action]) -> None:
        """See :class:`tasks.apply.executor.Executor`."""
        self._again(lambda: self.executor.carry_out(step))

    def _again(self, ask: Callable[[], Answer]) -> Answer:
        for wait_s in self.waits_s:
            try:
                return ask()
            except SourceUnavailable:
                self.sleep(wait_s)
        return ask()


def go_on(journal: Journal, executor: Executor) -> Applied:
    """Carry out what a journal's plan still wants, or undo what is still to be undone, wherever it stands.

    Of a journal that was just opened that is the whole plan; after a crash it is the rest. A step that was begun and
    not seen done is looked at: what is in force stays, the rest is carried out again.

    Args:
        journal: of the plan.
        executor: who changes the cluster.

    Raises:
        SourceUnavailable: the cluster or the journal's disk does not answer; the journal says how far it came.
    """
    with ExitStack() as held:
        progress = progress_of(journal.entries)
        on = not progress.back and progress.outcome is None
        if on:
            number = 0
            try:
                held.enter_context(executor.room(progress.actions))
                for number, step in enumerate(numbered_steps(progress.actions)):
                    if number not in progress.done:
                        _carry_out(journal, executor, progress, number, step)
            except ApplyFailed as error:
                journal.append(Failed(number, str(error)))
            else:
                journal.append(Ended("applied"))
        progress = progress_of(journal.entries)
        outcome = progress.outcome
        if outcome is None:
            if not on:
                with suppress(ApplyFailed):  # to undo without room is better than not to undo
                    held.enter_context(executor.room(progress.actions))
            outcome = roll_back(journal, executor)
    progress = progress_of(journal.entries)
    done = sum(len(progress.begun[step].actions) for step in progress.done)
    return Applied(outcome, journal.path, done, progress.skipped, tuple(progress.left), progress.why)


def _carry_out(journal: Journal, executor: Executor, progress: Progress, number: int, step: Sequence[int]) -> None:
    """Bring one step into force, and make sure that it is.

    Raises:
        ApplyFailed: it is not; it may be half done.
    """
    actions = progress.actions
    begun = progress.begun.get(number)
    if begun is None:
        begun = _chosen(executor, actions, number, step)
        journal.append(begun)
        wanted = begun.actions
    else:  # it was cut off: what is there stays
        found = _seen(executor, actions, begun.actions)
        waiting = any(each.standing not in ("after", "gone") for each in found)
        alive = [at for at, each in zip(begun.actions, found, strict=True) if each.standing != "gone"]
        wanted = tuple(alive) if waiting else ()
    if wanted:
        executor.carry_out([actions[position] for position in wanted])
    found = _seen(executor, actions, begun.actions)
    wrong = [
        f"{name(actions[position])}: {each.detail}"
        for position, each in zip(begun.actions, found, strict=True)
        if each.standing not in ("after", "gone")
    ]
    if wrong:
        raise ApplyFailed(f"step {number} is not in force after it was carried out: {'; '.join(wrong)}")
    journal.append(Done(number, tuple(each.detail for each in found)))


def _chosen(executor: Executor, actions: Sequence[Action], number: int, step: Sequence[int]) -> Begun:
    """Return what of a step is to be carried out, and what is not.

    Raises:
        ApplyFailed: something of it is not as the plan found it.
    """
    found = _seen(executor, actions, step)
    wanted: list[int] = []
    skipped: list[Left] = []
    wrong: list[str] = []
    for position, each in zip(step, found, strict=True):
        match each.standing:
            case "before":
                wanted.append(position)
            case "after":
                skipped.append(Left(position, f"was in force already: {each.detail}"))
            case "gone":
                skipped.append(Left(position, f"nothing to do any more: {each.detail}", gone=True))
            case "other":
                wrong.append(f"{name(actions[position])}: {each.detail}")
    if wrong:
        raise ApplyFailed(f"step {number} was not begun, somebody else changed what it is about: {'; '.join(wrong)}")
    return Begun(number, tuple(wanted), tuple(skipped))


def _seen(executor: Executor, actions: Sequence[Action], positions: Sequence[int]) -> tuple[Found, ...]:
    return executor.look([actions[position] for position in positions]) if positions else ()


def name(action: Action) -> str:
    """Return ``action`` in a few words, for messages."""
    return f"{action.kind} {told(action).target}"
