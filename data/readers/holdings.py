"""Which GPUs of which node are free while a reader hands out indexes that its source does not tell?"""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Holdings:
    """GPUs known to be held; grows while a source is read.

    Args:
        capacity: GPUs of each node.
        held: indexes held on each node.
    """

    capacity: dict[str, int]
    held: dict[str, set[int]] = field(default_factory=dict)

    def take(self, node: str, gpus: Iterable[int]) -> None:
        """Record that ``gpus`` of ``node`` are held."""
        self.held.setdefault(node, set()).update(gpus)

    def free(self, node: str) -> list[int]:
        """Return the free indexes of ``node``, lowest first; none for an unknown node."""
        held = self.held.get(node, set())
        return [gpu for gpu in range(self.capacity.get(node, 0)) if gpu not in held]

    def take_first(self, node: str, count: int, preferred: frozenset[int] = frozenset()) -> tuple[int, ...] | None:
        """Take the first ``count`` free GPUs, ``preferred`` before others; None where there are too few."""
        free = sorted(self.free(node), key=lambda gpu: (gpu not in preferred, gpu))
        if len(free) < count:
            return None
        chosen = tuple(sorted(free[:count]))
        self.take(node, chosen)
        return chosen
