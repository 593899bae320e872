"""How does a terminal say what went wrong? In one message, and with an exit code."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from data.errors import BadRecord, BadSource, PlanRefused, SourceUnavailable


@contextmanager
def told() -> Iterator[None]:
    """Turn the errors that a user can mend into one message and exit code 1; so is what the disk refuses."""
    try:
        yield
    except (BadRecord, BadSource, PlanRefused, SourceUnavailable) as error:
        typer.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
        raise typer.Exit(1) from error
    except OSError as error:
        typer.secho(f"{error.filename or 'output'}: {error.strerror or error}", fg="red", err=True)
        raise typer.Exit(1) from error
