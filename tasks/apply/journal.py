"""What has an apply done so far? Its journal: lines that are only ever added, each on disk before the next step.

Write-ahead logging (Gray and Reuter 1992, Transaction Processing): what is about to happen is on disk before it
happens, so that whoever comes after a crash knows where to look.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from data.errors import BadRecord, SourceUnavailable
from data.readers.bounded import read_bounded
from data.schemas.apply import Entry, Line, Opened
from tasks.report.plain import one_line

MAX_BYTES = 1 << 30
FIRST = "0" * 64
SUFFIX = ".jsonl"

_LINE = TypeAdapter(Line)
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Entry)
_TAIL = len(',"sha256":"') + 64 + len('"}')

Clock = Callable[[], datetime]
Listener = Callable[[Entry], None]


@dataclass(frozen=True, slots=True)
class Read:
    """What a journal holds.

    Args:
        lines: in order.
        end: bytes of them; what follows in the file is a torn last line.
        torn: bytes that follow.
    """

    lines: tuple[Line, ...]
    end: int
    torn: int = 0

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What the lines say."""
        return tuple(line.entry for line in self.lines)


def read_journal(path: Path) -> Read:
    """Read a journal, and check that no line of it was altered, removed or added by somebody else.

    A last line without its end is what a process leaves that was killed while it wrote: it is not read.

    Raises:
        SourceUnavailable: the file is not there or cannot be read.
        BadSource: it is no regular file, or too large.
        BadRecord: any other damage; names the line.
    """
    data = read_bounded(path, MAX_BYTES)
    end = data.rfind(b"\n") + 1
    lines: list[Line] = []
    for number, text in enumerate(data[:end].split(b"\n")[:-1], start=1):
        lines.append(_checked(text, lines, f"{path}: line {number}"))
    return Read(tuple(lines), end, len(data) - end)


def _checked(text: bytes, before: list[Line], where: str) -> Line:
    """Return the line ``text``, which must follow those ``before`` it."""
    try:
        line = _LINE.validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"]) or "the line"
        raise BadRecord(where, f"an entry of a journal ({place}: {problem['msg']})", one_line(repr(text))) from error
    digest = hashlib.sha256(text[:-_TAIL]).hexdigest()
    if digest != line.sha256:
        raise BadRecord(where, f"sha256 {digest}, which is that of its text", f"{line.sha256}: it was altered")
    if line.sequence != len(before):
        raise BadRecord(where, f"sequence {len(before)}", f"{line.sequence}: a line was added or removed")
    previous = before[-1].sha256 if before else FIRST
    if line.previous != previous:
        raise BadRecord(where, f"previous {previous}, the line before", f"{line.previous}: lines were exchanged")
    if isinstance(line.entry, Opened) != (not before):
        raise BadRecord(where, "an entry of kind open as the first line and nowhere else", line.entry.kind)
    return line


@dataclass(slots=True)
class Journal:
    """A journal that this process alone writes.

    Args:
        path: of the file.
        descriptor: of the open, locked file.
        clock: tells the time of each line.
        lines: so far.
        listen: told each entry once it is on disk.
    """

    path: Path
    descriptor: int
    clock: Clock
    lines: list[Line] = field(default_factory=list)
    listen: Listener = field(default=lambda _: None)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What the lines say."""
        return tuple(line.entry for line in self.lines)

    def append(self, entry: Entry) -> None:
        """Add ``entry``; when this returns it is on disk.

        Raises:
            SourceUnavailable: the disk is full or does not answer. Nothing of the entry stays in the file.
        """
        previous = self.lines[-1].sha256 if self.lines else FIRST
        at = self.clock().isoformat()
        inside = _ENTRY.dump_json(entry).decode()
        body = f'{{"sequence":{len(self.lines)},"at":{json.dumps(at)},"previous":"{previous}","entry":{inside}'
        digest = hashlib.sha256(body.encode()).hexdigest()
        end = os.lseek(self.descriptor, 0, os.SEEK_END)
        try:
            _write(self.descriptor, f'{body},"sha256":"{digest}"}}\n'.encode())
            os.fsync(self.descriptor)
        except OSError as error:
            os.ftruncate(self.descriptor, end)
            raise SourceUnavailable(
                f"{self.path}: {error.strerror}; nothing was begun that it does not tell: "
                "make room on the disk, then resume it or roll it back"
            ) from error
        self.lines.append(Line(len(self.lines), at, previous, entry, digest))
        self.listen(entry)


@contextmanager
def new_journal(path: Path, opened: Opened, clock: Clock, listen: Listener) -> Iterator[Journal]:
    """Make a journal with its first entry; the file and its name are on disk when the block begins.

    Raises:
        SourceUnavailable: the disk is full.
        OSError: the folder cannot be written, or the file is there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o640)  # it tells who approved what: not for everybody
    try:
        _claim(descriptor, path)
        journal = Journal(path, descriptor, clock, listen=listen)
        journal.append(opened)
        _sync_folder(path.parent)
        yield journal
    finally:
        os.close(descriptor)


@contextmanager
def old_journal(path: Path, clock: Clock, listen: Listener) -> Iterator[Journal]:
    """Open a journal to go on with it; a torn last line is cut.

    Raises:
        SourceUnavailable: it cannot be read, or another process writes it.
        BadRecord: it is damaged.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror}") from error
    try:
        _claim(descriptor, path)
        found = read_journal(path)
        if not found.lines:
            raise BadRecord(str(path), "a journal", "no whole line: its apply ended before it began anything")
        if found.torn:
            os.ftruncate(descriptor, found.end)
            os.fsync(descriptor)
        yield Journal(path, descriptor, clock, list(found.lines), listen)
    finally:
        os.close(descriptor)


def _claim(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SourceUnavailable(f"{path}: another process goes on with this journal; let it end") from error


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
