"""How is a program run so that it can neither hang nor be told more than its arguments? A list of words, no shell."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from data.errors import ApplyFailed, SourceUnavailable
from tasks.report.plain import one_line

MOST_OUTPUT_BYTES = 1 << 30
"""A queue of 100,000 jobs as JSON takes about 300 MB."""

TETHERED = str(Path(__file__).with_name("tethered.py"))

_PASSED = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "SLURM_CONF", "KUBECONFIG")
"""What a program gets of our environment: no secrets, and none of the variables that filter what squeue lists."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended.

    Args:
        line: the command, as a person may type it.
        code: exit code; negative where a signal ended it.
        output: what it printed.
        said: the last line that it wrote to stderr, empty where none.
    """

    line: str
    code: int
    output: str
    said: str

    def failure(self) -> str:
        """Return the command, its exit code, and what it said last."""
        return f"{self.line}: exit code {self.code}: {self.said or 'nothing on stderr'}"


def run(command: Sequence[str], *, timeout_s: float, stdin: str = "", most_bytes: int = MOST_OUTPUT_BYTES) -> Ended:
    """Run a program to its end.

    Its output goes through files: a pipe that a grandchild keeps open would outlast the time limit. It does not outlive
    this process, however that ends; what it started itself may.

    Args:
        command: the program and its arguments.
        timeout_s: seconds after which its process group is killed; what called setsid survives.
        stdin: what it reads.
        most_bytes: that it may print.

    Raises:
        SourceUnavailable: the program is not installed, cannot be started, or took too long.
        ApplyFailed: it printed more than ``most_bytes``.
    """
    line = one_line(" ".join(command))
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    program = shutil.which(command[0], path=passed.get("PATH"))
    if program is None:
        raise SourceUnavailable(f"{line}: the command {command[0]} is not installed, or may not be run")
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        given.write(stdin.encode())
        given.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
                [sys.executable, "-I", "-S", TETHERED, str(os.getpid()), program, *command[1:]],
                stdin=given,
                stdout=output,
                stderr=errors,
                env={**passed, "LC_ALL": "C", "TZ": "UTC"},  # an hour that a clock shows twice would be two times
                start_new_session=True,
            )
        except OSError as error:
            raise SourceUnavailable(f"{line}: {error.strerror or error}") from error
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise SourceUnavailable(f"{line}: no end within {timeout_s:g} s, killed") from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        size = os.fstat(output.fileno()).st_size
        if size > most_bytes:
            raise ApplyFailed(f"{line}: printed {size} bytes, expected at most {most_bytes}")
        return Ended(line, code, _text(output, most_bytes), _last_line(errors))


def _text(file: IO[bytes], most_bytes: int) -> str:
    file.seek(0)
    return file.read(most_bytes).decode("utf-8", "replace")


def _last_line(file: IO[bytes]) -> str:
    file.seek(0, os.SEEK_END)
    file.seek(max(file.tell() - 4096, 0))
    lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return one_line(lines[-1]) if lines else ""
