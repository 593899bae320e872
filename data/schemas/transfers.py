"""Which messages must cross a fabric, and in which rounds are they sent?"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, with_config

from data.schemas.plan import Fallback, SolverRow
from data.schemas.units import RECORD, Count, Id, Seconds

MessageGigabytes = Annotated[float, Field(gt=0.0, le=1e9, description="gigabytes (1e9 bytes) of one message")]
LinkGigabytesPerSecond = Annotated[float, Field(gt=0.0, le=1e6, description="gigabytes per second, more than none")]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Transfer:
    """One message from a sender to a receiver.

    Args:
        source: GPU, NIC or switch that sends.
        target: the one that receives.
        gigabytes: size.
        bandwidth_gb_per_s: of the link that it takes, alone on it.
        uses: what it holds besides its sender and its receiver, e.g. a NIC, a rail, a plane or an uplink.
        given_round: in which round it is sent now; None where nothing is in force.
    """

    source: Id
    target: Id
    gigabytes: MessageGigabytes
    bandwidth_gb_per_s: LinkGigabytesPerSecond
    uses: tuple[Id, ...] = ()
    given_round: Count | None = None

    @property
    def seconds(self) -> float:
        """How long it takes alone on its link."""
        return self.gigabytes / self.bandwidth_gb_per_s


TRANSFER = TypeAdapter(Transfer)


@dataclass(frozen=True, slots=True)
class Transfers:
    """What one file asks for.

    Args:
        source: the file.
        transfers: in the file's order; two may join the same ends.
        rounds: most rounds that there are, those of all planes; None where the file does not limit them.
        notes: what was assumed, in plain words.

    Raises:
        ValueError: there is no transfer, or the limit is not positive.
    """

    source: str
    transfers: tuple[Transfer, ...]
    rounds: int | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.transfers:
            raise ValueError(f"{self.source}: expected at least one transfer, got none")
        if self.rounds is not None and self.rounds < 1:
            raise ValueError(f"{self.source}: rounds: expected at least 1, got {self.rounds}")


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Part:
    """What of one transfer is sent in one round: all of it, or a piece where messages may be cut.

    Args:
        transfer: index in the file.
        gigabytes: sent in this round.
        seconds: that it takes, at most the round's.
    """

    transfer: Count
    source: Id
    target: Id
    gigabytes: MessageGigabytes
    seconds: Seconds


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Round:
    """Parts that are sent at once; the next round of the same plane begins when ``seconds`` have passed."""

    seconds: Seconds
    parts: tuple[Part, ...]
    plane: Count = 0


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class RoundSchedule:
    """The rounds, one after another, and how good they are.

    Args:
        source: the file of the transfers.
        method: how the rounds were found.
        makespan_s: sum of the rounds, of the plane where that is longest.
        bound_s: no schedule is shorter; of the model that ``method`` names.
        optimal: whether the makespan is proven to be the least.
        conflicts: pairs of parts that share a port, rail or plane in one round; they slow one another.
        congestion_s: what the conflicts are taken to cost on top of ``makespan_s``.
        cut: whether messages may be cut; parts of the same pair then follow one another within a round.
        before_s: makespan and congestion of what was in force, or of first fit in the file's order.
        rounds: those of plane 0 in order, then those of plane 1, and so on.
        solvers: what each method reached, where methods were compared.
        fallbacks: solvers that failed, and what stood in.
        notes: what was assumed.
        planes: equal copies of the fabric, each with a port for every GPU, which work through rounds side by side.
    """

    source: str
    method: str
    makespan_s: Seconds
    bound_s: Seconds
    optimal: bool
    conflicts: Count
    congestion_s: Seconds
    cut: bool
    before_s: Seconds
    rounds: tuple[Round, ...]
    solvers: tuple[SolverRow, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    notes: tuple[str, ...] = ()
    planes: Annotated[int, Field(ge=1)] = 1
    format: Literal["quantumflow-rounds-1"] = "quantumflow-rounds-1"


ROUND_SCHEDULE = TypeAdapter(RoundSchedule)
