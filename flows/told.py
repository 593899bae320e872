"""How does a terminal say what went wrong? In one message, and with an exit code."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from data.errors import BadRecord, BadSource, PlanRefused, SourceUnavailable
from tasks.report.plain import one_line

LONGEST = 4_000
"""Characters of a line."""


@contextmanager
def told() -> Iterator[None]:
    """Turn the errors that a user can mend into one message and exit code 1; so is what the disk refuses."""
    try:
        yield
    except (BadRecord, BadSource, PlanRefused, SourceUnavailable) as error:
        say(f"{type(error).__name__}: {error}", fg="red", err=True)
        raise typer.Exit(1) from error
    except OSError as error:
        say(f"{error.filename or 'output'}: {error.strerror or error}", fg="red", err=True)
        raise typer.Exit(1) from error


def say(message: str, *, fg: str | None = None, err: bool = False) -> None:
    """Print lines whose words may come from a file, without what steers a terminal."""
    typer.secho("\n".join(one_line(line, LONGEST) for line in message.split("\n")), fg=fg, err=err)
