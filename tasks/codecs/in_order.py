"""How do several threads work ahead, while results are taken in order and never more than a few are held?"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def in_order(pool: Executor, work: Callable[[Given], Made], given: Iterable[Given], ahead: int) -> Iterator[Made]:
    """Yield ``work`` of each of ``given``, in order; at most ``ahead`` of them are under way or waiting to be taken.

    Whoever stops taking, or an error, cancels what has not begun.
    """
    waiting: deque[Future[Made]] = deque()
    try:
        for item in given:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
