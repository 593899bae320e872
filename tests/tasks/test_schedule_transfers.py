"""Do the rounds send everything, are they as short as proven, and does the validator see what is wrong?"""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.schemas.transfers import ROUND_SCHEDULE, RoundSchedule, Transfer, Transfers
from qiskit_solvers.anneal import Anneal
from qiskit_solvers.qaoa import Qaoa
from tasks.communication.conflict_graph import Duplex
from tasks.refine import Effort
from tasks.schedule_transfers import Sending, schedule_transfers
from tasks.validation.transfer_rounds import check_rounds

QUICK = Effort(evaluations=5_000, rounds=4, window=6, patience=3)


def all_to_all(ports: int, rng: np.random.Generator, *, equal: bool = False) -> Transfers:
    sizes = np.ones(ports * ports) if equal else rng.lognormal(0.0, 1.0, ports * ports)
    pairs = permutations(range(ports), 2)
    return Transfers("a2a", tuple(Transfer(f"g{a}", f"g{b}", float(sizes[a * ports + b]), 50.0) for a, b in pairs))


def busiest_s(transfers: Transfers) -> float:
    """Return how long the busiest port sends or receives."""
    ports: dict[str, float] = {}
    for transfer in transfers.transfers:
        for port in (f"out {transfer.source}", f"in {transfer.target}"):
            ports[port] = ports.get(port, 0.0) + transfer.seconds
    return max(ports.values())


@pytest.mark.parametrize("equal", [True, False])
def test_a_crossbar_needs_what_its_busiest_port_needs(equal: bool, rng: np.random.Generator) -> None:
    transfers = all_to_all(8, rng, equal=equal)
    schedule = schedule_transfers(transfers, Anneal(), rng, effort=QUICK)
    assert schedule.optimal
    assert "no quantum step" in schedule.method
    assert schedule.makespan_s == pytest.approx(busiest_s(transfers), abs=1e-6)
    assert len(schedule.rounds) == 7 if equal else len(schedule.rounds) < 8 * 8


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(4, 7), st.floats(0.01, 9.0)), min_size=1, max_size=12))
def test_messages_of_the_same_pair_are_all_sent(rows: list[tuple[int, int, float]]) -> None:
    transfers = Transfers("x", tuple(Transfer(f"g{a}", f"g{b}", size, 3.0) for a, b, size in rows))
    schedule = schedule_transfers(transfers, Anneal(), np.random.default_rng(0), effort=QUICK)
    assert check_rounds(schedule, transfers, "full").passed
    assert schedule.makespan_s == pytest.approx(busiest_s(transfers), abs=1e-6)


@pytest.mark.parametrize("duplex", ["full", "half"])
def test_shared_rails_are_coloured_and_never_worse(duplex: Duplex, rng: np.random.Generator) -> None:
    railed = replace(
        all_to_all(6, rng),
        transfers=tuple(
            replace(transfer, uses=(f"rail{k % 4}",)) for k, transfer in enumerate(all_to_all(6, rng).transfers)
        ),
    )
    schedule = schedule_transfers(
        railed, Qaoa(on="simulator"), rng, effort=QUICK, twins=(Anneal(),), sending=Sending(duplex=duplex)
    )
    assert schedule.conflicts == 0
    assert schedule.bound_s <= schedule.makespan_s <= schedule.before_s
    assert {row.method for row in schedule.solvers} >= {"incumbent", "classical search", "qaoa on windows"}


def test_too_few_planes_leave_conflicts_that_are_told(rng: np.random.Generator) -> None:
    schedule = schedule_transfers(
        all_to_all(5, rng, equal=True), Anneal(), rng, effort=QUICK, sending=Sending(rounds=2)
    )
    assert schedule.conflicts > 0
    assert len(schedule.rounds) <= 2


def test_rounds_are_the_same_bytes_again_and_survive_json(rng: np.random.Generator) -> None:
    transfers = all_to_all(5, rng)
    once, again = (
        ROUND_SCHEDULE.dump_json(
            schedule_transfers(
                transfers, Anneal(), np.random.default_rng(1), effort=QUICK, sending=Sending(method="colouring")
            )
        )
        for _ in range(2)
    )
    assert once == again
    assert ROUND_SCHEDULE.dump_json(ROUND_SCHEDULE.validate_json(once)) == once


def test_a_crossbar_is_refused_where_it_does_not_apply(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="crossbar"):
        schedule_transfers(
            all_to_all(3, rng), Anneal(), rng, effort=QUICK, sending=Sending(method="crossbar", duplex="half")
        )


def spoilt(schedule: RoundSchedule) -> dict[str, RoundSchedule]:
    """Return schedules that are wrong, each in one way, by the check that should tell."""
    first, *rest = schedule.rounds
    part = first.parts[0]
    return {
        "every part is of a transfer": replace(
            schedule, rounds=(replace(first, parts=(replace(part, transfer=999), *first.parts[1:])), *rest)
        ),
        "everything is sent": replace(schedule, rounds=(replace(first, parts=first.parts[1:]), *rest)),
        "every part fits into its round": replace(
            schedule, rounds=(replace(first, parts=(replace(part, seconds=part.seconds / 2), *first.parts[1:])), *rest)
        ),
        "conflicts are as told": replace(
            schedule, rounds=(replace(first, parts=(*first.parts, *rest[0].parts)), *rest[1:])
        ),
        "the makespan is as told": replace(schedule, makespan_s=schedule.makespan_s / 2),
        "never worse": replace(schedule, before_s=schedule.makespan_s / 2),
        "there are as many rounds and planes": replace(schedule, rounds=(replace(first, plane=1), *rest)),
        "the bound is no promise beyond the rounds": replace(schedule, bound_s=schedule.makespan_s / 2),
    }


def test_the_validator_tells_what_is_wrong(rng: np.random.Generator) -> None:
    transfers = all_to_all(4, rng, equal=True)
    schedule = schedule_transfers(transfers, Anneal(), rng, effort=QUICK)
    assert check_rounds(schedule, transfers, "full").passed
    for name, wrong in spoilt(schedule).items():
        failed = {check.name for check in check_rounds(wrong, transfers, "full").checks if not check.passed}
        assert name in failed


@pytest.mark.parametrize(("planes", "rounds_s"), [(1, 7), (2, 4), (3, 3), (7, 1), (9, 1)])
def test_whole_messages_take_their_share_of_planes(planes: int, rounds_s: int, rng: np.random.Generator) -> None:
    transfers = all_to_all(8, rng, equal=True)
    sending = Sending(planes=planes, cut=False)
    schedule = schedule_transfers(transfers, Anneal(), rng, effort=QUICK, sending=sending)
    assert schedule.optimal
    assert schedule.makespan_s == pytest.approx(rounds_s / 50.0)


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("planes", [2, 3, 5])
def test_cut_messages_end_on_all_planes_together(planes: int, equal: bool, rng: np.random.Generator) -> None:
    transfers = all_to_all(8, rng, equal=equal)
    schedule = schedule_transfers(transfers, Anneal(), rng, effort=QUICK, sending=Sending(planes=planes))
    assert schedule.makespan_s == pytest.approx(busiest_s(transfers) / planes, abs=1e-6)
    assert {turn.plane for turn in schedule.rounds} == set(range(planes))


@pytest.mark.parametrize("planes", [2, 3])
def test_coloured_rounds_on_planes_are_never_worse_and_above_their_bound(planes: int, rng: np.random.Generator) -> None:
    transfers = all_to_all(6, rng)
    transfers = replace(transfers, transfers=tuple(replace(t, uses=(f"rail{t.source}",)) for t in transfers.transfers))
    schedule = schedule_transfers(transfers, Anneal(), rng, effort=QUICK, sending=Sending(planes=planes))
    assert schedule.bound_s <= schedule.makespan_s <= schedule.before_s
    assert {turn.plane for turn in schedule.rounds} == set(range(planes))


@pytest.mark.parametrize(("rounds", "method"), [(7, "crossbar"), (9, "crossbar"), (6, "colouring")])
def test_a_limit_of_rounds_leaves_the_exact_method_where_they_are_enough(
    rounds: int, method: str, rng: np.random.Generator
) -> None:
    transfers = all_to_all(8, rng, equal=True)
    schedule = schedule_transfers(transfers, Anneal(), rng, effort=QUICK, sending=Sending(rounds=rounds))
    assert schedule.method.startswith(method)
    assert len(schedule.rounds) <= rounds


def test_numbers_of_given_rounds_need_not_be_dense(rng: np.random.Generator) -> None:
    items = tuple(replace(t, given_round=10**9 * k) for k, t in enumerate(all_to_all(3, rng).transfers))
    sending = Sending(method="colouring")
    schedule = schedule_transfers(Transfers("x", items), Anneal(), rng, effort=QUICK, sending=sending)
    assert schedule.makespan_s < schedule.before_s == pytest.approx(sum(t.seconds for t in items))
