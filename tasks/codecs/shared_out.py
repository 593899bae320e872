"""How do several threads share out jobs, each of which puts its own result where it belongs?"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Job = TypeVar("Job")


def share_out(work: Callable[[Job], None], jobs: Iterable[Job], workers: int) -> None:
    """Do ``work`` on every job, ``workers`` threads at a time, the caller's among them.

    Each thread takes the next job when it is done with one, and nothing waits for an order. After an error no job is
    begun; of several errors the one of the earliest job is raised, as if there were one thread.
    """
    if workers == 1:
        for job in jobs:
            work(job)
        return
    waiting = enumerate(jobs)
    taking = threading.Lock()
    failed: list[tuple[int, BaseException]] = []

    def go_on() -> None:
        number = -1
        try:
            while True:
                with taking:
                    number, job = (number, None) if failed else next(waiting, (number, None))
                if job is None:
                    return
                work(job)
        except BaseException as error:  # raised below, by the thread that waits for all
            failed.append((number, error))

    with ThreadPoolExecutor(workers - 1) as pool:
        for _ in range(workers - 1):
            pool.submit(go_on)
        go_on()
    if failed:
        raise min(failed, key=lambda failure: failure[0])[1]
