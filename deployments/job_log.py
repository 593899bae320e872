"""How does a script speak to GitHub Actions? Grouped lines, a summary page, outputs; plain lines everywhere else."""

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SUMMARY, OUTPUT, ACTIONS = "GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT", "GITHUB_ACTIONS"


@dataclass(frozen=True, slots=True)
class JobLog:
    """The log of a job.

    Args:
        environment: of the process; names the files of GitHub Actions, if it runs there.
        token: with which commands are switched on again; nobody can know it.
    """

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    token: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def on_actions(self) -> bool:
        """Whether GitHub Actions reads the log."""
        return self.environment.get(ACTIONS) == "true"

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """Fold the lines of the block under ``title``; none of them is a command to the runner, whatever it says."""
        if not self.on_actions:
            self._line(title)
            yield
            return
        self._line(f"::group::{title}")
        self._line(f"::stop-commands::{self.token}")
        try:
            yield
        finally:
            self._line(f"::{self.token}::")
            self._line("::endgroup::")

    def say(self, line: str) -> None:
        """Say one line, without anything in it that would begin another or steer a terminal."""
        self._line("".join(each if each.isprintable() else " " for each in line))

    def error(self, line: str) -> None:
        """Say what went wrong: on GitHub Actions as an annotation, elsewhere to standard error."""
        plain = "".join(each if each.isprintable() else " " for each in line)
        if self.on_actions:
            escaped = plain.replace("%", "%25")
            self._line(f"::error::{escaped}")
        else:
            sys.stderr.write(f"{plain}\n")

    def summary(self, markdown: str) -> None:
        """Add ``markdown`` to the job's page, or say it where there is none."""
        named = self.environment.get(SUMMARY)
        if not named:
            sys.stdout.write(markdown if markdown.endswith("\n") else f"{markdown}\n")
            return
        with Path(named).open("a", encoding="utf-8") as file:
            file.write(f"{markdown}\n")

    def outputs(self, values: Mapping[str, str]) -> None:
        """Leave values for later steps; a value of several lines would be another output."""
        named = self.environment.get(OUTPUT)
        if named:
            with Path(named).open("a", encoding="utf-8") as file:
                file.writelines(f"{key}={' '.join(value.split())}\n" for key, value in values.items())

    @staticmethod
    def _line(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
