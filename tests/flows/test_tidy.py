"""Which old runs go, which stay whatever their age, and what a form or a failure may not do."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from data.errors import BadRecord, SourceUnavailable
from flows.commands import app
from flows.journals import APPLIES, journal_folders
from flows.leftovers import leftovers
from flows.old_runs import old_runs, remove_old
from flows.tidy import TidyParams, tidy_runs

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nobody_else_applies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the journals of this checkout out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(APPLIES, raising=False)


def left(runs: Path, days: float, now: datetime = NOW) -> Path:
    """Leave a run that began so many days ago, of a thousand bytes."""
    folder = runs / f"{now - timedelta(days=days):%Y%m%dT%H%M%SZ}-{os.urandom(3).hex()}"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_bytes(b"x" * 1000)
    return folder


def applied(runs: Path, run: Path, days: float, last: str, executor: str) -> None:
    """Leave the journal of an apply that was last written to so many days ago."""
    (runs / "applies").mkdir(exist_ok=True)
    journal = runs / "applies" / f"{run.name}.jsonl"
    opened = {"entry": {"kind": "open", "executor": executor, "plan": str(run / "plan.json")}}
    journal.write_text(f"{json.dumps(opened)}\n{json.dumps({'entry': {'kind': last}})}\n")
    moment = (NOW - timedelta(days=days)).timestamp()
    os.utime(journal, (moment, moment))


def going(runs: Path, keep: int = 0) -> list[Path]:
    found, _ = old_runs(runs, [runs / "applies"], NOW, days=90, keep=keep)
    return [old.path for old in found]


def test_old_runs_go_oldest_first_and_the_newest_stay_however_old(tmp_path: Path) -> None:
    oldest, old, young = (left(tmp_path, days) for days in (200, 100, 80))
    for name in ("applies", "models", "20260101T000000Z", "notes-20200101T000000Z-abcdef"):
        (tmp_path / name).mkdir()
    (tmp_path / "20200101T000000Z-abcdef").symlink_to(young)
    assert going(tmp_path) == [oldest, old]
    assert going(tmp_path, keep=2) == [oldest]
    assert going(tmp_path, keep=3) == []


@pytest.mark.parametrize("link", ["latest", "latest-fleet"])
def test_the_last_plan_stays(tmp_path: Path, link: str) -> None:
    last, old = left(tmp_path, 200), left(tmp_path, 100)
    (tmp_path / link).symlink_to(last.name)
    found, notes = old_runs(tmp_path, [], NOW, days=90, keep=0)
    assert [each.path for each in found] == [old]
    assert notes == (f"{last}: kept, {link} points at it",)


def test_the_newest_plan_of_each_cluster_and_fleet_stays(tmp_path: Path) -> None:
    runs = {}
    for days, (file, what, name) in enumerate(
        [
            ("plan.json", "cluster", "east"),
            ("plan.json", "cluster", "west"),
            ("fleet_plan.json", "fleet", "east"),
            ("plan.json", "cluster", 'a "name" \\ of its own'),
        ]
    ):
        for age in (300, 200):
            run = runs[what, name, age] = left(tmp_path, age - days)
            (run / "plan.json").unlink()
            (run / file).write_text(f'{{\n "{what}": {json.dumps(name)},\n "options": "{{}}",\n')
    assert going(tmp_path) == [run for (_, _, age), run in runs.items() if age == 300]
    _, notes = old_runs(tmp_path, [], NOW, days=90, keep=0)
    assert notes[0].endswith("kept, no plan for cluster east is newer")


@pytest.mark.parametrize("days", [400_000, 1e300])
def test_no_number_of_days_is_too_large(tmp_path: Path, days: float) -> None:
    left(tmp_path, 200)
    (tmp_path / "20269999T000000Z-abcdef").mkdir()
    assert old_runs(tmp_path, [], NOW, days=days, keep=0) == ((), ())
    assert old_runs(tmp_path, [], NOW, days=7, keep=1) == ((), ()), "what only looks like a run counts for none"


@pytest.mark.parametrize(
    ("journal", "stays"),
    [
        ((80, "end", "slurm"), True),
        ((200, "begin", "slurm"), True),
        ((200, "end", "slurm"), False),
        ((80, "end", "dry-run"), False),
    ],
)
def test_what_an_apply_may_go_back_from_stays(tmp_path: Path, journal: tuple[float, str, str], stays: bool) -> None:
    run = left(tmp_path, 200)
    applied(tmp_path, run, *journal)
    assert (going(tmp_path) == []) is stays


@pytest.mark.parametrize(
    "text", ["", "{", "null", '{"entry": {"executor": "slurm"}}', '{"entry": {"executor":', "[" * 99_999]
)
def test_a_damaged_journal_keeps_what_began_before_it_was_last_written(tmp_path: Path, text: str) -> None:
    before, after = left(tmp_path, 200), left(tmp_path, 100)
    (tmp_path / "applies").mkdir()
    journal = tmp_path / "applies" / "broken.jsonl"
    journal.write_text(text)
    moment = (NOW - timedelta(days=150)).timestamp()
    os.utime(journal, (moment, moment))
    twice = [tmp_path / "applies", tmp_path / "applies" / ".." / "applies"]
    found, notes = old_runs(tmp_path, twice, NOW, days=90, keep=0)
    assert [old.path for old in found] == [after]
    assert [str(journal) in note and "remove it by hand" in note for note in notes] == [True]
    journal.unlink()
    assert going(tmp_path) == [before, after]


def a_loop(path: Path) -> None:
    path.symlink_to(path.name)


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("gone")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, a_loop, a_link_to_nothing])
def test_where_a_journal_cannot_be_read_nothing_goes(tmp_path: Path, make: Callable[[Path], None]) -> None:
    left(tmp_path, 200)
    (tmp_path / "applies").mkdir()
    make(tmp_path / "applies" / "some.jsonl")
    with pytest.raises(SourceUnavailable, match=r"applies/some\.jsonl: "):
        going(tmp_path)
    assert CliRunner().invoke(app, ["tidy", str(tmp_path), "--keep", "0", "--yes"]).exit_code == 1
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo, a_loop])
def test_where_a_folder_of_journals_cannot_be_listed_nothing_goes(tmp_path: Path, make: Callable[[Path], None]) -> None:
    left(tmp_path, 200)
    make(tmp_path / "applies")
    with pytest.raises(SourceUnavailable, match="applies: "):
        going(tmp_path)


def test_a_folder_of_journals_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = left(tmp_path, 200)
    assert journal_folders(tmp_path) == (), "nobody applied yet"
    monkeypatch.setenv(APPLIES, str(tmp_path / "elsewhere"))
    found, (note,) = old_runs(tmp_path, journal_folders(tmp_path), NOW, days=90, keep=0)
    assert [each.path for each in found] == [old]
    assert note.startswith(f"{tmp_path / 'elsewhere'}: no such folder")


def test_what_is_shared_with_a_younger_run_stays_there(tmp_path: Path) -> None:
    old, young = left(tmp_path, 200), left(tmp_path, 10)
    (old / "a.qfz").write_bytes(b"archive")
    (young / "a.qfz").hardlink_to(old / "a.qfz")
    (found,), _ = old_runs(tmp_path, [], NOW, days=90, keep=0)
    assert found.size_bytes == 1000, "the archive frees nothing"
    assert [why for _, why in remove_old([found])] == [""]
    assert not old.exists()
    assert (young / "a.qfz").read_bytes() == b"archive"
    assert list(leftovers(tmp_path)) == []


def test_the_only_copy_of_an_archive_stays_unless_it_is_asked_for(tmp_path: Path) -> None:
    alone, first, second, shared, free = (left(tmp_path, days) for days in (300, 250, 200, 150, 120))
    young = left(tmp_path, 10)
    for run in (alone, first, second, shared, young):
        (run / "checkpoints").mkdir()
    (alone / "checkpoints" / "a.qfz").write_bytes(b"a" * 500)
    (alone / "checkpoints" / "again.qfz").hardlink_to(alone / "checkpoints" / "a.qfz")
    (first / "checkpoints" / "b.qfz").write_bytes(b"b" * 500)
    (second / "checkpoints" / "b.qfz").hardlink_to(first / "checkpoints" / "b.qfz")
    (shared / "checkpoints" / "c.qfz").write_bytes(b"c" * 500)
    (young / "checkpoints" / "c.qfz").hardlink_to(shared / "checkpoints" / "c.qfz")
    (free / "b.qfz").write_bytes(b"no archive that a plan names")
    found, notes = old_runs(tmp_path, [], NOW, days=90, keep=0)
    assert [old.path for old in found] == [first, shared, free], "second then holds the only copy of b.qfz"
    assert notes == (f"2 runs kept, each holds the only copy of an archive: {alone.name}, {second.name}",)
    found, notes = old_runs(tmp_path, [], NOW, days=90, keep=0, archives=True)
    assert {old.path: old.size_bytes for old in found} == {
        alone: 1500, first: 1000, second: 1500, shared: 1000, free: 1028
    }  # fmt: skip
    assert notes == ()
    assert all(not why for _, why in remove_old(found))
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [young]


def test_what_cannot_be_removed_keeps_the_others_from_nothing(tmp_path: Path) -> None:
    stuck, free = left(tmp_path, 200), left(tmp_path, 100)
    (tmp_path / f".{stuck.name}.partial" / "something").mkdir(parents=True)  # no folder can take that name
    found, _ = old_runs(tmp_path, [], NOW, days=90, keep=0)
    assert [bool(why) for _, why in remove_old(found)] == [True, False]
    assert (stuck.exists(), free.exists()) == (True, False)
    left(tmp_path, 1)
    with pytest.raises(BadRecord, match=stuck.name):
        tidy_runs(TidyParams(runs=tmp_path, keep=1, days=7))


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="nowhere"):
        old_runs(tmp_path / "nowhere", [], NOW, days=90, keep=0)


def test_a_terminal_lists_and_removes_only_when_told_to(tmp_path: Path) -> None:
    old = left(tmp_path, 200, datetime.now(UTC))
    listed = CliRunner().invoke(app, ["tidy", str(tmp_path), "--keep", "0"])
    assert (listed.exit_code, old.is_dir()) == (0, True)
    assert "1 run would go, 1 kB: say --yes" in listed.output
    assert str(old) in listed.output
    removed = CliRunner().invoke(app, ["tidy", str(tmp_path), "--keep", "0", "--yes"])
    assert (removed.exit_code, old.exists()) == (0, False)
    assert CliRunner().invoke(app, ["tidy", str(tmp_path / "nowhere")]).exit_code == 1


def test_archives_go_from_a_terminal_and_by_a_form_only_when_named(tmp_path: Path) -> None:
    for number in range(8):
        old = left(tmp_path, 200 + number, datetime.now(UTC))
        (old / "checkpoints").mkdir()
        (old / "checkpoints" / "a.qfz").write_bytes(b"archive")
    left(tmp_path, 10, datetime.now(UTC))
    ask = ["tidy", str(tmp_path), "--keep", "0"]
    kept = CliRunner().invoke(app, ask).output
    assert "8 runs kept, each holds the only copy" in kept
    assert "and 3 more" in kept
    assert "0 runs would go" in kept
    assert "8 runs would go" in CliRunner().invoke(app, [*ask, "--archives"]).output
    assert tidy_runs(TidyParams(runs=tmp_path, keep=1)) == "0 runs removed, 0 bytes free"
    assert tidy_runs(TidyParams(runs=tmp_path, keep=1, archives=True)).startswith("8 runs removed")


@pytest.mark.parametrize("option", [("--days", "400000"), ("--days", "-1"), ("--keep", "1000001")])
def test_a_terminal_takes_no_more_than_the_form(tmp_path: Path, option: tuple[str, str]) -> None:
    assert CliRunner().invoke(app, ["tidy", str(tmp_path), *option]).exit_code == 2


def test_the_flow_removes_and_says_what(tmp_path: Path) -> None:
    moment = datetime.now(UTC)
    old, young = left(tmp_path, 200, moment), left(tmp_path, 10, moment)
    assert tidy_runs(TidyParams(runs=tmp_path, keep=1)) == "1 run removed, 1 kB free"
    assert (old.exists(), young.exists()) == (False, True)


@pytest.mark.parametrize("fields", [{"days": 1}, {"days": 36_501}, {"keep": 0}, {"keep": 1_000_001}])
def test_no_form_can_empty_the_folder(fields: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        TidyParams.model_validate(fields)
