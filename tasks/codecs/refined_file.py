"""How does an archive become a checkpoint whose lost bits are guessed by circuits or networks? For who asks for it.

What is written is not what the archive holds: tensors that lost something pass the toggles of
:mod:`tasks.codecs.restore_toggles`, and none of their elements moves further than the greatest error in the index. All
other tensors are bit for bit as they were.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.errors import BadRecord
from data.schemas.plan import Fallback
from data.whole_file import claimed_file
from tasks.codecs.archive import Archive, open_archive
from tasks.codecs.arrays import ArrayTensor, safetensors_header
from tasks.codecs.bases import bases_in
from tasks.codecs.compress import Progress
from tasks.codecs.index import Stored
from tasks.codecs.origin import digest, unwritable
from tasks.codecs.presets import RESTORE
from tasks.codecs.quantise_chunk import QUANTISABLE, octets_of
from tasks.codecs.restore import Restored, Restoring
from tasks.codecs.restore_toggles import STAGE, Toggles, restored

TOGGLES = ("hhl", "qft", "qsvt")


@dataclass(frozen=True, slots=True)
class RefinedFile:
    """A checkpoint that was restored with toggles.

    Args:
        restored: the file.
        refined: tensors that passed the toggles.
        fallbacks: toggles that did not take part, tensor by tensor, what did instead, and why.
        notes: what those that did have to say for themselves.
    """

    restored: Restored
    refined: int
    fallbacks: tuple[Fallback, ...]
    notes: tuple[str, ...]


def toggles_of(text: str) -> tuple[Toggles, tuple[Fallback, ...]]:
    """Return the toggles that a name of :data:`tasks.codecs.presets.RESTORE`, or a list such as ``hhl,qsvt``, means.

    A preset with the residual enhancer is taken without it, and a fallback says so: there is no trained one in a file.

    Raises:
        ValueError: there is no such preset or toggle.
    """
    preset = RESTORE.get(text)
    if preset is not None:
        reason = f"{text}: a trained enhancer is needed; give one to tasks.codecs.restore_toggles"
        missing = (Fallback(STAGE, "lstm", "the recorded chain", reason),) if preset.lstm else ()
        return Toggles(hhl=preset.hhl, qsvt=preset.qsvt), missing
    names = set(text.split(","))
    if not names <= set(TOGGLES):
        wanted = f"one of {', '.join(RESTORE)}, or some of {', '.join(TOGGLES)} with commas between"
        raise ValueError(f"refine: expected {wanted}; found {text!r}")
    return Toggles(hhl="hhl" in names, qft="qft" in names, qsvt="qsvt" in names), ()


def restore_refined(
    archive: Path,
    target: Path,
    toggles: Toggles,
    *,
    restoring: Restoring = Restoring(),  # noqa: B008  frozen
    progress: Progress = lambda _phase, _done, _total: None,
) -> RefinedFile:
    """Write the tensors of an archive, refined, as one safetensors file; it appears whole or not at all.

    Memory: the largest tensor a few times over, in 64-bit numbers.

    Args:
        archive: a ``*.qfz`` file.
        target: ``*.safetensors``.
        toggles: what takes part.
        restoring: how to restore.
        progress: told how far it is.

    Raises:
        ValueError: another ending.
        SourceUnavailable: the archive or a base is missing or cannot be read.
        BadRecord: the archive is damaged or too large, something stands at ``target``, or the folder cannot be written.
    """
    if target.suffix != ".safetensors":
        raise ValueError(f"expected a target *.safetensors for refined tensors, found {target.name}")
    if target.exists():
        raise BadRecord(str(target), "no file", "one that stands there; not overwritten")
    fallbacks: list[Fallback] = []
    notes: list[str] = []
    refined = 0
    with open_archive(archive, bases_in(restoring.bases, archive), memory_bytes=restoring.memory_bytes) as opened:
        tensors = opened.index.tensors
        if opened.index.raw_bytes > restoring.limit_bytes:
            most = f"at most {restoring.limit_bytes} bytes to restore"
            raise BadRecord(str(archive), most, f"{opened.index.raw_bytes} bytes")
        total = sum(stored.raw_bytes for stored in tensors)
        try:
            with claimed_file(target) as file:
                file.truncate(0)
                file.write(
                    safetensors_header([ArrayTensor(one.name, one.dtype, one.shape, np.empty(0)) for one in tensors])
                )
                for stored in tensors:
                    if stored.error is None or stored.dtype not in QUANTISABLE:
                        for piece in opened.pieces(stored, restoring.workers):
                            file.write(piece)
                    else:
                        file.write(_refined(opened, stored, toggles, fallbacks, notes))
                        refined += 1
                    progress("restore", stored.raw_bytes, total)
        except OSError as error:
            raise unwritable(target, error) from error
    return RefinedFile(
        Restored(*digest(target), len(tensors), same_file=False), refined, tuple(fallbacks), tuple(notes)
    )


def _refined(archive: Archive, stored: Stored, toggles: Toggles, fallbacks: list[Fallback], notes: list[str]) -> bytes:
    """Return the bytes of a tensor that passed the toggles, rounded to its element type."""
    found = restored(archive, stored, toggles)
    fallbacks += found.fallbacks
    notes += [f"{stored.name}: {note}" for note in found.notes]
    flat = np.ravel(found.values)
    with np.errstate(over="ignore"):  # as it was restored, an element at the end of its type's range is infinite
        return octets_of(flat if stored.dtype == "F64" else flat.astype(np.float32), stored.dtype).tobytes()
