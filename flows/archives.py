"""Which checkpoints are archived in a run, and what becomes of those that cannot be?"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from data.errors import BadRecord, SourceUnavailable
from data.file_stem import file_stem
from data.readers.checkpoint.file import checkpoint_format
from data.readers.checkpoint.safetensors_file import INDEX_SUFFIX, only_checkpoint_in
from data.schemas.checkpoint import Archive, Checkpoint, CheckpointFormat
from data.schemas.cluster import Snapshot
from data.schemas.plan import Compress
from data.whole_file import FOLDER_MODE
from flows.earlier_archives import Earlier, Found, Linked, earlier_archives, link_chain
from flows.left_archives import take_over
from flows.params import Params
from flows.run_folder import CHECKPOINTS
from tasks.codecs.compress import Compressed
from tasks.compress import compress_to_archive
from tasks.plan import Part, archived


@dataclass(frozen=True, slots=True)
class Archives:
    """The part of the plan that registers archives, and the checkpoints that were set aside."""

    part: Part
    set_aside: tuple[BadRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class _Below:
    """The archive that the next one of its job may be a difference to; ``linked`` where an earlier run made it."""

    checkpoint: str
    path: Path
    linked: Linked | None = None


@dataclass(slots=True)
class _Archiving:
    """The archives of a run while they are made.

    Args:
        folder: of the snapshot.
        run: in which they are made.
        last: the newest archive of each job.
        taken: file names of which a killed run left something.
        same: archives that an earlier run made of what had the same id, job and step, by checkpoint.
        names: of all archives that are to be made.
    """

    folder: Path
    run: Path
    last: dict[str, _Below]
    taken: frozenset[str]
    same: Mapping[str, Earlier]
    names: frozenset[str]
    linked: dict[str, Linked] = field(default_factory=dict)
    actions: dict[str, Compress] = field(default_factory=dict)
    size: int = 0

    def add(self, checkpoint: Checkpoint) -> None:
        """Archive a checkpoint.

        Raises:
            BadRecord: it is none, or another than the snapshot says.
            SourceUnavailable: it cannot be read.
        """
        source = _source(checkpoint, self.folder)
        name = _name(checkpoint)
        below = None if checkpoint.job is None else self.last.get(checkpoint.job)
        self._link_same(checkpoint, name)
        done = self._compressed(source, self.run / CHECKPOINTS / name, None if below is None else below.path)
        if checkpoint.sha256 not in (None, done.source_sha256):
            (self.run / CHECKPOINTS / name).unlink()
            expected = f"the file with sha256 {checkpoint.sha256}"
            raise BadRecord(f"checkpoints: {checkpoint.id}", expected, done.source_sha256)
        if below is not None and below.linked is not None and done.base is None:
            below.linked.remove()
        archive = Archive(f"{CHECKPOINTS}/{name}", done.archive_sha256, done.archive_bytes)
        gain = float(done.source_bytes - done.archive_bytes)
        self.actions[checkpoint.id] = Compress(checkpoint.id, None, archive, _reason(done, below), gain)
        self.size += done.source_bytes
        if checkpoint.job is not None:
            self.last[checkpoint.job] = _Below(checkpoint.id, self.run / CHECKPOINTS / name)

    def _link_same(self, checkpoint: Checkpoint, name: str) -> None:
        """Link what an earlier run archived under the same id; whether it is the same, who compresses will see."""
        earlier = self.same.get(checkpoint.id)
        if earlier is not None and name not in self.taken:
            with suppress(BadRecord, SourceUnavailable):  # then it is written anew
                self.linked[name] = link_chain(earlier, self.run / CHECKPOINTS, self.names, name)

    def _compressed(self, source: Path, archive: Path, base: Path | None) -> Compressed:
        """Archive ``source``; where an earlier or a killed run left an archive of something else, without that."""
        try:
            return compress_to_archive(source, archive, base=base)
        except BadRecord:
            if archive.name in self.linked:
                self.linked.pop(archive.name).remove()
            elif archive.name in self.taken:
                self._forget(archive.name)
            else:
                raise
            return compress_to_archive(source, archive, base=base)

    def tidy(self) -> None:
        """Remove what was made ready and not used: what killed runs left, and bases of checkpoints that failed."""
        used = {action.after.path for action in self.actions.values() if action.after is not None}
        for name in self.taken:
            if f"{CHECKPOINTS}/{name}" not in used:
                self._forget(name)
        for name, linked in self.linked.items():
            if f"{CHECKPOINTS}/{name}" not in used:
                linked.remove()
        for below in self.last.values():
            if below.linked is not None:
                below.linked.remove()
        if not any((self.run / CHECKPOINTS).iterdir()):
            (self.run / CHECKPOINTS).rmdir()

    def _forget(self, name: str) -> None:
        for each in (name, f".{name}.partial", f".{name}.journal"):
            (self.run / CHECKPOINTS / each).unlink(missing_ok=True)


def archive_checkpoints(snapshot: Snapshot, params: Params, run: Path) -> Archives:
    """Archive every checkpoint of ``snapshot`` that has no archive yet, in ``run``; a bad one is set aside.

    Those of one job are archived in the order of their steps, each with the one before it as base, where that makes it
    smaller; the first with the newest that an earlier run archived. A chain is at most
    :data:`tasks.codecs.keeping.CHAIN_MAX` archives long. What a killed run left is taken up where it stopped; what an
    earlier run archived already, since its source does not tell of archives, is compared and linked.

    Args:
        snapshot: of the cluster.
        params: what was asked for.
        run: folder of the run, beside those of earlier ones.
    """
    new = [checkpoint for checkpoint in snapshot.checkpoints if checkpoint.archive is None]
    if "checkpoints" not in params.nouns or not new:
        return Archives(Part())
    (run / CHECKPOINTS).mkdir(FOLDER_MODE, exist_ok=True)
    ordered = sorted(new, key=lambda checkpoint: checkpoint.step)
    names = frozenset(map(_name, new))
    found = earlier_archives(run.parent, snapshot.cluster, ordered)
    last, notes = _bases(found, run, names)
    taken = take_over(run.parent, run, CHECKPOINTS, sorted(names))
    archiving = _Archiving(params.source.folder, run, last, taken, found.same, names)
    set_aside: list[BadRecord] = []
    for checkpoint in ordered:
        try:
            archiving.add(checkpoint)
        except BadRecord as error:
            set_aside.append(error)
        except SourceUnavailable as error:
            set_aside.append(BadRecord(f"checkpoints: {checkpoint.id}", "a file that can be read", str(error)))
    archiving.tidy()
    actions = [archiving.actions[checkpoint.id] for checkpoint in new if checkpoint.id in archiving.actions]
    return Archives(replace(archived(actions, archiving.size), notes=notes), tuple(set_aside))


def _bases(found: Found, run: Path, names: frozenset[str]) -> tuple[dict[str, _Below], tuple[str, ...]]:
    """Return what the first checkpoint of each job may be a difference to, and what a reader should know of it."""
    last: dict[str, _Below] = {}
    notes = list(found.notes)
    for job, earlier in found.bases.items():
        try:
            linked = link_chain(earlier, run / CHECKPOINTS, names)
        except (BadRecord, SourceUnavailable) as error:
            notes.append(f"checkpoints: {job} begins a new chain: {error}")
        else:
            last[job] = _Below(earlier.checkpoint, linked.base, linked)
    return last, tuple(notes)


def _name(checkpoint: Checkpoint) -> str:
    return f"{file_stem(checkpoint.id)}.qfz"


def _source(checkpoint: Checkpoint, folder: Path) -> Path:
    """Return where a checkpoint lies, if it is what the snapshot says."""
    source = (folder / checkpoint.path).resolve()
    if not source.is_relative_to(folder.resolve()):
        raise BadRecord(f"checkpoints: {checkpoint.id}", "a path inside the snapshot's folder", checkpoint.path)
    found = _format(source)
    if found != checkpoint.format:
        raise BadRecord(f"checkpoints: {checkpoint.id}: format", checkpoint.format, found)
    return source


def _format(source: Path) -> CheckpointFormat:
    if source.is_dir():
        source = only_checkpoint_in(source)
    return "shards" if source.name.endswith(INDEX_SUFFIX) else checkpoint_format(source)


def _reason(done: Compressed, below: _Below | None) -> str:
    reason = f"{done.tensors} tensors, restored and compared bit by bit: {done.ratio:.3f} x smaller"
    if done.base is None:
        return f"{reason}, by itself: {done.note}" if below is not None and done.note else reason
    made = "" if below is None or below.linked is None else "an earlier run made it, "
    to = "" if below is None else f"{below.checkpoint} "
    return f"{reason}, as a difference to {to}({done.base}, {made}needed to restore it)"
