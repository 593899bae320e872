"""How do two applies to one cluster never overlap on a machine? A locked file that says who holds it.

The system takes the lock from a process that ends, however it ends; nobody has to clean up.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from data.errors import PlanRefused
from data.schemas.apply import Process
from tasks.report.plain import one_line

_PROCESS = TypeAdapter(Process)
_MOST_BYTES = 4_096


@contextmanager
def lease(folder: Path, cluster: str, by: Process, since: str) -> Iterator[None]:
    """Hold ``cluster`` for this process until the block ends.

    Args:
        folder: of applies; made where it is missing.
        cluster: its id, which may hold slashes.
        by: who takes it.
        since: the time, for whoever is refused.

    Raises:
        PlanRefused: another process holds it; says which.
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = lease_path(folder, cluster)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PlanRefused(
                f"cluster {cluster} is held by another apply: {_holder(descriptor)}; wait for its end ({path})"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{_PROCESS.dump_json(by).decode()}\n{since}\n".encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)  # whom it names holds it
    finally:
        os.close(descriptor)


def lease_path(folder: Path, cluster: str) -> Path:
    """Return the file of a cluster's lease."""
    plain = re.sub(r"[^\w-]", "_", cluster)[:64]
    return folder / f"{plain}-{hashlib.sha256(cluster.encode()).hexdigest()[:8]}.lease"


def _holder(descriptor: int) -> str:
    """Return who wrote the file; it may be written just now."""
    text = os.pread(descriptor, _MOST_BYTES, 0).decode(errors="replace")
    who, _, since = text.partition("\n")
    try:
        by = _PROCESS.validate_json(who)
    except ValidationError:
        return "one that has just begun"
    run = f", run {by.run}" if by.run else ""
    return one_line(f"process {by.pid} of {by.user} on {by.host}{run}, since {since.strip()}")
