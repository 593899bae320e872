"""How much of a checkpoint is kept: every bit, or as much as a bound allows? From a user's words to a policy."""

import math
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from data.schemas.tensor import Tensor
from tasks.codecs.lossless import lossless
from tasks.codecs.treatment import Policy

CHAIN_MAX = 8
"""Archives that may lie one above the other before one stands alone again."""

NETWORKS_PRICED = 100
"""Orders of a tensor's modes that the search for networks prices, where it cannot price them all."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How a checkpoint is packed.

    Args:
        keep: ``exact``, or a bound that :mod:`tasks.codecs.lossy` reads: ``rms:0.01``, ``abs:1e-3``, ``int8``,
            ``int4``; ``rms-all:0.01`` for one step over all tensors, the checkpoint as a whole being within the bound;
            ``network:0.01`` for the smallest of tensor networks and quantisation; or one of
            :data:`tasks.codecs.presets.COMPRESS` with a relative RMS, ``cpu-only:0.05``.
        exact: names of tensors that stay exact under a bound, with ``*`` for any letters.
        effort: ``fast``, or ``small`` for fewer bytes in more time.
        workers: threads that pack and unpack; they do not change a byte.
        chain: archives that may lie one above the other.
        other: a policy that goes before ``keep`` and ``effort``. A write that was killed under it is begun anew, since
            nobody can tell whether it is still the same one.
        verify: whether the archive is read back and compared with its checkpoint before it counts.
    """

    keep: str = "exact"
    exact: tuple[str, ...] = ()
    effort: Literal["fast", "small"] = "fast"
    workers: int = 1
    chain: int = CHAIN_MAX
    verify: bool = True
    other: Policy | None = None

    def __post_init__(self) -> None:
        """Refuse what no archive can be packed with."""
        if self.workers < 1:
            raise ValueError(f"expected at least 1 worker, found {self.workers}")

    def policy(self, tensors: Collection[Tensor]) -> Policy:
        """Return the policy that these options name.

        Args:
            tensors: of the checkpoint; only ``rms-all`` looks at them.

        Raises:
            ValueError: there is no such bound.
        """
        if self.other is not None:
            return self.other
        if self.keep == "exact":
            return lossless(self.effort)
        from tasks.codecs import lossy

        kind, _, bound = self.keep.partition(":")
        if kind == "network":
            from tasks.codecs.network_search.choose import NetworkSearch, proposed
            from tasks.codecs.networks.policy import network_policy

            ratio = _ratio(self.keep, bound)
            plain = lossy.policy(f"rms:{ratio!r}", self.exact, exact=lossless(self.effort))
            search = proposed(NetworkSearch(evaluations=NETWORKS_PRICED, written=1))
            return network_policy(ratio, search=search, plain=plain)
        from tasks.codecs.presets import COMPRESS

        if kind in COMPRESS:
            return COMPRESS[kind].policy(_ratio(self.keep, bound), seed=0)
        if kind == "rms-all":
            ratio = _ratio(self.keep, bound)
            lossy_ones = [
                tensor for tensor in tensors if not any(fnmatchcase(tensor.name, name) for name in self.exact)
            ]
            return lossy.policy(f"abs:{lossy.one_bound(lossy_ones, ratio)!r}", self.exact, exact=lossless(self.effort))
        if kind not in ("rms", "abs", "int8", "int4"):
            presets = ", ".join(f"{name}:RATIO" for name in COMPRESS)
            wanted = f"exact, rms:RATIO, rms-all:RATIO, abs:BOUND, int8, int4, network:RATIO, {presets}"
            raise ValueError(f"keep: expected one of {wanted}; found {self.keep!r}")
        return lossy.policy(self.keep, self.exact, exact=lossless(self.effort))

    @property
    def keeps_all(self) -> bool:
        """Whether not a bit may be lost."""
        return self.keep == "exact" and self.other is None

    def identity(self) -> dict[str, object]:
        """Return what shapes the bytes of an archive, beside its input."""
        if self.other is not None:
            return {"policy": secrets.token_hex(16)}
        return {"keep": self.keep, "exact": list(self.exact), "effort": self.effort}


def _ratio(keep: str, text: str) -> float:
    """Return the relative error that ``keep`` ends with."""
    try:
        ratio = float(text)
    except ValueError:
        ratio = math.nan
    if not 0.0 < ratio < 1.0:
        raise ValueError(f"keep: expected a relative error between 0 and 1 after the colon, found {keep!r}")
    return ratio
