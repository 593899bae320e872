"""The loop of an apply: every action once, in order; on the first failure everything back; after kill -9 as well."""

from contextlib import contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import ApplyFailed, SourceUnavailable
from data.schemas.apply import Begun, Done, Ended, Failed, Resumed
from data.schemas.plan import Recap
from data.transition import apply_actions
from tasks.apply.dry_run import DryRun
from tasks.apply.journal import new_journal, read_journal
from tasks.apply.loop import Patient, go_on
from tasks.apply.progress import numbered_steps, progress_of
from tasks.apply.targets import targets
from tests.tasks.apply.world import (
    BY,
    FileCluster,
    begin,
    clock,
    die,
    drawn,
    killed,
    opened,
    resume,
    sample,
)

SAMPLES = {name: sample(name) for name in ("small", "over-cap")}
PLANS = st.tuples(st.sampled_from(sorted(SAMPLES)), st.integers(0, 2**32 - 1), st.integers(1, 9))


@pytest.fixture
def snapshot():
    return SAMPLES["small"]


@pytest.fixture
def actions(snapshot):
    return drawn(snapshot, np.random.default_rng(3), 8)


@pytest.fixture
def world(tmp_path, snapshot):
    cluster = FileCluster(tmp_path)
    cluster.state = snapshot
    return cluster


def plan_of(drawn_from):
    name, seed, count = drawn_from
    return SAMPLES[name], drawn(SAMPLES[name], np.random.default_rng(seed), count)


def fresh(tmp_path_factory, snapshot):
    folder = tmp_path_factory.mktemp("world")
    world = FileCluster(folder)
    world.state = snapshot
    return world, folder / "journal.jsonl"


def fail_at(count):
    def fault(changes, action):
        if changes == count and action.reason != "undo":
            raise ApplyFailed(f"{action.kind} was refused")

    return fault


def die_at(count):
    def fault(changes, _):
        if changes == count:
            die()

    return fault


@given(PLANS)
@settings(max_examples=15)
def test_a_plan_is_carried_out_as_the_transition_says(tmp_path_factory, plan):
    snapshot, actions = plan_of(plan)
    world, path = fresh(tmp_path_factory, snapshot)
    applied = begin(path, opened(snapshot, actions), world)
    assert applied.outcome == "applied"
    assert world.state == apply_actions(snapshot, actions)
    assert len(world.changes) == applied.done == len(actions)


@given(PLANS, st.integers(0, 8))
@settings(max_examples=15)
def test_a_failure_at_any_change_leaves_the_state_that_was_before(tmp_path_factory, plan, at):
    snapshot, actions = plan_of(plan)
    world, path = fresh(tmp_path_factory, snapshot)
    world.fault = fail_at(at % len(actions))
    applied = begin(path, opened(snapshot, actions), world)
    assert applied.outcome == "rolled-back"
    assert "was refused" in applied.why
    assert world.state == snapshot


@given(PLANS, st.integers(0, 8), st.booleans())
@settings(max_examples=15)
def test_after_kill_9_at_any_change_resuming_ends_it_and_nothing_is_done_twice(tmp_path_factory, plan, at, back):
    snapshot, actions = plan_of(plan)
    world, path = fresh(tmp_path_factory, snapshot)
    world.fault = die_at(at % len(actions))
    assert killed(lambda: begin(path, opened(snapshot, actions), world))
    forth = world.changes
    applied = resume(path, FileCluster(world.folder), "back" if back else "on")
    if back:
        assert (applied.outcome, world.state) == ("rolled-back", snapshot)
        assert len(world.changes) == 2 * len(forth)
    else:
        assert (applied.outcome, world.state) == ("applied", apply_actions(snapshot, actions))
        assert len(world.changes) == len(actions)


@pytest.mark.parametrize("failing", [False, True], ids=["applied", "rolled back"])
def test_after_kill_9_at_any_line_of_the_journal_resuming_ends_it(tmp_path_factory, snapshot, actions, failing):
    few = actions[:4]

    def fault(changes, action):
        if failing and changes == len(few) - 1 and action.reason != "undo":
            raise ApplyFailed(f"{action.kind} was refused")

    def cut_off_after(line):
        """Apply in a world of its own; kill it once ``line`` lines of its journal are on disk."""
        world, path = fresh(tmp_path_factory, snapshot)
        world.fault = fault
        seen = []

        def listen(entry):
            seen.append(entry)
            if len(seen) == line:
                die()

        return world, path, killed(lambda: begin(path, opened(snapshot, few), world, listen))

    line = 1
    while True:
        world, path, dead = cut_off_after(line)
        if not dead:
            break
        assert len(read_journal(path).lines) == line
        applied = resume(path, world)
        assert applied.outcome == ("rolled-back" if failing else "applied")
        assert world.state == (snapshot if failing else apply_actions(snapshot, few))
        assert len(world.changes) == (2 * (len(few) - 1) if failing else len(few))
        line += 1
    assert line > 2 * len(few)


def test_what_is_resumed_may_be_killed_again_and_again(world, snapshot, actions, tmp_path):
    path = tmp_path / "journal.jsonl"
    for at in range(len(actions)):
        world.fault = die_at(at)
        start = (
            (lambda: resume(path, world)) if path.exists() else (lambda: begin(path, opened(snapshot, actions), world))
        )
        assert killed(start)
    world.fault = lambda *_: None
    assert resume(path, world).outcome == "applied"
    assert world.state == apply_actions(snapshot, actions)
    assert len(world.changes) == len(actions)


def test_what_was_applied_can_be_rolled_back_by_its_journal_alone(world, snapshot, actions, tmp_path):
    path = tmp_path / "journal.jsonl"
    begin(path, opened(snapshot, actions), world)
    assert resume(path, world, "back").outcome == "rolled-back"
    assert world.state == snapshot


def test_resuming_what_has_ended_changes_nothing(world, snapshot, actions, tmp_path):
    path = tmp_path / "journal.jsonl"
    begin(path, opened(snapshot, actions), world)
    assert resume(path, world).outcome == "applied"
    assert len(world.changes) == len(actions)


def test_a_job_that_is_gone_is_skipped_and_said(world, snapshot, actions, tmp_path):
    gone = next(action.job for action in actions if action.kind in ("migrate", "place", "recap", "start"))
    world.state = replace(snapshot, jobs=tuple(job for job in snapshot.jobs if job.id != gone))
    mine = [action for action in actions if getattr(action, "job", "") == gone]
    applied = begin(tmp_path / "journal.jsonl", opened(snapshot, actions), world)
    assert applied.outcome == "applied"
    assert [actions[left.action] for left in applied.skipped] == mine
    assert all(left.gone for left in applied.skipped)


def test_what_somebody_else_changed_turns_the_apply_back_and_stays(world, snapshot, actions, tmp_path):
    job = next(job for job in snapshot.jobs if ("cap", job.id) not in {each for a in actions for each in targets(a)})
    mine, theirs = Recap(job.id, None, 300.0, "mine", 0.0), Recap(job.id, None, 400.0, "theirs", 0.0)

    def fault(changes, action):
        if changes == 3 and action.reason != "undo":
            world.state = apply_actions(world.state, (theirs,))

    world.fault = fault
    applied = begin(tmp_path / "journal.jsonl", opened(snapshot, (*actions, mine)), world)
    assert applied.outcome == "rolled-back"
    assert "somebody else" in applied.why
    assert job.id in applied.why
    assert world.state == apply_actions(snapshot, (theirs,))


def test_rolling_back_leaves_what_somebody_else_changed_since(world, snapshot, actions, tmp_path):
    path = tmp_path / "journal.jsonl"
    begin(path, opened(snapshot, actions), world)
    changed = actions[-1]
    world.state = apply_actions(world.state, (replace(changed, before=changed.after, after=changed.before),))
    other = next(
        action for action in drawn(world.state, np.random.default_rng(5), 9) if targets(action) == targets(changed)
    )
    world.state = apply_actions(world.state, (other,))
    applied = resume(path, world, "back")
    assert applied.outcome == "partly-rolled-back"
    assert [left.action for left in applied.left] == [len(actions) - 1]
    assert "not as this apply left it" in applied.left[0].why
    assert world.state == apply_actions(snapshot, (replace(other, before=changed.before),))


def test_what_cannot_be_undone_is_left_and_told_and_tried_again_when_asked(world, snapshot, actions, tmp_path):
    path = tmp_path / "journal.jsonl"
    begin(path, opened(snapshot, actions), world)
    forth = len(world.changes)

    def stuck(changes, _):
        if changes == forth + 1:
            raise ApplyFailed("the node is on fire")

    world.fault = stuck
    applied = resume(path, world, "back")
    assert applied.outcome == "partly-rolled-back"
    assert "on fire" in applied.left[0].why
    world.fault = lambda *_: None
    again = resume(path, world, "back")
    assert again.outcome == "rolled-back"
    assert world.state == snapshot


def test_one_cap_that_cannot_be_undone_does_not_keep_the_others(world, snapshot, tmp_path):
    caps = tuple(Recap(job.id, job.gpu_power_cap_w, 300.0, "r", 1.0) for job in snapshot.jobs[:3])
    assert len(numbered_steps(caps)) == 1
    path = tmp_path / "journal.jsonl"
    begin(path, opened(snapshot, caps), world)

    def lost(_, action):
        if action.job == caps[-1].job:
            raise ApplyFailed("the GPU is lost")

    world.fault = lost
    applied = resume(path, world, "back")
    assert [(left.action, "the GPU is lost" in left.why) for left in applied.left] == [(2, True)]
    assert world.state == apply_actions(snapshot, caps[-1:])


def test_a_cluster_that_cannot_be_looked_at_is_left_as_it_is_and_told(world, snapshot, actions, tmp_path):
    class Blind:
        kind = "file"

        def look(self, actions):
            raise ApplyFailed("the hook is broken")

        def room(self, actions):
            return nullcontext()

        def carry_out(self, step):
            pytest.fail("nothing is done to what cannot be seen")

    path = tmp_path / "journal.jsonl"
    begin(path, opened(snapshot, actions), world)
    applied = resume(path, Blind(), "back")
    assert applied.outcome == "partly-rolled-back"
    assert {left.action for left in applied.left} == set(range(len(actions)))
    assert "the hook is broken" in applied.left[0].why
    assert world.state == apply_actions(snapshot, actions)


class Silent:
    """A cluster that answers only every so often."""

    kind = "file"

    def __init__(self, world, every):
        self.world, self.every, self.asked = world, every, 0

    def _answer(self):
        self.asked += 1
        if self.asked % self.every:
            raise SourceUnavailable("no answer")

    def look(self, actions):
        self._answer()
        return self.world.look(actions)

    @contextmanager
    def room(self, actions):
        self._answer()
        yield

    def carry_out(self, step):
        self._answer()
        self.world.carry_out(step)


def test_a_cluster_that_answers_late_is_asked_again(world, snapshot, actions, tmp_path):
    waited = []
    applied = begin(
        tmp_path / "j.jsonl", opened(snapshot, actions), Patient(Silent(world, 3), (1.0, 2.0), waited.append)
    )
    assert applied.outcome == "applied"
    assert set(waited) == {1.0, 2.0}


def test_a_cluster_that_stays_silent_leaves_a_journal_that_resumes(world, snapshot, actions, tmp_path):
    path = tmp_path / "journal.jsonl"
    answers = iter([None] * 7)

    def quiet(*_):
        if next(answers, "over") == "over":
            raise SourceUnavailable("no answer")

    world.fault = quiet
    with pytest.raises(SourceUnavailable):
        begin(path, opened(snapshot, actions), Patient(world, (0.0,), lambda _: None))
    world.fault = lambda *_: None
    assert resume(path, world).outcome == "applied"
    assert world.state == apply_actions(snapshot, actions)


def test_the_journal_says_each_step_before_and_after_it(world, snapshot, actions, tmp_path):
    path = tmp_path / "journal.jsonl"
    begin(path, opened(snapshot, actions), world)
    entries = read_journal(path).entries
    kinds = [type(entry) for entry in entries[1:]]
    assert kinds == [Begun, Done] * ((len(kinds) - 1) // 2) + [Ended]
    told = [position for entry in entries if isinstance(entry, Begun) for position in entry.actions]
    assert told == list(range(len(actions)))


def test_a_dry_run_goes_the_same_way_in_memory(snapshot, actions, tmp_path):
    rehearsal = DryRun(snapshot)
    applied = begin(tmp_path / "journal.jsonl", opened(snapshot, actions, "dry-run"), rehearsal)
    assert applied.outcome == "applied"
    assert rehearsal.state == apply_actions(snapshot, actions)


def test_a_dry_run_that_was_cut_off_goes_on_from_what_its_journal_says_is_done(snapshot, actions, tmp_path):
    path = tmp_path / "journal.jsonl"

    def listen(entry):
        if isinstance(entry, Done) and entry.step == 2:
            die()

    assert killed(lambda: begin(path, opened(snapshot, actions), DryRun(snapshot), listen))
    done = progress_of(read_journal(path).entries).in_force
    rehearsal = DryRun(apply_actions(snapshot, done))
    assert resume(path, rehearsal).outcome == "applied"
    assert rehearsal.state == apply_actions(snapshot, actions)


def test_a_failed_apply_goes_on_going_back(world, snapshot, actions, tmp_path):
    with new_journal(tmp_path / "journal.jsonl", opened(snapshot, actions), clock, lambda _: None) as journal:
        first = numbered_steps(actions)[0]
        journal.append(Begun(0, first))
        world.carry_out([actions[position] for position in first])
        journal.append(Done(0, ("seen",)))
        journal.append(Failed(1, "because"))
        journal.append(Resumed(BY, "on"))
        assert go_on(journal, world).outcome == "rolled-back"
    assert world.state == snapshot
