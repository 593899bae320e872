"""Which programs of the site may an apply start? Those in folders that the machine's owner lists, and no others.

A form or a parameter names a hook, so naming must not be enough: whoever may start a flow could start any program.
"""

import os
import stat
from pathlib import Path

from data.errors import ApplyFailed, SourceUnavailable
from tasks.apply.program import Ended, run

FOLDERS = "QUANTUMFLOW_HOOKS"
"""The environment variable that lists the folders of hooks, separated as in PATH."""

TRY_AGAIN = 75
"""Exit code of a hook that could not reach what it acts on (EX_TEMPFAIL of sysexits.h)."""

MOST_ANSWER_BYTES = 16 << 20


def allowed(hook: Path) -> Path:
    """Return the program that ``hook`` names.

    Raises:
        ApplyFailed: it lies in none of the folders of ``QUANTUMFLOW_HOOKS``, is no executable file, or others than its
            owner may change it; the message says which.
    """
    listed = [Path(folder) for folder in os.environ.get(FOLDERS, "").split(os.pathsep) if folder]
    folders = [folder.resolve() for folder in listed if folder.is_absolute()]
    if not folders:
        raise ApplyFailed(f"hook {hook}: expected {FOLDERS} to list the absolute folders of hooks, found none in it")
    if not hook.is_absolute():
        raise ApplyFailed(f"hook {hook}: expected an absolute path")
    try:
        program = hook.resolve(strict=True)
        state = program.stat()
        inside = [folder for folder in folders if program.is_relative_to(folder)]
        if not inside:
            listing = os.pathsep.join(map(str, folders))
            raise ApplyFailed(f"hook {hook}: expected a program in {FOLDERS}={listing}, found {program}")
        if not stat.S_ISREG(state.st_mode) or not os.access(program, os.X_OK):
            raise ApplyFailed(f"hook {hook}: expected an executable file")
        _check_owner(program)
        for folder in program.parents:
            _check_owner(folder)
            if folder in inside:
                break
    except OSError as error:
        raise ApplyFailed(f"hook {hook}: {error.strerror or error}") from error
    return program


def call(hook: Path, *words: str, timeout_s: float, stdin: str = "") -> str:
    """Run a hook and return what it printed.

    Args:
        hook: see :func:`allowed`.
        words: its arguments.
        timeout_s: see :func:`tasks.apply.program.run`.
        stdin: what it reads.

    Raises:
        SourceUnavailable: it took too long, or ended with the exit code ``TRY_AGAIN``.
        ApplyFailed: it is not allowed, or ended with another exit code than 0.
    """
    ended = run([str(allowed(hook)), *words], timeout_s=timeout_s, stdin=stdin, most_bytes=MOST_ANSWER_BYTES)
    return _output(ended)


def _output(ended: Ended) -> str:
    if ended.code == TRY_AGAIN:
        raise SourceUnavailable(f"hook {ended.failure()}")
    if ended.code != 0:
        raise ApplyFailed(f"hook {ended.failure()}")
    return ended.output


def _check_owner(path: Path) -> None:
    """Refuse what others than root and this user could put another program in the place of."""
    state = path.stat()
    if state.st_uid not in (0, os.geteuid()):
        raise ApplyFailed(f"hook: {path} belongs to user {state.st_uid}, expected root or user {os.geteuid()}")
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ApplyFailed(f"hook: {path} may be changed by others than its owner, expected no write for group and all")
