"""Which archives of earlier runs can the next ones of a job be differences to?

An archive needs those below it in its own folder. So the base, and what lies below that, is linked into the folder of
the new run: it takes no room, and the older run may be deleted.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from data.errors import BadRecord, BadSource, PlanRefused, SourceUnavailable
from data.readers.plan import LOOKED_AT, may_suit, read_plan
from data.readers.snapshot import read_snapshot
from data.schemas.checkpoint import Checkpoint
from data.schemas.plan import Compress
from flows.run_folder import CHECKPOINTS, PLAN, SNAPSHOT
from tasks.codecs.archive import Archive, open_archive
from tasks.codecs.origin import digest
from tasks.codecs.verify import verify_archive


@dataclass(frozen=True, slots=True)
class Earlier:
    """An archive that an earlier run made, and that is still sound.

    Args:
        job: whose checkpoint it is.
        checkpoint: its id.
        step: of the training.
        path: of the archive.
        sha256: of the archive, as its plan says.
    """

    job: str | None
    checkpoint: str
    step: int
    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in a folder of runs.

    Args:
        bases: by job.
        same: by checkpoint; archives of what had the same id, job and step. Nobody has looked into them.
        notes: archives that could not serve, and why.
    """

    bases: Mapping[str, Earlier]
    notes: tuple[str, ...] = ()
    same: Mapping[str, Earlier] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Linked:
    """An earlier archive in the folder of the new run.

    Args:
        base: the link.
        links: it and those below it, as far as they were not there before.
    """

    base: Path
    links: tuple[Path, ...]

    def remove(self) -> None:
        """Take the links away again; the archives stay in their own runs."""
        for link in self.links:
            link.unlink(missing_ok=True)


def earlier_archives(runs: Path, cluster: str, wanted: Sequence[Checkpoint]) -> Found:
    """Find the newest archive of each checkpoint, or else the newest before it of its job that still verifies.

    Args:
        runs: folder of the runs; the newest :data:`~data.readers.plan.LOOKED_AT` of this cluster that made archives
            are looked at, however many of other flows lie between.
        cluster: whose plans count.
        wanted: checkpoints that have no archive, in the order of their steps.
    """
    steps = {one.job: one.step for one in reversed(wanted) if one.job is not None}
    ids = {(one.id, one.job, one.step) for one in wanted}
    same: dict[str, Earlier] = {}
    bases: dict[str, Earlier] = {}
    notes: list[str] = []
    for run in islice(_archiving(runs, cluster), LOOKED_AT):
        if all(one.id in same or one.job in bases for one in wanted):
            break
        for one in sorted(_archives_of(run, cluster), key=lambda one: one.step, reverse=True):
            if (one.checkpoint, one.job, one.step) in ids:
                same.setdefault(one.checkpoint, one)
            if one.job is None or one.job in bases or one.step >= steps.get(one.job, 0):
                continue
            try:
                _expect_sound(one)
            except (BadRecord, SourceUnavailable) as error:
                notes.append(f"checkpoints: the archive of {one.checkpoint} from run {run.name} is no base: {error}")
            else:
                bases[one.job] = one
    return Found(bases, tuple(notes), same)


def _archiving(runs: Path, cluster: str) -> Iterator[Path]:
    """Yield the runs that made archives and say that they are of ``cluster``, the newest first."""
    for run in sorted(runs.iterdir(), key=lambda run: run.name, reverse=True):
        archives = not run.is_symlink() and (run / CHECKPOINTS).is_dir() and (run / PLAN).is_file()
        if archives and may_suit(run / PLAN, cluster, ()):
            yield run


def link_chain(earlier: Earlier, folder: Path, names: frozenset[str], own: str | None = None) -> Linked:
    """Link an archive and those below it into ``folder``.

    Args:
        earlier: the archive.
        folder: of the archives of the new run.
        names: of the archives that the new run will write there.
        own: what the archive is to be called; its own name by default, with the step where that is one of ``names``.

    Raises:
        BadRecord: another file has, or will have, a name that one below it must keep; or no links can be made.
        SourceUnavailable: an archive is gone.
    """
    made: list[Path] = []
    kept = earlier.path.name if earlier.path.name not in names else f"{earlier.path.stem}-step{earlier.step}.qfz"
    top_name = own or kept
    try:
        with open_archive(earlier.path) as top:
            archive: Archive | None = top
            while archive is not None:
                link = folder / (top_name if archive is top else archive.path.name)
                free = link.name not in names or (own is not None and archive is top)
                if not (link.samefile(archive.path) if link.exists() else free):
                    raise BadRecord(str(archive.path), f"a name that is free in {folder.name}", link.name)
                if not link.exists():
                    os.link(archive.path, link)
                    made.append(link)
                archive = archive.base
    except (BadRecord, SourceUnavailable, OSError) as error:
        Linked(folder / top_name, tuple(made)).remove()
        if isinstance(error, OSError):
            expected = "a folder of runs in which files can be linked"
            raise BadRecord(str(earlier.path), expected, error.strerror or str(error)) from error
        raise
    return Linked(folder / top_name, tuple(made))


def _archives_of(run: Path, cluster: str) -> Iterator[Earlier]:
    """Yield the archives that the plan of a run registers; of a run that cannot be read, none."""
    with suppress(PlanRefused, BadSource, BadRecord, SourceUnavailable):
        plan = read_plan(run / PLAN)
        actions = [action for action in plan.actions if isinstance(action, Compress)]
        if plan.cluster != cluster or not actions:
            return
        known = {one.id: one for one in read_snapshot(run / SNAPSHOT).snapshot.checkpoints}
        for action in actions:
            one = known.get(action.checkpoint)
            if one is None or action.after is None:
                continue
            path = run / action.after.path
            if path.resolve().is_relative_to(run.resolve()):
                yield Earlier(one.job, one.id, one.step, path, action.after.sha256)


def _expect_sound(one: Earlier) -> None:
    """Refuse an archive that is not the one of its plan, or that no longer decodes.

    Raises:
        SourceUnavailable: it, or one below it, is gone.
        BadRecord: it, or one below it, is damaged.
    """
    found, _ = digest(one.path)
    if found != one.sha256:
        raise BadRecord(str(one.path), f"the archive of the plan, sha256 {one.sha256}", found)
    verify_archive(one.path)
