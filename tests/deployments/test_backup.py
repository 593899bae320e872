"""What is left where a backup fails, and who may read passwords? Stand-ins take the place of PostgreSQL's programs."""

import os
import stat

import pytest

from deployments.backup import LOGIN, dump, main, restore
from deployments.passwords import SERVER_FILE, WORKER_FILE, write
from deployments.passwords import main as passwords


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Return a function that puts a program on PATH, as a shell script; and name a database."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    for variable in LOGIN.values():
        monkeypatch.setenv(variable, f"of-{variable.lower()}")

    def put(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return put


def test_a_dump_that_fails_leaves_the_older_ones_alone(programs, tmp_path):
    programs("pg_dump", "echo half; echo 'no space left' >&2; exit 3")
    old = tmp_path / "quantumflow-20260101T000000Z.dump"
    old.write_text("whole")
    with pytest.raises(ValueError, match="pg_dump ended with 3: no space left"):
        dump(tmp_path, keep=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", old.name]


def test_a_dump_that_cannot_be_read_back_is_no_backup(programs, tmp_path):
    programs("pg_dump", "echo half")
    programs("pg_restore", "echo 'not a valid archive' >&2; exit 1")
    with pytest.raises(ValueError, match="not a valid archive"):
        dump(tmp_path / "backups", keep=1)
    assert list((tmp_path / "backups").iterdir()) == []


def test_the_newest_stay_and_nobody_else_reads_them(programs, tmp_path):
    programs("pg_dump", 'echo "whole $PGHOST"')
    programs("pg_restore", "exit 0")
    folder = tmp_path / "backups"
    folder.mkdir()
    for day in (1, 2, 3):
        (folder / f"quantumflow-2026010{day}T000000Z.dump").write_text("old")
    (folder / "notes.txt").write_text("of somebody else")
    made = dump(folder, keep=2)
    assert made.read_text() == "whole of-prefect_server_database_host\n"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["notes.txt", "quantumflow-20260103T000000Z.dump", made.name]


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_only_files_that_this_program_named_make_room_and_never_the_new_one(programs, tmp_path, keep):
    programs("pg_dump", "echo whole")
    programs("pg_restore", "exit 0")
    folder = tmp_path / "backups"
    folder.mkdir()
    foreign = ["quantumflow-before-upgrade.dump", "quantumflow-20260101.dump", "quantumflow-zz.dump"]
    ours = ["quantumflow-20260101T000000Z.dump", "quantumflow-29990101T000000Z.dump"]  # a clock was ahead
    for name in (*foreign, *ours):
        (folder / name).write_text("old")
    made = dump(folder, keep=keep)
    stay = {path.name for path in folder.iterdir()}
    assert stay == {*foreign, made.name, *ours[len(ours) - (keep - 1) :]}


def test_the_password_is_no_argument_that_everybody_sees(programs, tmp_path):
    programs("pg_dump", 'echo "$0 $@" > "$PGHOST_LOG"; tr "\\0" " " < /proc/$$/cmdline >> "$PGHOST_LOG"')
    programs("pg_restore", "exit 0")
    os.environ["PGHOST_LOG"] = str(tmp_path / "seen")
    try:
        dump(tmp_path / "backups", keep=1)
    finally:
        del os.environ["PGHOST_LOG"]
    assert "of-prefect_server_database_password" not in (tmp_path / "seen").read_text()


def test_a_database_that_holds_something_is_not_restored_into(programs, tmp_path):
    programs("psql", "echo 3")
    programs("pg_restore", "touch restored")
    file = tmp_path / "quantumflow-1.dump"
    file.write_text("")
    with pytest.raises(ValueError, match="expected it empty, found 3 tables"):
        restore(file)


def test_what_is_missing_is_named(tmp_path, monkeypatch, capsys):
    for variable in LOGIN.values():
        monkeypatch.delenv(variable, raising=False)
    assert main(["dump", str(tmp_path)]) == 1
    assert "environment: expected PREFECT_SERVER_DATABASE_HOST" in capsys.readouterr().err
    assert main(["restore", str(tmp_path / "none.dump")]) == 1
    assert "none.dump: expected a backup, found no file" in capsys.readouterr().err
    assert main(["dump", str(tmp_path), "--keep", "0"]) == 1
    assert "--keep: expected 1 or more, found 0" in capsys.readouterr().err


def test_passwords_are_drawn_once_for_their_owner_alone(tmp_path, capsys):
    files = write(tmp_path / "etc", "redis.example.com:6380")
    assert [file.name for file in files] == [SERVER_FILE, WORKER_FILE]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    server, worker = (dict(line.split("=", 1) for line in file.read_text().splitlines()) for file in files)
    assert worker == {"PREFECT_API_AUTH_STRING": server["PREFECT_SERVER_API_AUTH_STRING"]}
    assert server["PREFECT_SERVER_DOCKET_URL"].endswith("@redis.example.com:6380/1")
    assert len(set(server.values())) == len(server)
    before = [file.read_text() for file in files]
    assert passwords([str(tmp_path / "etc")]) == 1
    assert "expected no passwords yet" in capsys.readouterr().err
    assert [file.read_text() for file in files] == before
