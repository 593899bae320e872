"""The journal: what is damaged is refused with its line, what a killed process left torn is cut."""

import errno
import hashlib
import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import BadRecord, SourceUnavailable
from data.schemas.apply import Begun, Done, Ended
from tasks.apply.applies import cut_off, journal_path, note_latest
from tasks.apply.journal import new_journal, old_journal, read_journal
from tasks.apply.progress import progress_of
from tests.tasks.apply.world import clock, drawn, opened, sample

SNAPSHOT = sample("small")
ACTIONS = drawn(SNAPSHOT, np.random.default_rng(1), 3)


def silent(_):
    """Nobody listens."""


@pytest.fixture
def path(tmp_path):
    return written(tmp_path / "journal.jsonl")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return written(tmp_path_factory.mktemp("journal") / "journal.jsonl").read_bytes()


def written(path):
    with new_journal(path, opened(SNAPSHOT, ACTIONS), clock, silent) as journal:
        journal.append(Begun(0, (0,)))
        journal.append(Done(0, ("as the plan wants it",)))
    return path


def test_what_was_written_is_read(path):
    found = read_journal(path)
    assert [line.sequence for line in found.lines] == [0, 1, 2]
    assert [entry.kind for entry in found.entries] == ["open", "begin", "done"]
    assert found.entries[0].actions == ACTIONS
    assert found.torn == 0


def test_each_line_is_json_and_names_the_line_before(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["previous"] for line in lines] == ["0" * 64, lines[0]["sha256"], lines[1]["sha256"]]


def test_it_tells_nobody_but_owner_and_group(path):
    assert path.stat().st_mode & 0o007 == 0


@given(st.data())
def test_a_journal_that_ends_anywhere_is_read_up_to_its_last_whole_line(tmp_path_factory, text, data):
    cut = data.draw(st.integers(0, len(text)))
    path = tmp_path_factory.mktemp("torn") / "journal.jsonl"
    path.write_bytes(text[:cut])
    found = read_journal(path)
    assert len(found.lines) == text[:cut].count(b"\n")
    assert found.torn == cut - found.end


@given(st.data())
def test_a_byte_that_was_altered_is_told_with_its_line(tmp_path_factory, text, data):
    at = data.draw(st.integers(0, len(text) - 2))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != text[at]))
    if text[at] == ord("\n"):  # two lines become one, which is not JSON
        other = ord(" ")
    path = tmp_path_factory.mktemp("altered") / "journal.jsonl"
    path.write_bytes(text[:at] + bytes([other]) + text[at + 1 :])
    with pytest.raises(BadRecord, match=f"line {1 + text[:at].count(10)}"):
        read_journal(path)


@pytest.mark.parametrize("order", [(0, 2), (0, 1, 1), (0, 2, 1), (1, 2), (0, 0, 1)], ids=str)
def test_lines_that_were_removed_doubled_or_exchanged_are_told(tmp_path, text, order):
    lines = text.splitlines(keepends=True)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(lines[each] for each in order))
    with pytest.raises(BadRecord, match=r"line \d"):
        read_journal(path)


def test_a_line_of_another_journal_is_told(tmp_path, text):
    body = text.splitlines()[1].replace(b'"sequence":1', b'"sequence":3')[: -len(',"sha256":""}') - 64]
    forged = body + b',"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'"}\n'
    path = tmp_path / "journal.jsonl"
    path.write_bytes(text + forged)
    with pytest.raises(BadRecord, match="line 4"):
        read_journal(path)


def test_a_torn_line_is_cut_before_the_next_one_is_written(path):
    with path.open("ab") as file:
        file.write(b'{"sequence":3,"at":"2026-')
    with old_journal(path, clock, silent) as journal:
        journal.append(Ended("applied"))
    assert [entry.kind for entry in read_journal(path).entries] == ["open", "begin", "done", "end"]


def test_two_processes_do_not_write_one_journal(path):
    with (
        old_journal(path, clock, silent),
        pytest.raises(SourceUnavailable, match="another process"),
        old_journal(path, clock, silent),
    ):
        pass


def test_a_journal_is_not_written_over(path):
    with pytest.raises(FileExistsError), new_journal(path, opened(SNAPSHOT, ACTIONS), clock, silent):
        pass


def test_a_link_is_not_followed(path, tmp_path):
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    with pytest.raises(SourceUnavailable), old_journal(link, clock, silent):
        pass


def test_a_full_disk_leaves_whole_lines_and_says_what_to_do(path, monkeypatch):
    write = os.write

    def half(descriptor, data):
        if len(data) > 40:
            return write(descriptor, bytes(data[:40]))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = path.read_bytes()
    with old_journal(path, clock, silent) as journal:
        monkeypatch.setattr(os, "write", half)
        with pytest.raises(SourceUnavailable, match="make room"):
            journal.append(Done(0, ("a detail that is longer than what the disk takes",)))
        monkeypatch.undo()
        assert path.read_bytes() == before
        journal.append(Ended("applied"))
    assert read_journal(path).entries[-1] == Ended("applied")


def test_entries_that_contradict_the_plan_are_refused():
    first = opened(SNAPSHOT, ACTIONS)
    for wrong in (Begun(9, (0,)), Begun(0, (2,)), Done(1, ())):
        with pytest.raises(BadRecord, match="entry 1"):
            progress_of((first, wrong))


def test_the_last_apply_of_a_cluster_is_found_until_it_ends(tmp_path):
    path = written(journal_path(tmp_path, "20260131T120000Z", "2" * 64))
    assert cut_off(tmp_path, "a/b") is None
    note_latest(tmp_path, "a/b", path)
    found = cut_off(tmp_path, "a/b")
    assert found is not None
    assert found.path == path
    with old_journal(path, clock, silent) as journal:
        journal.append(Ended("applied"))
    assert cut_off(tmp_path, "a/b") is None


@pytest.mark.parametrize("name", ["../elsewhere.jsonl", "gone.jsonl", ""])
def test_a_note_that_names_no_journal_here_is_told(tmp_path, name):
    note_latest(tmp_path, "c", tmp_path / "x.jsonl")
    next(tmp_path.glob("*.latest")).write_text(name)
    with pytest.raises(BadRecord):
        cut_off(tmp_path, "c")
