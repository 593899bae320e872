"""Which checkpoints are archived in a run, and what becomes of those that cannot be?"""

from dataclasses import dataclass
from pathlib import Path

from data.errors import BadRecord, SourceUnavailable
from data.schemas.checkpoint import Archive, Checkpoint
from data.schemas.cluster import Snapshot
from data.schemas.plan import Compress
from flows.params import Params
from tasks.compress import compress_to_archive
from tasks.plan import Part, archived

FOLDER = "checkpoints"


@dataclass(frozen=True, slots=True)
class Archives:
    """The part of the plan that registers archives, and the checkpoints that were set aside."""

    part: Part
    set_aside: tuple[BadRecord, ...] = ()


def archive_checkpoints(snapshot: Snapshot, params: Params, run: Path) -> Archives:
    """Archive every checkpoint of ``snapshot`` that has no archive yet, in ``run``; a bad one is set aside.

    Those of one job are archived in the order of their steps, each with the one before it as base, where that makes it
    smaller; a chain is at most :data:`tasks.codecs.keeping.CHAIN_MAX` archives long.
    """
    if "checkpoints" not in params.nouns:
        return Archives(Part())
    new = [checkpoint for checkpoint in snapshot.checkpoints if checkpoint.archive is None]
    actions: dict[str, Compress] = {}
    last: dict[str, Compress] = {}
    set_aside: list[BadRecord] = []
    size = 0
    for checkpoint in sorted(new, key=lambda checkpoint: checkpoint.step):
        base = None if checkpoint.job is None else last.get(checkpoint.job)
        try:
            action, source_bytes = _archived(checkpoint, params.source.folder, run, base)
        except BadRecord as error:
            set_aside.append(error)
        except SourceUnavailable as error:
            set_aside.append(BadRecord(f"checkpoints: {checkpoint.id}", "a file that can be read", str(error)))
        else:
            actions[checkpoint.id] = action
            size += source_bytes
            if checkpoint.job is not None:
                last[checkpoint.job] = action
    ordered = [actions[checkpoint.id] for checkpoint in new if checkpoint.id in actions]
    return Archives(archived(ordered, size), tuple(set_aside))


def _archived(checkpoint: Checkpoint, folder: Path, run: Path, earlier: Compress | None) -> tuple[Compress, int]:
    source = (folder / checkpoint.path).resolve()
    if not source.is_relative_to(folder.resolve()):
        raise BadRecord(f"checkpoints: {checkpoint.id}", "a path inside the snapshot's folder", checkpoint.path)
    name = f"{FOLDER}/{checkpoint.id.replace('/', '_')}.qfz"
    (run / FOLDER).mkdir(exist_ok=True)
    base = None if earlier is None or earlier.after is None else run / earlier.after.path
    done = compress_to_archive(source, run / name, base=base)
    if checkpoint.sha256 not in (None, done.source_sha256):
        (run / name).unlink()
        expected = f"the file with sha256 {checkpoint.sha256}"
        raise BadRecord(f"checkpoints: {checkpoint.id}", expected, done.source_sha256)
    archive = Archive(name, done.archive_sha256, done.archive_bytes)
    reason = f"{done.tensors} tensors, restored and compared bit by bit: {done.ratio:.3f} x smaller"
    if earlier is not None and done.base is not None:
        reason += f", as a difference to {earlier.checkpoint} ({done.base}, needed to restore it)"
    elif earlier is not None:
        reason += f", by itself: {done.note}"
    gain = float(done.source_bytes - done.archive_bytes)
    return Compress(checkpoint.id, None, archive, reason, gain), done.source_bytes
