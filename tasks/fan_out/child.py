"""What does a process that takes steps for another one run? ``python -m tasks.fan_out.child DESCRIPTOR PARENT``.

It reads steps from a socket that only its parent holds, answers them one after the other, and ends with its parent.
"""

import ctypes
import os
import signal
import sys
from multiprocessing.connection import Connection

from tasks.fan_out.perform import Asked, perform

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def serve(connection: "Connection[object, object]") -> None:
    """Answer steps until the connection closes; what goes wrong with one is told to the parent, which decides."""
    while True:
        answer: object
        try:
            asked = connection.recv()
            if not isinstance(asked, Asked):
                raise TypeError(f"expected a step, got {type(asked).__name__}")
            answer = perform(asked)
        except EOFError:
            return
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        try:
            connection.send(answer)
        except (AttributeError, TypeError, ValueError) as error:
            connection.send(f"the answer cannot be sent: {error}")


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when ``parent`` dies: native code hears nothing else."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the request was in place
            os._exit(1)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the parent, whose end we see
    die_with_parent(int(sys.argv[2]))
    with Connection(int(sys.argv[1])) as _connection:
        serve(_connection)
