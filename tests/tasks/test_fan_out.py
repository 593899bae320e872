"""Whoever takes the steps, the decision is the same to the bit; what a worker loses or forges is computed here."""

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import BadRecord
from data.schemas.cluster import Snapshot
from qiskit_solvers.anneal import Anneal
from qiskit_solvers.exact import Exact
from tasks.fan_out.dask import ALLOWED, Dask, _Answer, trusted
from tasks.fan_out.perform import Asked, asked, differences, fingerprint, perform
from tasks.fan_out.processes import Children, Processes
from tasks.fan_out.same import same
from tasks.fan_out.workers import Cancelled, Done, Errand, Guard, NoTeam, Pending, Step, Unlike
from tasks.problems.placement import Placed, Placement
from tasks.refine import Effort, Refined, refine
from tasks.refine_steps import Searched, Walked
from tests.tasks.fan_out_steps import die_elsewhere, die_once, knows, says

EFFORT = Effort(evaluations=2_000, rounds=3, window=8, patience=3)


def decided(problem: Placement, **more: Any) -> Refined[Placed]:
    return refine(problem, Exact(), np.random.default_rng(5), effort=EFFORT, twins=(Anneal(sweeps=20),), **more)


def alike(one: Refined[Placed], other: Refined[Placed]) -> bool:
    return same(one.decision, other.decision) and (one.costs, one.rows, one.bound, one.fallbacks) == (
        other.costs,
        other.rows,
        other.bound,
        other.fallbacks,
    )


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    with Processes(count=2).team() as team:
        assert isinstance(team, Children)
        yield team


@pytest.fixture
def problem(cluster: Snapshot) -> Placement:
    return Placement.from_snapshot(cluster)


@dataclass
class Backwards:
    """A team that takes its newest step first, each only when an answer is waited for, and may change answers."""

    change: Callable[[Any], Any] = lambda value: value
    waiting: list[tuple[Step[Any], Future[Done]]] = field(default_factory=list)

    def submit(self, step: Step[Any], priority: int) -> Pending:
        future: Future[Done] = Future()
        self.waiting.append((step, future))
        team = self

        class Late:
            def result(self) -> Done:
                while not future.done():
                    newest, answered = team.waiting.pop()
                    sent = deepcopy(asked(newest))  # as to another process: generators there are not ours
                    answered.set_result(Done(team.change(perform(sent).value), 0.0))
                return future.result()

            def cancel(self) -> None:
                future.cancel()

        return Late()


@pytest.mark.slow
def test_answers_in_another_order_give_the_same_decision(problem: Placement) -> None:
    errand = Errand(Backwards())
    assert alike(decided(problem, workers=errand), decided(problem))
    assert not errand.lost
    assert len(errand.laps) == 3


def test_processes_give_the_same_decision(problem: Placement, children: Children) -> None:
    errand = Errand(children)
    assert alike(decided(problem, workers=errand), decided(problem))
    assert not errand.lost
    assert not errand.begin(_step(knows, "prefect"))()  # which would take seconds in each process


def _forged(answer: Any) -> Any:
    if isinstance(answer, Walked):
        return replace(answer, costs=(*answer.costs, answer.costs[-1] - 1.0))
    return answer


def _of_another_start(answer: Any) -> Any:
    if isinstance(answer, Walked):
        return replace(answer, costs=(answer.costs[0] + 1.0, *answer.costs[1:]))
    return answer


def _of_no_decision(answer: Any) -> Any:
    return replace(answer, found=replace(answer.found, decision="x")) if isinstance(answer, Searched) else answer


def _of_a_bound_above_its_cost(answer: Any) -> Any:
    return replace(answer, found=replace(answer.found, bound=1e9)) if isinstance(answer, Searched) else answer


@pytest.mark.parametrize(
    "change",
    [_forged, _of_another_start, _of_no_decision, _of_a_bound_above_its_cost, lambda _: None, lambda _: "nonsense"],
)
def test_an_answer_that_breaks_its_word_is_computed_here(problem: Placement, change: Callable[[Any], Any]) -> None:
    errand = Errand(Backwards(change))
    assert alike(decided(problem, workers=errand), decided(problem))
    assert errand.lost
    assert all("computed in this process" in loss for loss in errand.lost)


def _step(work: Callable[..., Any], *given: Any) -> Step[Any]:
    return Step(work.__name__, work, given, lambda _: True)


def test_a_step_whose_process_is_killed_is_taken_by_another(children: Children, tmp_path: Path) -> None:
    before, errand = children.pids(), Errand(children)
    assert errand.begin(_step(die_once, str(tmp_path / "flag")))() != os.getpid()
    assert not errand.lost
    assert children.pids() != before


def test_a_step_that_kills_every_process_is_taken_here(children: Children) -> None:
    errand = Errand(children)
    assert errand.begin(_step(die_elsewhere, os.getpid()))() == 7
    assert "ChildDied" in errand.lost[0]
    assert errand.begin(_step(math.sqrt, 4.0))() == 2.0


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_refinement_changes_nothing(problem: Placement) -> None:
    with Processes(count=1).team() as team:
        assert isinstance(team, Children)
        errand = Errand(team)

        def kill(phase: str, share: float) -> None:
            if phase.startswith("exact"):
                for pid in team.pids():
                    os.kill(pid, signal.SIGKILL)

        assert alike(decided(problem, workers=errand, progress=kill), decided(problem))


def test_a_fault_of_the_step_itself_comes_up_here(children: Children) -> None:
    with pytest.raises(ValueError, match="math domain"):
        Errand(children).begin(_step(math.sqrt, -1.0))()


def test_what_cannot_be_sent_is_computed_here(children: Children) -> None:
    errand = Errand(children)
    assert errand.begin(Step("a closure", lambda: 3, (), lambda _: True))() == 3
    assert errand.lost


def test_dropped_steps_have_no_answers(children: Children) -> None:
    errand = Errand(children)
    blocked = [errand.begin(_step(time.sleep, 0.05)) for _ in range(4)]
    errand.cancel()
    with pytest.raises(Cancelled):
        blocked[-1]()
    with pytest.raises(Cancelled):
        errand.begin(_step(math.sqrt, 1.0))


def test_urgent_steps_come_before_early_ones() -> None:
    with Processes(count=1).team() as team:
        late, soon = Errand(team, 2), Errand(team, 0)
        first = late.begin(_step(time.sleep, 0.2))
        answers = [late.begin(_step(time.monotonic)), soon.begin(_step(time.monotonic))]
        first()
        early, urgent = (answer() for answer in answers)
        assert urgent < early


def test_children_end_with_their_team() -> None:
    with Processes(count=2).team() as team:
        assert isinstance(team, Children)
        assert Errand(team).begin(_step(math.sqrt, 9.0))() == 3.0
        pids = team.pids()
    assert pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_worker_of_another_version_is_not_believed() -> None:
    other = tuple((name, "0" if name == "numpy" else value) for name, value in fingerprint())
    with pytest.raises(Unlike, match="numpy"):
        perform(Asked(math.sqrt, (4.0,), other))
    assert not differences(fingerprint(), fingerprint())
    assert {"source", "python", "processor", "numpy"} <= dict(fingerprint()).keys()


def test_a_guard_travels_as_what_is_left(children: Children) -> None:
    assert Errand(children).begin(Step("guard", says, (Guard(-1.0).expired,), lambda _: True))() is True
    assert Errand(children).begin(Step("guard", says, (Guard(600.0).expired,), lambda _: True))() is False


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:8786", "tls://localhost:8786", "tcp://[::1]:1", "tls://10.0.0.5:8786"]
)
def test_schedulers_of_this_machine_and_listed_ones_are_trusted(address: str) -> None:
    trusted(address, {ALLOWED: "tls://10.0.0.5:8786, tls://10.0.0.6:8786"})


@pytest.mark.parametrize(
    "address",
    ["tcp://10.0.0.5:8786", "tls://10.0.0.7:8786", "tcp://evil.example:8786", "tcp://127.0.0.1.evil.example:1"],
)
def test_other_schedulers_are_refused(address: str) -> None:
    with pytest.raises(BadRecord, match=ALLOWED):
        trusted(address, {ALLOWED: "tls://10.0.0.5:8786"})


@pytest.mark.parametrize(
    "address", ["", "10.0.0.5:8786", "http://127.0.0.1:80", "tcp://127.0.0.1", "tcp://h:x", "tls://h:1/x"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(BadRecord, match="tls://"):
        trusted(address, {})


def test_sameness_is_to_the_bit() -> None:
    array = np.arange(6.0).reshape(2, 3)
    assert same((array, {"a": 1.0}), (array.copy(), {"a": 1.0}))
    assert same(math.nan, float("nan"))
    assert not same(0.0, -0.0)
    assert not same(array, array.astype(np.float32))
    assert not same(array, np.asfortranarray(array))
    assert not same((1,), [1])
    assert not same(Exact(), Exact(max_spins=3))


def test_where_no_process_can_be_started_steps_are_taken_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.fan_out.processes.sys.executable", "/nowhere/python")
    with Processes(count=2).team() as team:
        errand = Errand(team)
        assert [errand.begin(_step(math.sqrt, each))() for each in (4.0, 9.0)] == [2.0, 3.0]
        assert len(errand.lost) == 2


@pytest.mark.slow
def test_dask_takes_steps_and_outlives_its_workers(problem: Placement, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: make setup")
    with Dask(count=2).team() as team:
        errand = Errand(team)
        assert alike(decided(problem, workers=errand), decided(problem))
        assert errand.begin(_step(die_once, str(tmp_path / "flag")))() != os.getpid()
        assert not errand.lost
        assert errand.begin(_step(die_elsewhere, os.getpid()))() == 7
        assert errand.lost


def test_a_scheduler_that_is_not_there_gives_no_team(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: make setup")
    monkeypatch.setattr("tasks.fan_out.dask.ANSWERS_S", 0.2)
    with pytest.raises(NoTeam, match=r"scheduler at tcp://127\.0\.0\.1:9"), Dask(address="tcp://127.0.0.1:9").team():
        pass


class LateFuture:
    """What Dask hands out for an answer that comes just as a look for it ends."""

    def __init__(self, answer: Done):
        self.status = "pending"
        self.answer = answer

    def result(self, timeout: float) -> Done:
        if self.status == "pending":
            self.status = "finished"
            raise TimeoutError(f"timed out after {timeout} s")
        return self.answer

    def done(self) -> bool:
        return self.status == "finished"


def test_an_answer_that_comes_as_a_look_ends_is_taken():
    answer = Done(1, 0.5)
    assert _Answer(None, LateFuture(answer), 5.0).result() is answer
