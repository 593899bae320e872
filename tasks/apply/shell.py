"""How are a plan's actions carried out by programs of one's own? A hook for each kind, told in JSON; no shell."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, with_config

from data.errors import ApplyFailed
from data.schemas.plan import Action, Compress
from tasks.apply.archives import check_archive, look_at_archive
from tasks.apply.executor import Found
from tasks.apply.hook_protocol import carry_out_by_hook, look_by_hook
from tasks.apply.plan_origin import PlanFolder, TakenS

Timeout = Annotated[float, Field(gt=0.0, le=86_400.0)]


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class ShellExecutor:
    """Carries each kind of action out through a program; what it is told: :mod:`tasks.apply.hook_protocol`.

    One program may serve several kinds. A kind without a program is refused; archives without one are checked by
    their digest. Steps are handed over whole, since the jobs of a batch all stop before any of them starts.

    Args:
        migrate: moves running jobs.
        place: gives nodes to waiting jobs, and takes them back.
        recap: sets power caps.
        start: sets the starts of waiting jobs.
        move_replica: moves expert replicas, and splits tokens.
        compress: registers archives.
        look_timeout_s: seconds of each look.
        carry_out_timeout_s: seconds of each step; a hook that takes longer is killed.
    """

    kind: Literal["shell"] = "shell"
    migrate: Path | None = None
    place: Path | None = None
    recap: Path | None = None
    start: Path | None = None
    move_replica: Path | None = None
    compress: Path | None = None
    look_timeout_s: Timeout = 60.0
    carry_out_timeout_s: Timeout = 1800.0
    taken_s: TakenS = None
    folder: PlanFolder = None

    def look(self, actions: Sequence[Action]) -> tuple[Found, ...]:
        """See :meth:`tasks.apply.executor.Executor.look`; neighbours of one kind are asked for in one call."""
        found: list[Found] = []
        for _, each in groupby(actions, key=lambda action: action.kind):
            alike = tuple(each)
            try:
                found += self._seen(alike)
            except ApplyFailed as error:
                found += [Found("other", str(error))] * len(alike)
        return tuple(found)

    def room(self, actions: Sequence[Action]) -> AbstractContextManager[None]:  # noqa: ARG002
        """Keep nothing: hooks know what their cluster needs."""
        return nullcontext()

    def carry_out(self, step: Sequence[Action]) -> None:
        """See :meth:`tasks.apply.executor.Executor.carry_out`."""
        for _, each in groupby(step, key=lambda action: action.kind):
            alike = tuple(each)
            hook = self._hook(alike[0])
            if hook is None:
                for action in alike:
                    if isinstance(action, Compress) and action.after is not None:
                        check_archive(action, self.folder)
            else:
                carry_out_by_hook(hook, alike, self.carry_out_timeout_s, self.taken_s, self.folder)

    def _seen(self, alike: Sequence[Action]) -> Sequence[Found]:
        hook = self._hook(alike[0])
        if hook is None:
            return [look_at_archive(action, self.folder) for action in alike if isinstance(action, Compress)]
        return look_by_hook(hook, alike, self.look_timeout_s, self.taken_s, self.folder)

    def _hook(self, action: Action) -> Path | None:
        hooks = {
            "migrate": self.migrate,
            "place": self.place,
            "recap": self.recap,
            "start": self.start,
            "move_replica": self.move_replica,
            "compress": self.compress,
        }
        hook = hooks[action.kind]
        if hook is None and not isinstance(action, Compress):
            raise ApplyFailed(f"{action.kind}: expected a hook for such actions, found none")
        return hook
