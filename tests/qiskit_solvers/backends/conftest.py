"""What do these tests share? A way to start from no child."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qiskit_solvers import sandbox


@pytest.fixture
def end_children() -> Callable[[], None]:
    """Return what kills every child of the sandbox and waits until it is gone, so that none of them is taken."""

    def end() -> None:
        for pid in sandbox.children():
            os.kill(pid, signal.SIGKILL)
            until_s = time.monotonic() + 5.0
            while not is_gone(pid) and time.monotonic() < until_s:
                time.sleep(0.01)

    return end


def is_gone(pid: int) -> bool:
    """Whether the process has ended, or is a zombie with no other thread left."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state == "Z" and len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
    except (FileNotFoundError, ProcessLookupError):
        return True
