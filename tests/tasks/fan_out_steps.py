"""Which steps do tests of teams hand to other processes? A module that is quick to import there."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path


def die_once(flag: str) -> int:
    """Kill the process that takes this step first, and return the id of the next."""
    if not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def die_elsewhere(home: int) -> int:
    """Kill every process but ``home``."""
    if os.getpid() != home:
        os.kill(os.getpid(), signal.SIGKILL)
    return 7


def says(expired: Callable[[], bool]) -> bool:
    """Return what a guard says."""
    return expired()


def knows(module: str) -> bool:
    """Return whether this process has imported a module."""
    return module in sys.modules
