"""A good plan passes every check; one that breaks one promise fails by just the check of that promise."""

import hashlib
import math
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data.digest import PLAN, signed, snapshot_digest
from data.schemas.checkpoint import Archive
from data.schemas.cluster import Snapshot
from data.schemas.job import Worker
from data.schemas.plan import (
    Action,
    AssumedPower,
    Bound,
    Compress,
    Metric,
    Migrate,
    MoveReplicas,
    Place,
    Plan,
    Recap,
    SolverRow,
    Start,
)
from tasks.validate import Verdict, validate, validate_plan

Replan = Callable[[Snapshot, tuple[Action, ...]], Plan]
WHOLE = (0, 1, 2, 3)
CHECKS = {
    "format", "signature", "snapshot", "never worse", "state before", "targets", "archives", "in force", "inverse",
    "state after", "experts", "migration budget", "pinned jobs", "nodes", "GPU models", "spare nodes",
    "migration order", "failed ranks", "expert moves", "dependencies", "GPUs per slot", "power cap", "cap range",
    "metrics",
}  # fmt: skip

same_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def failed(verdict: Verdict) -> dict[str, str]:
    """Return the failed checks and what they say."""
    assert verdict.passed == all(check.passed for check in verdict.checks)
    return {check.name: check.detail for check in verdict.checks if not check.passed}


def with_job(snapshot: Snapshot, name: str, **changes: object) -> Snapshot:
    jobs = tuple(replace(job, **changes) if job.id == name else job for job in snapshot.jobs)  # type: ignore[arg-type]
    return replace(snapshot, jobs=jobs)


def test_a_good_plan_passes_every_check(plan: Plan, snapshot: Snapshot, archives: Path) -> None:
    verdict = validate(plan, snapshot, archives)
    assert failed(verdict) == {}
    assert {check.name for check in verdict.checks} == CHECKS


def test_the_task_says_what_the_function_says(plan: Plan, snapshot: Snapshot, archives: Path) -> None:
    assert validate_plan.fn(plan, snapshot, archives) == validate(plan, snapshot, archives)


def test_a_plan_that_changes_nothing_passes(plan: Plan, snapshot: Snapshot) -> None:
    nothing = signed(replace(plan, actions=(), inverse=(), metrics=(), solvers=(), bounds=(), assumed_power=()))
    assert failed(validate(nothing, snapshot, None)) == {}


def test_archives_are_left_out_where_nobody_says_where_they_lie(plan: Plan, snapshot: Snapshot) -> None:
    verdict = validate(plan, snapshot, None)
    assert failed(verdict) == {}
    assert {check.name for check in verdict.checks} == CHECKS - {"archives"}


def test_a_plan_altered_after_signing_fails_by_its_signature(plan: Plan, snapshot: Snapshot, archives: Path) -> None:
    altered = replace(plan, notes=("trust me",))
    assert failed(validate(altered, snapshot, archives)).keys() == {"signature"}


def test_a_stale_plan_fails_by_its_snapshot(plan: Plan, snapshot: Snapshot, archives: Path) -> None:
    stale = signed(replace(plan, snapshot_sha256="1" * 64))
    later = replace(snapshot, taken_at="2026-01-31T13:00:00+00:00")
    assert failed(validate(stale, snapshot, archives)).keys() == {"snapshot"}
    assert "13:00" in failed(validate(plan, later, archives))["snapshot"]


def test_a_value_that_no_plan_file_can_hold_fails_by_the_format(plan: Plan, snapshot: Snapshot) -> None:
    actions = (replace(plan.actions[0], gain=math.nan), *plan.actions[1:])
    verdict = validate(signed(replace(plan, actions=actions)), snapshot, None)
    assert [check.name for check in verdict.checks] == ["format"]
    assert not verdict.passed


def test_a_state_that_contradicts_itself_is_told(replan: Replan, snapshot: Snapshot) -> None:
    state = with_job(snapshot, "old", placement=(Worker("a0", (0, 1)),))
    plan = signed(replace(replan(snapshot, ()), snapshot_sha256=snapshot_digest(state)))
    found = failed(validate(plan, state, None))
    assert found.keys() == {"state before"}
    assert "a0 GPU 0" in found["state before"]


@pytest.mark.parametrize("number", range(19))
@pytest.mark.parametrize(("field", "value"), [("before", None), ("after", None), ("unit", "kW"), ("better", None)])
def test_a_figure_that_is_not_true_fails_by_the_metrics(
    plan: Plan, snapshot: Snapshot, archives: Path, number: int, field: str, value: object
) -> None:
    metric = plan.metrics[number]
    if field in ("before", "after"):
        value = getattr(metric, field) * 1.00001 + 1e-6
    elif field == "better":
        value = "lower" if metric.better == "higher" else "higher"
    metrics = list(plan.metrics)
    metrics[number] = replace(metric, **{field: value})  # type: ignore[arg-type]
    found = failed(validate(signed(replace(plan, metrics=tuple(metrics))), snapshot, archives))
    assert found.keys() == {"metrics"}
    assert metric.name in found["metrics"]


@pytest.mark.parametrize("number", range(19))
def test_a_figure_that_is_left_out_or_told_twice_is_named(
    plan: Plan, snapshot: Snapshot, archives: Path, number: int
) -> None:
    metrics = plan.metrics
    for altered in (metrics[:number] + metrics[number + 1 :], (*metrics, metrics[number])):
        found = failed(validate(signed(replace(plan, metrics=altered)), snapshot, archives))
        assert found.keys() == {"metrics"}
        assert metrics[number].name in found["metrics"]


def test_a_figure_without_a_definition_is_named(plan: Plan, snapshot: Snapshot, archives: Path) -> None:
    metrics = (*plan.metrics, Metric("placement.happiness", "smiles", 1.0, 2.0, "higher"))
    found = failed(validate(signed(replace(plan, metrics=metrics)), snapshot, archives))
    assert found == {
        "metrics": "placement.happiness: expected a metric with a published definition, found an unknown one"
    }


def test_figures_of_a_noun_that_was_not_asked_for_need_not_be_there(replan: Replan, snapshot: Snapshot) -> None:
    full = replan(snapshot, ())
    for family in ("placement.", "power.", "routing."):
        metrics = tuple(metric for metric in full.metrics if not metric.name.startswith((family, "checkpoint.")))
        assert failed(validate(signed(replace(full, metrics=metrics)), snapshot, None)) == {}


@pytest.mark.parametrize(
    ("action", "gpu"),
    [
        (Place("waiting", (), (Worker("d0", (0,)),), "", 0.0), "d0 GPU 0"),  # pinned holds it
        (Place("waiting", (), (Worker("d0", (3,)),), "", 0.0), "d0 GPU 3"),  # unavailable
        (Place("waiting", (), (Worker("d0", (4,)),), "", 0.0), "indexes below 4"),
        (Place("waiting", (), (Worker("x0", (0,)),), "", 0.0), "x0"),
        (Place("waiting", (), (Worker("e0", (0,)),), "", 0.0), "a node with L40"),
        (Place("waiting", (), (Worker("d0", (2,)), Worker("d0", (0,))), "", 0.0), "none or 1 workers"),
    ],
)
def test_gpus_that_cannot_be_held_fail_by_the_state_after(
    plan: Plan, snapshot: Snapshot, actions: tuple[Action, ...], action: Place, gpu: str
) -> None:
    altered = tuple(action if isinstance(each, Place) else each for each in actions)
    found = failed(validate(signed(replace(plan, actions=altered)), snapshot, None))
    assert found.keys() - {"inverse"} == {"state after"}  # the inverse still frees the GPU that was meant
    assert gpu in found["state after"]


def test_an_incomplete_or_wrong_inverse_fails(plan: Plan, snapshot: Snapshot, archives: Path) -> None:
    kept = tuple(action for action in plan.inverse if not isinstance(action, Recap))
    wrong = tuple(replace(action, after=500.0) if isinstance(action, Recap) else action for action in plan.inverse)
    blind = tuple(replace(action, before=500.0) if isinstance(action, Recap) else action for action in plan.inverse)
    for altered, says in ((kept, "red"), (wrong, "500"), (blind, "500")):
        found = failed(validate(signed(replace(plan, inverse=altered)), snapshot, archives))
        assert found.keys() == {"inverse"}
        assert says in found["inverse"]


def test_an_action_whose_before_is_not_in_force_is_named(
    plan: Plan, snapshot: Snapshot, actions: tuple[Action, ...]
) -> None:
    altered = tuple(
        replace(action, before=500.0) if isinstance(action, Recap | Start) else action for action in actions
    )
    found = failed(validate(signed(replace(plan, actions=altered)), snapshot, None))
    assert found.keys() == {"in force"}
    assert found["in force"].count("expected 500.0 to be in force") == 3


A0 = (Worker("a0", (0,)),)


@pytest.mark.parametrize(
    "action",
    [
        Migrate("nobody", A0, A0, 0, "", 0.0),
        Migrate("later", (), A0, 0, "", 0.0),  # holds nothing that could migrate
        Migrate("old", (Worker("c0", (0, 1)),), (), 0, "", 0.0),  # would lose its GPUs
        Migrate("red", A0, A0, 0, "", 0.0),  # twice, and it was not there
        Place("red", (), A0, "", 0.0),
        Place("waiting", (), A0, "", 0.0),  # twice
        Place("later", (), (), "", 0.0),
        Start("blue", None, 0.0, "", 0.0),
        Start("later", 4200.0, 4800.0, "", 0.0),  # twice
        Recap("nobody", None, 500.0, "", 0.0),
        Recap("red", 600.0, 500.0, "", 0.0),  # twice
        MoveReplicas("nobody", 0, (0,), (0,), (1,), "", 0.0),
        MoveReplicas("moe", 2, (0,), (0,), (1,), "", 0.0),
        MoveReplicas("moe", 1, (8,), (0,), (1,), "", 0.0),
        MoveReplicas("moe", 1, (0, 0), (0, 0), (1, 1), "", 0.0),
        MoveReplicas("moe", 1, (0,), (0, 1), (1,), "", 0.0),
        MoveReplicas("moe", 1, (), (), (), "", 0.0),
        MoveReplicas("moe", 0, (0,), (0,), (1,), "", 0.0),  # twice
        Compress("nobody", None, Archive("x", "0" * 64, 1), "", 0.0),
        Compress("red-9", None, None, "", 0.0),
    ],
)
def test_an_action_on_nothing_of_its_own_is_named(
    plan: Plan, snapshot: Snapshot, actions: tuple[Action, ...], action: Action
) -> None:
    found = failed(validate(signed(replace(plan, actions=(*actions, action))), snapshot, None))
    found.pop("never worse", None)  # a deployment that is unknown has no solver table either
    assert found.keys() == {"targets"}
    assert "action 8" in found["targets"]


@pytest.mark.parametrize("assumed", [("nobody",), ("red",), ("pinned", "pinned")])
def test_an_assumed_power_that_does_not_belong_is_named(
    plan: Plan, snapshot: Snapshot, assumed: tuple[str, ...]
) -> None:
    powers = tuple(AssumedPower(job, 250.0, "median") for job in assumed)
    found = failed(validate(signed(replace(plan, assumed_power=powers)), snapshot, None))
    assert found.keys() == {"targets"}
    assert assumed[0] in found["targets"]


def row(problem: str, method: str, cost: float, *, chosen: bool) -> SolverRow:
    return SolverRow(problem, method, cost, 0, 0, 0, chosen)


@pytest.mark.parametrize(
    "rows",
    [
        (row("placement", "incumbent", 10.0, chosen=False), row("placement", "classical", 10.1, chosen=True)),
        (row("placement", "incumbent", 10.0, chosen=False), row("placement", "classical", 5.0, chosen=False)),
        (row("placement", "incumbent", 10.0, chosen=True), row("placement", "classical", 5.0, chosen=True)),
        (row("placement", "classical", 5.0, chosen=True),),
        (row("placement", "incumbent", 5.0, chosen=True), row("placement", "qaoa", 3.0, chosen=False)),  # below bound
        (),
    ],
)
def test_an_account_that_does_not_show_never_worse_fails(
    plan: Plan, snapshot: Snapshot, archives: Path, rows: tuple[SolverRow, ...]
) -> None:
    others = tuple(each for each in plan.solvers if each.problem != "placement")
    found = failed(validate(signed(replace(plan, solvers=(*rows, *others))), snapshot, archives))
    assert found.keys() == {"never worse"}
    assert "placement" in found["never worse"]


@pytest.mark.parametrize(
    "bound",
    [
        Bound("placement", 5.5, 0.0, ""),
        Bound("placement", 4.0, 0.2, ""),
        Bound("placement", 4.0, None, ""),
        Bound("placement", -4.0, 0.25, ""),
        Bound("fleet", 4.0, 0.25, ""),
    ],
)
def test_a_bound_that_cannot_be_fails(plan: Plan, snapshot: Snapshot, archives: Path, bound: Bound) -> None:
    found = failed(validate(signed(replace(plan, bounds=(bound,))), snapshot, archives))
    assert found.keys() == {"never worse"}
    assert bound.problem in found["never worse"]


@pytest.mark.parametrize("position", [0, 1000, 2022])
def test_an_altered_byte_of_an_archive_fails(plan: Plan, snapshot: Snapshot, archives: Path, position: int) -> None:
    file = archives / "checkpoints" / "red-9.qfz"
    octets = bytearray(file.read_bytes())
    octets[position] ^= 1
    file.write_bytes(octets)
    found = failed(validate(plan, snapshot, archives))
    assert found.keys() == {"archives"}
    assert "sha256" in found["archives"]


def test_a_cut_or_missing_archive_fails(plan: Plan, snapshot: Snapshot, archives: Path) -> None:
    file = archives / "checkpoints" / "red-9.qfz"
    file.write_bytes(file.read_bytes()[:-1])
    assert "expected 2080 bytes, found 2079" in failed(validate(plan, snapshot, archives))["archives"]
    file.unlink()
    assert failed(validate(plan, snapshot, archives)).keys() == {"archives"}


def test_an_archive_outside_the_folder_or_of_another_checkpoint_fails(
    plan: Plan, replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...], archives: Path
) -> None:
    compress = actions[-1]
    assert isinstance(compress, Compress)
    assert compress.after is not None
    outside = replace(compress, after=replace(compress.after, path=f"../{archives.name}x.qfz"))
    found = failed(validate(replan(snapshot, (*actions[:-1], outside)), snapshot, archives))
    assert found.keys() == {"archives"}
    assert "inside" in found["archives"]
    other = replace(snapshot, checkpoints=(replace(snapshot.checkpoints[0], sha256="2" * 64),))
    found = failed(validate(replan(other, actions), other, archives))
    assert found.keys() == {"archives"}
    assert "2" * 64 in found["archives"]


def closed(index: bytes, raw_length: int) -> bytes:
    """Return a file that ends as an archive with this packed index does."""
    return index + struct.pack("<QQQ32s16sI8s", 0, len(index), raw_length, b"", b"", 0, b"")


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        (b"", "found 0 bytes"),
        (b"x" * 500, "an index of at most"),
        (closed(b"x" * 50, 50), "an index that can be read"),
        (closed(b"x" * 50, 2**40), "an index of at most"),
        (closed(zstandard.compress(b"[" * 10_000), 10_000), "an index that can be read"),
        (closed(zstandard.compress(b"0" * 2**27), 2**20), "unpacks to too much"),
        (
            closed(zstandard.compress(b'{"source": {"sha256": "", "size_bytes": 1%s}}' % (b"0" * 400)), 500),
            "size_bytes",
        ),
    ],
)
def test_a_file_that_is_no_archive_fails(
    replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...], archives: Path, octets: bytes, says: str
) -> None:
    (archives / "none.qfz").write_bytes(octets)
    archive = Archive("none.qfz", hashlib.sha256(octets).hexdigest(), len(octets))
    plan = replan(snapshot, (*actions[:-1], Compress("red-9", None, archive, "", 0.0)))
    assert says in failed(validate(plan, snapshot, archives))["archives"]


def test_a_folder_in_an_archives_place_fails(plan: Plan, snapshot: Snapshot, archives: Path) -> None:
    file = archives / "checkpoints" / "red-9.qfz"
    file.unlink()
    file.mkdir()
    assert "expected a file" in failed(validate(plan, snapshot, archives))["archives"]


@same_fixture
@given(data=st.data())
def test_whatever_is_done_to_the_actions_the_verdict_is_no(plan: Plan, snapshot: Snapshot, data: st.DataObject) -> None:
    """Dropping, doubling and exchanging actions is told, never raised."""
    order = data.draw(st.lists(st.integers(0, len(plan.actions) - 1), max_size=12))
    if sorted(order) == list(range(len(plan.actions))):
        return
    altered = signed(replace(plan, actions=tuple(plan.actions[index] for index in order)))
    assert not validate(altered, snapshot, None).passed


@same_fixture
@given(position=st.integers(0, 1_000_000), character=st.sampled_from('0123456789abcxyz",:[]{}-'))
def test_no_altered_character_of_a_plan_file_goes_unnoticed(
    plan: Plan, snapshot: Snapshot, position: int, character: str
) -> None:
    text = PLAN.dump_json(plan).decode()
    position %= len(text)
    altered = text[:position] + character + text[position + 1 :]
    try:
        found = PLAN.validate_json(altered)
    except ValidationError:
        return
    assert found == plan or not validate(found, snapshot, None).passed
