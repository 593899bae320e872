"""What did a reader find? The snapshot, the records that it set aside, and what it had to assume."""

from dataclasses import dataclass

from data.errors import BadRecord
from data.schemas.cluster import Snapshot


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A snapshot, and what was lost or guessed on the way to it.

    Args:
        snapshot: free of contradictions (:func:`data.crosscheck.cross_check` finds nothing).
        set_aside: records that were not used, each with path, expected and found.
        notes: assumptions in plain words, e.g. ``no GRES in sinfo: 4 GPUs per node taken from the feature gb200``.
    """

    snapshot: Snapshot
    set_aside: tuple[BadRecord, ...] = ()
    notes: tuple[str, ...] = ()
