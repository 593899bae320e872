"""Can these rounds be sent, and do they send everything? Once more from the definitions.

Nothing is shared with how the rounds were found. In a round whole messages go at once, so each port, NIC, rail or plane
serves one; pieces of several messages of the same pair may follow one another within a round. Planes have ports of
their own, so rounds of different planes share nothing.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal

from data.schemas.transfers import Round, RoundSchedule, Transfer, Transfers
from tasks.validation.verdict import Verdict, judged

CLOSE = 1e-6
"""Relative difference that rounding to nanoseconds and adding up may make."""

NANOSECOND_S = 1e-9


def check_rounds(
    schedule: RoundSchedule,
    transfers: Transfers,
    duplex: Literal["full", "half"],
    *,
    most_rounds: int | None = None,
) -> Verdict:
    """Re-check ``schedule`` against the transfers that it was made for.

    Args:
        schedule: of any origin.
        transfers: what must be sent.
        duplex: whether a port can send and receive at once.
        most_rounds: that there may be, those of all planes; None for any number.
    """
    items = transfers.transfers
    known = all(part.transfer < len(items) for turn in schedule.rounds for part in turn.parts)
    wrong = () if known else ("a part names a transfer that is not in the file",)
    checks = [
        judged("every part is of a transfer", wrong, f"{len(items)} transfers"),
        judged(
            "there are as many rounds and planes", _too_many(schedule, most_rounds), f"{len(schedule.rounds)} rounds"
        ),
        judged("the bound is no promise beyond the rounds", _bound(schedule), f"{schedule.bound_s:g} s at least"),
    ]
    if known:
        clashes = sum(_clashes(turn, items, duplex, schedule.cut) for turn in schedule.rounds)
        ends: dict[int, float] = defaultdict(float)
        for turn in schedule.rounds:
            ends[turn.plane] += turn.seconds
        makespan = max(ends.values(), default=0.0)
        told = (schedule.makespan_s, schedule.conflicts)
        checks += [
            judged("everything is sent", _unsent(schedule, items), f"{len(items)} transfers"),
            judged("every part fits into its round", _too_long(schedule, items), f"{len(schedule.rounds)} rounds"),
            judged(
                "conflicts are as told",
                () if clashes == told[1] else (f"told {told[1]} pairs, found {clashes}",),
                f"{clashes} pairs share something in a round",
            ),
            judged(
                "the makespan is as told",
                () if math.isclose(makespan, told[0], rel_tol=CLOSE) else (f"told {told[0]} s, found {makespan} s",),
                f"{makespan:g} s",
            ),
            judged(
                "never worse",
                ()
                if schedule.makespan_s + schedule.congestion_s <= schedule.before_s * (1 + CLOSE) + _rounding(schedule)
                else (f"{schedule.makespan_s + schedule.congestion_s} s, and {schedule.before_s} s before",),
                f"{schedule.before_s:g} s before",
            ),
        ]
    return Verdict(all(check.passed for check in checks), tuple(checks))


def _rounding(schedule: RoundSchedule) -> float:
    """Return what rounding each part up to a nanosecond may add."""
    return NANOSECOND_S * sum(len(turn.parts) for turn in schedule.rounds)


def _too_many(schedule: RoundSchedule, most_rounds: int | None) -> Iterator[str]:
    if most_rounds is not None and len(schedule.rounds) > most_rounds:
        yield f"expected at most {most_rounds} rounds, found {len(schedule.rounds)}"
    for number, turn in enumerate(schedule.rounds):
        if turn.plane >= schedule.planes:
            yield f"round {number}: expected a plane below {schedule.planes}, found {turn.plane}"


def _bound(schedule: RoundSchedule) -> Iterator[str]:
    reached = schedule.makespan_s + schedule.congestion_s
    if schedule.bound_s > reached * (1 + CLOSE):
        yield f"told that {schedule.bound_s} s are needed, found {reached} s"
    if schedule.optimal and schedule.bound_s < reached * (1 - CLOSE):
        yield f"told that {reached} s are optimal, with a bound of {schedule.bound_s} s"


def _unsent(schedule: RoundSchedule, items: Sequence[Transfer]) -> Iterator[str]:
    sent: dict[int, float] = defaultdict(float)
    for turn in schedule.rounds:
        for part in turn.parts:
            sent[part.transfer] += part.gigabytes
            transfer = items[part.transfer]
            if (part.source, part.target) != (transfer.source, transfer.target):
                yield f"transfer {part.transfer} goes from {part.source} to {part.target}, not as in the file"
    for index, transfer in enumerate(items):
        if not math.isclose(sent[index], transfer.gigabytes, rel_tol=CLOSE):
            yield f"transfer {index}: expected {transfer.gigabytes} GB, sent {sent[index]}"


def _too_long(schedule: RoundSchedule, items: Sequence[Transfer]) -> Iterator[str]:
    for number, turn in enumerate(schedule.rounds):
        for part in turn.parts:
            needed = part.gigabytes / items[part.transfer].bandwidth_gb_per_s
            if part.seconds < needed * (1 - CLOSE) - NANOSECOND_S:
                yield f"round {number}: transfer {part.transfer} needs {needed} s, has {part.seconds}"
            if part.seconds > turn.seconds * (1 + CLOSE):
                yield f"round {number}: transfer {part.transfer} takes {part.seconds} s of {turn.seconds}"


def _clashes(turn: Round, items: Sequence[Transfer], duplex: Literal["full", "half"], cut: bool) -> int:
    """Return the pairs of parts that hold something in common at once."""
    holders: dict[str, list[int]] = defaultdict(list)
    pairs: set[tuple[int, int]] = set()
    pair_s: dict[tuple[str, str], float] = defaultdict(float)
    for place, part in enumerate(turn.parts):
        transfer = items[part.transfer]
        pair_s[transfer.source, transfer.target] += part.seconds
        receives = "in" if duplex == "full" else "out"
        ends = {f"out {transfer.source}", f"{receives} {transfer.target}"}
        for thing in ends | {f"uses {name}" for name in transfer.uses}:
            pairs |= {(other, place) for other in holders[thing]}
            holders[thing].append(place)

    def in_turn(one: int, other: int) -> bool:
        ends = [(turn.parts[place].source, turn.parts[place].target) for place in (one, other)]
        return cut and ends[0] == ends[1] and pair_s[ends[0]] <= turn.seconds * (1 + CLOSE)

    return sum(not in_turn(one, other) for one, other in pairs)
