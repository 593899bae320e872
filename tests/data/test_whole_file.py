"""A file appears whole, or not at all."""

from pathlib import Path

import pytest

from data.whole_file import whole_file


def test_the_file_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "plan"
    with whole_file(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def interrupt_after(written: int) -> None:
    raise KeyboardInterrupt(written)


def test_an_error_leaves_nothing_behind_and_the_old_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "plan"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as file:
        interrupt_after(file.write(b"half"))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_as_readable_as_any_new_file(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    with whole_file(tmp_path / "plan"):
        pass
    assert (tmp_path / "plan").stat().st_mode == other.stat().st_mode


def test_what_was_written_can_be_read_back_before_it_counts(tmp_path: Path) -> None:
    with whole_file(tmp_path / "plan") as file:
        file.write(b"whole")
        file.flush()
        assert Path(file.name).read_bytes() == b"whole"
