"""The flow that applies a plan: through a hook, against a real server with its freeze switch and its limit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from httpx import ConnectError
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.variables import Variable
from typer.testing import CliRunner

from data.errors import PlanRefused
from data.schemas.apply import Begun, Done
from flows.apply import apply_plan, settle_apply
from flows.apply_params import ApplyParams, SettleParams
from flows.apply_server import FREEZE, LIMIT, require_server, require_thawed
from flows.applying import CutOff, RolledBack
from flows.commands import app
from tasks.apply.journal import old_journal, read_journal
from tasks.apply.lease import lease
from tests.applying.cluster import after, altered, hook_cluster
from tests.tasks.apply.world import BY, clock


@pytest.fixture(scope="module", autouse=True)
def limit(prefect_server):
    """The limit that provisioning makes."""
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(LIMIT)
        except ObjectNotFound:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=LIMIT, limit=1))


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    monkeypatch.setenv("QUANTUMFLOW_HOOKS", str(tmp_path / "hooks"))
    monkeypatch.setenv("QUANTUMFLOW_APPLIES", str(tmp_path / "applies"))
    monkeypatch.setattr("flows.applying.WAITS_S", ())
    return hook_cluster(tmp_path / "hooks", tmp_path / "run")


@pytest.fixture
def frozen():
    """Return a function that sets the switch; it is off afterwards."""
    yield lambda value: Variable.set(FREEZE, value, overwrite=True)
    Variable.unset(FREEZE)


def applied(cluster, **fields):
    return apply_plan(ApplyParams.model_validate(cluster.params(**fields)))


def refused(cluster, **fields):
    """Apply outside a run, which is quicker; it is to be refused."""
    pytest.fail(f"carried out: {apply_plan.fn(ApplyParams.model_validate(cluster.params(**fields)))}")


def settle(journal, way, **fields):
    return settle_apply(SettleParams(journal=Path(journal), way=way, **fields))


def artifact(key):
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])), limit=200)
    return str(max(found, key=lambda each: each.created).data)


def test_a_plan_is_applied_told_and_rolled_back_by_its_journal(cluster):
    before = cluster.jobs
    journal = applied(cluster, approved_by="Ada", comment="before lunch")
    assert cluster.jobs == after()
    assert cluster.changes == ["red place", "waiting place", "blue cap"]
    opened = read_journal(Path(journal)).entries[0]
    assert (opened.approved_by, opened.comment, opened.executor) == ("Ada", "before lunch", "shell")
    assert "~ migrate red" in artifact("apply-diff")
    assert "Applied: 3 actions" in artifact("apply-outcome")
    assert "done" in artifact("apply-journal")
    assert settle(journal, "rollback") == journal
    assert cluster.jobs == before
    with pytest.raises(PlanRefused, match="rolled back already"):
        settle(journal, "rollback")


def test_a_step_that_fails_turns_the_run_back_and_says_so(cluster):
    before = cluster.jobs
    (cluster.folder / "fail").write_text("blue cap")
    with pytest.raises(RolledBack, match="blue will not be changed") as caught:
        applied(cluster)
    assert caught.value.outcome == "rolled-back"
    assert cluster.jobs == before
    assert "Rolled back" in artifact("apply-outcome")


def test_a_dry_run_touches_nothing_needs_no_person_and_says_what_would_be_in_the_way(cluster, frozen):
    frozen("maintenance")
    before = cluster.jobs
    old = hook_cluster(cluster.folder, cluster.run, "2026-01-31T12:00:00+00:00")
    journal = applied(old, executor={"kind": "dry-run"})
    assert cluster.jobs == before
    assert cluster.changes == []
    notes = read_journal(Path(journal)).entries[0].notes
    assert [word for word in ("expired", "frozen") if any(word in note for note in notes)] == ["expired", "frozen"]


@pytest.mark.slow
def test_a_frozen_cluster_is_left_alone_but_can_be_rolled_back(cluster, frozen):
    journal = applied(cluster)
    frozen("maintenance until noon")
    with pytest.raises(PlanRefused, match=r"frozen: .* maintenance until noon"):
        refused(cluster)
    settle(journal, "rollback")
    frozen(True)
    with pytest.raises(PlanRefused, match="frozen"):
        refused(cluster)


def test_a_switch_that_cannot_be_read_is_on():
    nobody = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(nobody), pytest.raises(PlanRefused, match="cannot be read"):
        require_thawed()


def test_without_a_server_somebody_has_to_say_that_no_other_machine_applies(cluster):
    with temporary_settings({PREFECT_API_URL: None}):
        with pytest.raises(PlanRefused, match="--alone"):
            require_server(alone=False)
        assert not require_server(alone=True)
    assert require_server(alone=True)  # a form cannot talk its way past a server that is there


REFUSALS = {
    "another file": ({"sha256": "0" * 64}, "changed file"),
    "approval without a digest": ({"sha256": None}, "sha256sum"),
    "too old": ({"max_age_s": 1e-9}, "expired"),
    "too many actions": ({"max_actions": 2}, "too many actions"),
    "too many GPUs": ({"max_moved_gpus": 4}, "too many GPUs"),
    "protected": ({"protected": ["r*"]}, "protected"),
    "priority": ({"protected_priority": 2.0}, "blue"),
}


@pytest.mark.parametrize(("fields", "says"), REFUSALS.values(), ids=REFUSALS)
def test_each_guard_refuses_before_anything_is_touched(cluster, fields, says):
    with pytest.raises(PlanRefused, match=says):
        applied(cluster, **fields)
    assert cluster.changes == []
    assert not list(cluster.run.parent.glob("applies/*.jsonl"))


def test_what_the_workers_environment_protects_no_form_unprotects(cluster, monkeypatch):
    monkeypatch.setenv("QUANTUMFLOW_PROTECTED", "other, blue")
    with pytest.raises(PlanRefused, match="blue"):
        refused(cluster)


def test_the_validator_is_asked_once_more(cluster):
    altered(cluster, metrics=())
    with pytest.raises(PlanRefused, match="validator"):
        refused(cluster)


def test_a_plan_of_which_a_part_is_stale_is_refused_as_a_whole(cluster):
    cluster.set("blue", cap=500.0)
    with pytest.raises(PlanRefused, match=r"1 of 3 actions .* recap blue"):
        refused(cluster)
    assert cluster.changes == []


def test_a_hook_that_the_machine_does_not_list_is_not_run(cluster, monkeypatch):
    monkeypatch.setenv("QUANTUMFLOW_HOOKS", "/nowhere")
    with pytest.raises(PlanRefused, match="QUANTUMFLOW_HOOKS"):
        refused(cluster)


def test_the_second_of_two_on_one_machine_is_told_who_holds_the_cluster(cluster):
    held = lease(cluster.run.parent / "applies", "two-racks", replace(BY, run="run-1"), "noon")
    with held, pytest.raises(PlanRefused, match="run run-1, since noon"):
        applied(cluster)
    assert cluster.changes == []


def test_the_second_of_two_machines_is_refused_by_the_server(cluster, monkeypatch):
    from prefect.concurrency.sync import concurrency

    monkeypatch.setattr("flows.apply.SLOT_WAIT_S", 0.5)
    with concurrency(LIMIT, strict=True), pytest.raises(PlanRefused, match="another apply"):
        applied(cluster)
    assert cluster.changes == []


def test_without_its_limit_on_the_server_nothing_is_applied(cluster, monkeypatch):
    monkeypatch.setattr("flows.apply_server.LIMIT", "not-provisioned")
    with pytest.raises(PlanRefused, match=r"deployments\.provision"):
        applied(cluster)


def cut_off(cluster, lines):
    """Apply, and cut the journal after ``lines`` lines, as if the process had been killed then."""
    journal = Path(applied(cluster))
    whole = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(whole[:lines]) + b'{"sequence":')
    return journal


def test_the_same_plan_goes_on_where_a_killed_run_ended(cluster):
    journal = cut_off(cluster, 3)
    kinds = [type(entry) for entry in read_journal(journal).entries[1:]]
    assert kinds == [Begun, Done]
    cluster.set("blue", cap=None)  # which the killed run had not done yet
    assert applied(cluster) == str(journal)
    assert cluster.jobs == after()


@pytest.mark.slow
def test_another_plan_waits_until_what_was_cut_off_is_ended(cluster, tmp_path):
    before = cluster.jobs
    journal = cut_off(cluster, 4)
    cluster.set("blue", cap=None)
    other = hook_cluster(tmp_path / "elsewhere", tmp_path / "other")
    with pytest.raises(PlanRefused, match="cut off"):
        apply_plan(ApplyParams.model_validate(other.params(executor=cluster.executor)))
    settle(journal, "rollback")
    assert cluster.jobs == before


def test_what_goes_on_keeps_its_options_and_what_is_protected_by_now(cluster, tmp_path, monkeypatch):
    journal = cut_off(cluster, 3)
    cluster.set("blue", cap=None)
    elsewhere = hook_cluster(tmp_path / "hooks" / "other", tmp_path / "unused")
    with pytest.raises(PlanRefused, match="cut off"):
        refused(cluster, executor=elsewhere.executor)
    assert elsewhere.changes == []
    on = SettleParams(journal=journal, way="resume")
    monkeypatch.setenv("QUANTUMFLOW_PROTECTED", "blue")
    with pytest.raises(PlanRefused, match=r"protected jobs: .* blue"):
        settle_apply.fn(on)
    monkeypatch.setenv("QUANTUMFLOW_PROTECTED", "red")  # which was moved before
    monkeypatch.setattr("flows.applying.show_outcome", unpublished)
    assert settle_apply.fn(on) == str(journal), "an outcome that the server does not take is one nevertheless"
    assert cluster.jobs == after()


def unpublished(*_):
    raise ConnectError("all connection attempts failed")


@pytest.mark.slow
def test_a_rollback_of_an_older_apply_that_is_cut_off_is_in_the_way_of_new_ones(cluster, tmp_path):
    older = applied(cluster)
    again = hook_cluster(tmp_path / "unused", tmp_path / "again")
    apply_plan(ApplyParams.model_validate(again.params(executor=cluster.executor)))  # all of it is in force already
    settle(older, "rollback")
    kinds = [entry.kind for entry in read_journal(Path(older)).entries]
    whole = Path(older).read_bytes().splitlines(keepends=True)
    Path(older).write_bytes(b"".join(whole[: kinds.index("undo-begin") + 1]))
    with pytest.raises(PlanRefused, match="cut off"):
        refused(hook_cluster(cluster.folder, tmp_path / "fresh"), executor=cluster.executor)


@pytest.mark.slow
def test_what_nobody_expected_leaves_a_journal_that_can_be_ended(cluster, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr("tasks.apply.loop._carry_out", broken)
    with pytest.raises(CutOff, match=r"ZeroDivisionError: a mistake of ours\. .* --rollback"):
        applied(cluster)


@pytest.mark.slow
def test_what_was_cut_off_can_be_resumed_by_its_journal_unless_it_is_too_old(cluster):
    journal = cut_off(cluster, 3)
    cluster.set("blue", cap=None)
    with pytest.raises(PlanRefused, match="expired"):
        settle(journal, "resume", max_age_s=1e-9)
    settle(journal, "resume")
    assert cluster.jobs == after()
    with pytest.raises(PlanRefused, match="nothing to resume"):
        settle(journal, "resume")


@pytest.mark.slow
def test_a_journal_of_another_folder_is_not_believed(cluster, tmp_path):
    journal = Path(applied(cluster))
    copy = tmp_path / journal.name
    copy.write_bytes(journal.read_bytes())
    with pytest.raises(PlanRefused, match="expected a journal of the folder"):
        settle(copy, "rollback")


@pytest.mark.slow
def test_a_cluster_that_stops_answering_leaves_a_journal_and_says_how_to_go_on(cluster):
    hook = cluster.folder / "hook"
    text = hook.read_text()
    hook.write_text(text.replace("job[field] = ", "sys.exit(75) if field == 'cap' else None; job[field] = "))
    with pytest.raises(CutOff, match="--resume") as caught:
        applied(cluster)
    hook.write_text(text)
    journal = next(word for word in str(caught.value).split() if word.endswith(".jsonl"))
    settle(journal.rstrip(","), "resume")
    assert cluster.jobs == after()


def run(*words):
    return CliRunner().invoke(app, ["apply", *map(str, words)])


def through_hook(cluster):
    options = {key: value for key, value in cluster.executor.items() if key != "kind"}
    return ("--with", "shell", "--options", json.dumps(options))


@pytest.mark.slow
def test_a_terminal_shows_the_diff_applies_and_rolls_back(cluster):
    before = cluster.jobs
    done = run(cluster.run, *through_hook(cluster), "--sha256", cluster.sha256, "--yes")
    assert done.exit_code == 0, done.output
    assert "~ migrate red: 8 GPUs on east-0, west-0 -> 8 GPUs on east-0, east-2" in done.output
    assert "+ place waiting" in done.output
    assert cluster.jobs == after()
    (journal,) = (cluster.run.parent / "applies").glob("*.jsonl")
    shown = run("--show", journal)
    assert shown.exit_code == 0
    assert "applied" in shown.output
    back = run("--rollback", journal)
    assert back.exit_code == 0, back.output
    assert cluster.jobs == before


@pytest.mark.slow
def test_exit_codes_tell_what_happened(cluster):
    assert run(cluster.run, "--with", "shell", "--yes").exit_code == 2
    assert run(cluster.run, *through_hook(cluster)).exit_code == 2  # nobody to ask
    assert run(cluster.run, *through_hook(cluster), "--sha256", "0" * 64, "--yes").exit_code == 1
    (cluster.folder / "fail").write_text("blue cap")
    failed = run(cluster.run, *through_hook(cluster), "--sha256", cluster.sha256, "--yes")
    assert failed.exit_code == 3
    assert "Rolled back" in failed.output
    assert run("--resume", "a", "--show", "b").exit_code == 2


def test_leases_and_journals_tell_nobody_but_owner_and_group(cluster):
    applied(cluster)
    for file in (cluster.run.parent / "applies").iterdir():
        if file.suffix in (".jsonl", ".lease"):
            assert file.stat().st_mode & 0o007 == 0


@pytest.mark.slow
def test_a_journal_that_somebody_holds_is_not_settled(cluster):
    journal = cut_off(cluster, 3)
    with old_journal(journal, clock, lambda _: None), pytest.raises(Exception, match="another process"):
        settle(journal, "rollback")
