"""What did a plan leave in a Slurm job's administrator's comment? ``name=value`` words that only operators write."""

import hashlib
from collections.abc import Iterable

CAP = "gpu_power_cap_w"
"""Watts of each GPU of the job, for a prolog to set."""

PLACED = "quantumflow_placed"
"""That a plan asked for the nodes in ReqNodeList, and for which ones: the job is not pinned to them by its user."""

STARTS = "quantumflow_start"
"""Unix seconds before which a plan keeps the job from starting: an hour that its user did not choose."""

RESERVATION = "quantumflow_apply"
"""The nodes of a plan while it is carried out."""


def told_in(note: str, name: str) -> str | None:
    """Return what ``note`` says of ``name``; None where it says nothing."""
    return next((word.partition("=")[2] for word in note.split() if word.startswith(f"{name}=")), None)


def nodes_mark(nodes: Iterable[str]) -> str:
    """Return the value of ``PLACED`` for these nodes, in whatever order."""
    return hashlib.sha256(",".join(sorted(nodes)).encode()).hexdigest()[:12]
