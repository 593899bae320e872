"""Which archives of earlier runs can the next ones of a job be differences to?

An archive needs those below it in its own folder. So the base, and what lies below that, is linked into the folder of
the new run: it takes no room, and the older run may be deleted.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from data.errors import BadRecord, BadSource, PlanRefused, SourceUnavailable
from data.readers.plan import LOOKED_AT, read_plan
from data.readers.snapshot import read_snapshot
from data.schemas.plan import Compress
from tasks.codecs.archive import Archive, open_archive
from tasks.codecs.origin import digest
from tasks.codecs.verify import verify_archive

PLAN = "plan.json"
SNAPSHOT = "snapshot.json"


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

    job: str
    checkpoint: str
    step: int
    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in a folder of runs.

    Args:
        bases: by job.
        notes: archives that could not serve, and why.
    """

    bases: Mapping[str, Earlier]
    notes: tuple[str, ...] = ()


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
            link.unlink()


def earlier_archives(runs: Path, cluster: str, steps: Mapping[str, int]) -> Found:
    """Find for each job the newest archive that an earlier run made and that still verifies.

    Args:
        runs: folder of the runs; the newest :data:`~data.readers.plan.LOOKED_AT` are looked at.
        cluster: whose plans count.
        steps: the step before which it has to be, by job.
    """
    bases: dict[str, Earlier] = {}
    notes: list[str] = []
    named = [run for run in runs.iterdir() if not run.is_symlink() and (run / PLAN).is_file()] if steps else []
    for run in sorted(named, key=lambda run: run.name, reverse=True)[:LOOKED_AT]:
        if bases.keys() >= steps.keys():
            break
        for one in sorted(_archives_of(run, cluster), key=lambda one: one.step, reverse=True):
            if one.job in bases or one.step >= steps.get(one.job, 0):
                continue
            try:
                _expect_sound(one)
            except (BadRecord, SourceUnavailable) as error:
                notes.append(f"checkpoints: the archive of {one.checkpoint} from run {run.name} is no base: {error}")
            else:
                bases[one.job] = one
    return Found(bases, tuple(notes))


def link_chain(earlier: Earlier, folder: Path, names: frozenset[str]) -> Linked:
    """Link an archive and those below it into ``folder``.

    Args:
        earlier: the archive.
        folder: of the archives of the new run.
        names: of the archives that the new run will write there.

    Raises:
        BadRecord: another file has, or will have, a name that one below it must keep; or no links can be made.
        SourceUnavailable: an archive is gone.
    """
    made: list[Path] = []
    own = earlier.path.name if earlier.path.name not in names else f"{earlier.path.stem}-step{earlier.step}.qfz"
    try:
        with open_archive(earlier.path) as top:
            archive: Archive | None = top
            while archive is not None:
                link = folder / (own if archive is top else archive.path.name)
                if link.name in names or (link.exists() and not link.samefile(archive.path)):
                    raise BadRecord(str(archive.path), f"a name that is free in {folder.name}", link.name)
                if not link.exists():
                    os.link(archive.path, link)
                    made.append(link)
                archive = archive.base
    except (BadRecord, SourceUnavailable, OSError) as error:
        Linked(folder / own, tuple(made)).remove()
        if isinstance(error, OSError):
            expected = "a folder of runs in which files can be linked"
            raise BadRecord(str(earlier.path), expected, error.strerror or str(error)) from error
        raise
    return Linked(folder / own, tuple(made))


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
            if one is None or one.job is None or action.after is None:
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
