"""How do a process and its sandboxed child talk? In JSON objects over a socket pair: plain data, never code."""

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

# to the fork server go an operation and a process id, back comes one number
REQUEST = struct.Struct("<cq")
REPLY = struct.Struct("<q")
FORK, END = b"f", b"e"

_LENGTH = struct.Struct("<Q")


def send(connection: socket.socket, message: Mapping[str, Any], *, until_s: float | None = None) -> None:
    """Send one message.

    Raises:
        TimeoutError: the other side did not take it before the monotonic time ``until_s``.
        ConnectionError: the other side is gone.
    """
    payload = json.dumps(message).encode()
    _limit(connection, until_s)
    connection.sendall(_LENGTH.pack(len(payload)) + payload)


def receive(connection: socket.socket, *, until_s: float | None = None) -> dict[str, Any]:
    """Return the next message.

    Raises:
        TimeoutError: it was not complete before the monotonic time ``until_s``.
        EOFError: the other side closed the connection, or died.
        ConnectionError: the connection broke.
    """
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size, until_s))
    message: dict[str, Any] = json.loads(_exactly(connection, length, until_s))
    return message


def _exactly(connection: socket.socket, count: int, until_s: float | None) -> bytes:
    """Return exactly ``count`` bytes."""
    received = bytearray()
    while len(received) < count:
        _limit(connection, until_s)
        chunk = connection.recv(min(count - len(received), 1 << 20))
        if not chunk:
            raise EOFError("the connection was closed")
        received += chunk
    return bytes(received)


def _limit(connection: socket.socket, until_s: float | None) -> None:
    """Let the next operation on ``connection`` last until ``until_s`` and no longer."""
    left_s = None if until_s is None else until_s - time.monotonic()
    if left_s is not None and left_s <= 0:
        raise TimeoutError("no complete message in time")
    connection.settimeout(left_s)
