"""Where does the key of a quantum machine come from? From the environment, or from a getter that is passed in.

A key is asked for when a machine is opened, handed to its client, and kept nowhere: no field, no ``repr``, no message.
"""

import os
from collections.abc import Callable, Sequence

from qiskit_solvers.backends.protocol import Unavailable

Secret = Callable[[str], str | None]
"""Returns the value of a named secret, or nothing: ``os.environ.get``, or a reader of a secret store."""


def credential(name: str, secret: Secret | None) -> str:
    """Return the secret of this name.

    Args:
        name: of the variable, as the environment has it.
        secret: where to ask; none is the environment.

    Raises:
        Unavailable: there is none.
    """
    value = (secret or os.environ.get)(name)
    if not value:
        raise Unavailable(f"{name}: expected a key in the environment or from the secret store, found none")
    return value


def without(text: str, secrets: Sequence[str]) -> str:
    """Return the text of somebody else's message with every secret in it blotted out."""
    for value in secrets:
        if value:
            text = text.replace(value, "***")
    return text
