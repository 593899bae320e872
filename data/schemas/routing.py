"""Where do the experts of a mixture-of-experts model live, and how busy are they?"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, with_config

from data.schemas.units import RECORD, Fraction, Gigabytes, Id

Tokens = Annotated[float, Field(ge=0.0, le=1e15)]
Index = Annotated[int, Field(ge=0, le=1_000_000)]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Transition:
    """Tokens that went from expert ``source`` of ``layer`` to expert ``target`` of the next MoE layer."""

    layer: Index
    source: Index
    target: Index
    tokens: Tokens


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class ExpertDeployment:
    """One served or trained MoE model: rank ``r`` holds slots ``r * slots_per_rank ...`` of every layer.

    Args:
        job: the job on whose GPUs it runs; rank ``r`` is the job's ``r``-th GPU in worker order.
        ranks: GPUs of the expert-parallel group.
        loads: routed tokens per window, oldest first, ``(windows, layers, experts)``.
        placement: expert in each physical slot, ``(layers, ranks * slots_per_rank)``; more than one
            slot may hold the same expert (replicas), and every expert has at least one.
        transitions: token flow between adjacent layers; empty where it was not recorded.
        shares: share of its expert's tokens that each slot takes, ``(layers, slots)``; empty where they are split
            evenly over the replicas.
        rank_speed: of each rank relative to a healthy one, ``(ranks,)``: 0 has failed; empty means all 1.
        expert_groups: experts are numbered group by group, in so many groups that should each stay in one NVLink
            domain (device-limited routing); 1 means no groups.
        dense_layers: layers of the model before the first of these; they have no experts, and engines count them.
        expert_gb: size of one expert's weights, what a move costs.
        window_s: length of one load window.
    """

    id: Id
    job: Id
    ranks: Annotated[int, Field(ge=1, le=100_000)]
    slots_per_rank: Annotated[int, Field(ge=1, le=10_000)]
    loads: Annotated[tuple[tuple[tuple[Tokens, ...], ...], ...], Field(min_length=1)]
    placement: Annotated[tuple[tuple[Index, ...], ...], Field(min_length=1)]
    transitions: tuple[Transition, ...] = ()
    shares: tuple[tuple[Fraction, ...], ...] = ()
    rank_speed: tuple[Annotated[float, Field(ge=0.0, le=10.0)], ...] = ()
    expert_groups: Annotated[int, Field(ge=1, le=10_000)] = 1
    dense_layers: Index = 0
    expert_gb: Gigabytes = 0.0
    window_s: Annotated[float, Field(gt=0.0, le=1e7)] = 600.0

    @property
    def layers(self) -> int:
        """MoE layers."""
        return len(self.placement)

    @property
    def experts(self) -> int:
        """Logical experts per layer; 0 where the loads hold no layer, which the cross-check reports."""
        return len(self.loads[0][0]) if self.loads[0] else 0

    @property
    def slots(self) -> int:
        """Physical slots per layer."""
        return self.ranks * self.slots_per_rank
