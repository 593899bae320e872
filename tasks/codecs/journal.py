"""How far did a write come before its process was killed? A journal beside the unfinished archive says it.

One line for what is being written, then one for each tensor that is finished, each with its XXH3 before it. A line that
is cut or damaged ends the journal. Nothing in it is believed: the chunks are read back and hashed before they count.
"""

import json
from dataclasses import dataclass
from typing import BinaryIO

import xxhash
from pydantic import TypeAdapter, ValidationError, with_config

from data.schemas.units import RECORD
from tasks.codecs.chain import Chain
from tasks.codecs.index import Natural, Stored

JOURNAL_BYTES_MAX = 256 * 1024 * 1024
"""Bytes of a journal that are read; a longer one is not continued."""


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Finished:
    """A tensor whose chunks are in the file.

    Args:
        stored: as it will stand in the index.
        chains: those that the index did not have before.
        offset: bytes of the archive after its last chunk.
    """

    stored: Stored
    chains: tuple[Chain, ...]
    offset: Natural


_FINISHED: TypeAdapter[Finished] = TypeAdapter(Finished)


class Journal:
    """A journal that is open for writing.

    Args:
        file: open for reading and writing; what stands in it is kept if it is of the same write.
        writes: what is being written, from what, with which options: another write begins anew.
    """

    def __init__(self, file: BinaryIO, writes: dict[str, object]) -> None:
        self._file = file
        head = _line(json.dumps(writes, sort_keys=True).encode("ascii"))
        self.earlier, length = _finished(file, head)
        file.truncate(length)
        file.seek(length)
        if not length:
            file.write(head)
            file.flush()

    def add(self, finished: Finished) -> None:
        """Note a tensor whose chunks are in the file."""
        self._file.write(_line(_FINISHED.dump_json(finished, ensure_ascii=True, exclude_none=True)))
        self._file.flush()

    def begin_anew(self, kept: int) -> None:
        """Forget all but the first ``kept`` tensors."""
        self.earlier = self.earlier[:kept]
        self._file.seek(0)
        head = self._file.readline()
        self._file.truncate(len(head))
        self._file.seek(0, 2)
        for finished in self.earlier:
            self.add(finished)


def _line(text: bytes) -> bytes:
    return xxhash.xxh3_64_hexdigest(text).encode("ascii") + b" " + text + b"\n"


def _finished(file: BinaryIO, head: bytes) -> tuple[tuple[Finished, ...], int]:
    """Return the tensors of a journal of the same write, and the bytes of it that are sound."""
    if file.seek(0, 2) > JOURNAL_BYTES_MAX:
        return (), 0
    file.seek(0)
    if file.readline() != head:
        return (), 0
    found, length = [], len(head)
    for line in file:
        _, _, text = line.rstrip(b"\n").partition(b" ")
        if line != _line(text):
            break
        try:
            found.append(_FINISHED.validate_json(text))
        except ValidationError:
            break
        length += len(line)
    return tuple(found), length
