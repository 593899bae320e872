"""A program that ends when who started it ends: ``python tethered.py PARENT PROGRAM ARGUMENT...`` (Linux).

A hook that outlived its killed apply could finish its step after the next apply has undone it. Run as a file, without
our package, and replaced by the program at once.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(parent: int, command: list[str]) -> None:
    """Become ``command``; the system kills it when the process ``parent`` is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() == parent:  # else it ended before the system was told
        os.execv(command[0], command)  # noqa: S606 - a list of arguments, and that is the point


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
