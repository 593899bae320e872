"""How is the server's database backed up, and restored? ``python -m deployments.backup dump | restore``.

Both ask for the database that the environment names as Prefect does (PREFECT_SERVER_DATABASE_HOST and so on), and use
PostgreSQL's own programs. A backup is either whole and readable or not there.
"""

import argparse
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

OWN = re.compile(r"quantumflow-\d{8}T\d{6}Z\.dump")
"""Names of backups; what else lies beside them is not ours to remove."""

LOGIN = {
    "PGHOST": "PREFECT_SERVER_DATABASE_HOST",
    "PGPORT": "PREFECT_SERVER_DATABASE_PORT",
    "PGUSER": "PREFECT_SERVER_DATABASE_USER",
    "PGPASSWORD": "PREFECT_SERVER_DATABASE_PASSWORD",
    "PGDATABASE": "PREFECT_SERVER_DATABASE_NAME",
}
TABLES = "select count(*) from pg_catalog.pg_tables where schemaname = 'public'"


def dump(folder: Path, keep: int) -> Path:
    """Write a backup named by the time in UTC, and return it; it and the newest ``keep - 1`` others stay.

    Raises:
        ValueError: a setting is missing, or a program of PostgreSQL failed; older backups are then all still there.
    """
    if keep < 1:
        raise ValueError(f"--keep: expected 1 or more, found {keep}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = folder / f"quantumflow-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump"
    partial = folder / f".{written.name}.partial"
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            _run(["pg_dump", "--format=custom", "--no-password"], stdout=file.fileno())
            os.fsync(file.fileno())
        _run(["pg_restore", "--list", str(partial)])  # reads its list of contents: a file cut short fails here
        partial.replace(written)
    finally:
        partial.unlink(missing_ok=True)
    _keep_name(folder)
    others = sorted(each for each in folder.iterdir() if OWN.fullmatch(each.name) and each != written)
    for old in others[: max(0, len(others) - (keep - 1))]:
        old.unlink()
    return written


def restore(file: Path) -> None:
    """Fill an empty database from a backup; nothing is changed where anything fails.

    Raises:
        ValueError: the database holds tables, a setting is missing, or a program of PostgreSQL failed.
    """
    if not file.is_file():
        raise ValueError(f"{file}: expected a backup, found no file")
    tables = _run(["psql", "--no-psqlrc", "--no-password", "-Atq", "-c", TABLES]).strip()
    if tables != "0":
        name = os.environ[LOGIN["PGDATABASE"]]
        raise ValueError(f"database {name}: expected it empty, found {tables} tables; make a new one to restore into")
    command = ["pg_restore", "--single-transaction", "--exit-on-error", "--no-owner", "--no-comments", "--no-password"]
    _run([*command, "--dbname", os.environ[LOGIN["PGDATABASE"]], str(file)])


def _run(command: list[str], stdout: int = subprocess.PIPE) -> str:
    if missing := [variable for variable in LOGIN.values() if not os.environ.get(variable)]:
        raise ValueError(f"environment: expected {', '.join(missing)} (see server.env), found nothing")
    environment = {**os.environ, **{ours: os.environ[theirs] for ours, theirs in LOGIN.items()}}  # never an argument
    try:
        done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, env=environment, check=False)  # noqa: S603 - fixed programs
    except FileNotFoundError as error:
        raise ValueError(f"{command[0]}: expected on PATH (package postgresql-client), found nothing") from error
    if done.returncode:
        raise ValueError(f"{command[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
    return (done.stdout or b"").decode()


def _keep_name(folder: Path) -> None:
    """Make sure that the new name survives a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def main(arguments: list[str] | None = None) -> int:
    """Dump or restore as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m deployments.backup", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    dumping = commands.add_parser("dump", help="write a backup into FOLDER")
    dumping.add_argument("folder", type=Path)
    dumping.add_argument("--keep", type=int, default=14, help="how many of the newest stay (default: %(default)s)")
    restoring = commands.add_parser("restore", help="fill the empty database that the environment names from FILE")
    restoring.add_argument("file", type=Path)
    asked = parser.parse_args(arguments)
    try:
        if asked.command == "dump":
            sys.stdout.write(f"wrote {dump(asked.folder, asked.keep)}\n")
        else:
            restore(asked.file)
            sys.stdout.write(f"restored {asked.file} into {os.environ[LOGIN['PGDATABASE']]}\n")
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
