"""Where would fragmentation gradient descent put a job? On the nodes where the least room becomes useless to others.

Weng et al. 2023 (Beware of Fragmentation, USENIX ATC): free GPUs of a node are fragments for a task that does not fit
there, and each task of the workload counts by its popularity. Here GPUs are whole, the popularity is that of the
workers among all jobs at hand, and the same is measured on NVLink domains with whole jobs, so that gangs count too;
workers of a job are placed one by one, as pods are.
"""

import numpy as np

from tasks.problems.placement_kernel import Floats, Ints
from tasks.yardsticks.placement_books import Books


def steepest(books: Books, job: int, slots: Ints) -> Ints | None:
    """Return the nodes with the least rise in expected fragments, worker by worker; of equal ones the fullest."""
    crew, room = books.crew, books.room
    part = books.workers(job)
    size = int(crew.size[part.start])
    on_node = fragments(crew.size, int(room.capacity.max()))
    gpus = np.bincount(crew.job, crew.size, minlength=crew.job_gang.size).astype(np.int64)
    whole = np.bincount(room.domain, room.capacity).astype(np.int64)
    in_domain = fragments(np.minimum(gpus, whole.max()), int(whole.max()))
    free, left = books.free.copy(), slots.copy()
    together = np.bincount(room.domain, books.free).astype(np.int64)
    chosen = []
    for _ in range(part.start, part.stop):
        able = np.flatnonzero(left > 0)
        if not able.size:
            return None
        inside = together[room.domain[able]]
        rise = on_node[free[able] - size] - on_node[free[able]] + in_domain[inside - size] - in_domain[inside]
        node = able[np.lexsort((free[able], np.round(rise, 9)))[0]]
        chosen.append(node)
        left[node] -= 1
        free[node] -= size
        together[room.domain[node]] -= size
    return np.array(chosen, np.int64)


def fragments(sizes: Ints, largest: int) -> Floats:
    """Return the expected fragments of a place with 0, 1, ... ``largest`` free GPUs, ``(largest + 1,)``."""
    free = np.arange(largest + 1)
    too_large = (sizes[None, :] > free[:, None]).mean(axis=1)
    return np.asarray(free * too_large, np.float64)
