"""How is a reviewed plan carried out? Checked, approved, checked again, step by step over a journal, or rolled back."""

from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run

from data.errors import BadRecord, BadSource, PlanRefused, SourceUnavailable
from data.readers.sources import Kubernetes, Source
from data.schemas.apply import Opened, Resumed
from data.schemas.plan import Plan
from data.transition import inverse
from flows.apply_approval import Approved, approval_of
from flows.apply_artifacts import show_diff, show_rejection
from flows.apply_params import EXECUTOR, ApplyParams, DryRunForm, ExecutorForm, SettleParams
from flows.apply_server import LEASE_S, require_server, require_thawed
from flows.applying import (
    always_protected,
    executor_of,
    held,
    live_source,
    logged,
    now,
    settled,
    this_process,
    told,
)
from flows.journals import applies_folder
from flows.logs import Line, RunLog, run_log
from flows.permitted import require_permitted
from tasks.apply.applies import Earlier, cut_off, journal_path, note_latest
from tasks.apply.guards import (
    Limits,
    check_age,
    check_cluster,
    check_in_force,
    check_limits,
    check_protected,
    check_verdict,
)
from tasks.apply.journal import new_journal, old_journal, read_journal
from tasks.apply.kubernetes import KubernetesExecutor
from tasks.apply.progress import Progress, progress_of
from tasks.apply.reviewed import Reviewed, read_reviewed
from tasks.apply.room import check_room
from tasks.apply.targets import starts_first
from tasks.report.order import taken_at
from tasks.validate import validate_plan

SLOT_WAIT_S = 5.0
"""Seconds to wait for an apply on another machine that is about to end."""


@flow(name="apply-plan", flow_run_name="apply-{params.executor.kind}", retries=0)
def apply_plan(params: ApplyParams) -> str:
    """Carry out a plan that somebody reviewed: a rehearsal unless an executor is named.

    Args:
        params: which plan, through which executor, who approves it, and within which limits.

    Returns:
        The journal, or who rejected the plan.

    Raises:
        PlanRefused: a guard is in the way; nothing was done.
        RolledBack: a step failed; what was done is undone, as far as can be.
        SourceUnavailable: the cluster does not answer; nothing was done.
        CutOff: it did not answer on the way; the journal says how far it came.
    """
    require_permitted(params.model_copy(update={"executor": DryRunForm()}))  # hooks: QUANTUMFLOW_HOOKS
    reviewed = read_reviewed(params.plan, params.sha256)
    form = executor_of(params.executor, taken_at(reviewed.plan), reviewed.folder)
    _check_for_good(params, reviewed)
    remaining_s, notes = _check_for_now(params, reviewed, form)
    if (flow_run.run_count or 1) <= 1:
        show_diff(reviewed, form.kind, notes)
    approved = approval_of(params, reviewed, remaining_s, notes)
    if not approved.yes:
        return show_rejection(approved.who, approved.comment)
    cut = _earlier(reviewed, form)
    wait_s = 2 * LEASE_S if cut else SLOT_WAIT_S  # the slot of a killed one has to lapse
    with run_log("apply-plan") as log, held(reviewed.plan.cluster, form.kind, alone=params.alone, wait_s=wait_s):
        _check_for_now(params, reviewed, form)  # the world may have changed until the cluster was ours
        opened = _opened(reviewed, form, approved, notes)
        listen = logged(log, opened.actions)
        cut = _earlier(reviewed, form)
        if cut:
            with old_journal(cut.path, now, listen) as journal:
                journal.append(Resumed(this_process(), "on"))
                applied = settled(journal, form, log)
        else:
            with new_journal(_new_path(opened), opened, now, listen) as journal:
                if form.kind != "dry-run":
                    note_latest(applies_folder(), opened.cluster, journal.path)
                applied = settled(journal, form, log)
    return told(applied, opened, log, wanted="applied")


@flow(name="settle-apply", flow_run_name="{params.way}", retries=0)
def settle_apply(params: SettleParams) -> str:
    """End an apply that was cut off, on with the plan or back; or undo one that has ended.

    Args:
        params: which journal, and which way.

    Returns:
        The journal.

    Raises:
        PlanRefused: there is nothing to do, or a guard is in the way. Frozen clusters can be rolled back.
        RolledBack: it was to go on and went back, or something could not be undone.
        CutOff: the cluster did not answer on the way; the journal says how far it came.
    """
    require_permitted(params)
    path = _own_journal(params.journal)
    progress = progress_of(read_journal(path).entries)
    opened = progress.opened
    form = EXECUTOR.validate_json(opened.options)
    on = params.way == "resume"
    if on and progress.outcome is not None:
        raise PlanRefused(f"{path}: it has ended ({progress.outcome}), there is nothing to resume")
    if progress.outcome == "rolled-back":
        raise PlanRefused(f"{path}: it is rolled back already")
    with (
        run_log("settle-apply") as log,
        held(opened.cluster, opened.executor, alone=params.alone, wait_s=2 * LEASE_S),
        old_journal(path, now, logged(log, opened.actions)) as journal,
    ):
        _check_no_other(opened, path)
        if on and not progress.back and opened.executor != "dry-run":
            if require_server(alone=params.alone):
                require_thawed()
            check_age(opened.snapshot_taken_at, now().timestamp(), params.max_age_s)
            _check_rest(progress)
        if not on and progress.outcome == "applied" and opened.executor != "dry-run":
            _check_way_back(progress, log)
        if opened.executor != "dry-run":
            note_latest(applies_folder(), opened.cluster, path)
        journal.append(Resumed(this_process(), "on" if on else "back"))
        applied = settled(journal, form, log)
    return told(applied, opened, log, wanted="applied" if on else "rolled-back")


def _check_for_good(params: ApplyParams, reviewed: Reviewed) -> None:
    """Check what no waiting changes: the limits, the protected jobs, and what the validator says."""
    limits = params.limits(always_protected())
    check_limits(reviewed.plan, limits)
    check_protected(reviewed.plan.actions, reviewed.snapshot, limits)
    check_verdict(validate_plan(reviewed.plan, reviewed.snapshot, reviewed.folder))


def _check_for_now(params: ApplyParams, reviewed: Reviewed, form: ExecutorForm) -> tuple[float, tuple[str, ...]]:
    """Check what may change from one moment to the next: the plan's age, the freeze switch, what is in force.

    A rehearsal harms nobody: what would be in its way is noted.

    Returns:
        Seconds until the plan is too old, and the notes.
    """
    plan = reviewed.plan
    if isinstance(form, DryRunForm):
        return _rehearsed(params, plan)
    notes = () if require_server(alone=params.alone) else ("no Prefect server: held on this machine only",)
    if not notes:
        require_thawed()
    remaining_s = check_age(plan.snapshot_taken_at, now().timestamp(), params.max_age_s)
    if _earlier(reviewed, form) is None:  # of one that goes on, each step is looked at when its turn comes
        live = live_source(plan)
        if live is not None:
            _check_context(live, form)
            found = live().snapshot
            check_cluster(plan, found, form)
            check_in_force(plan.actions, form)
            check_room(plan.actions, found)
        else:
            check_in_force(plan.actions, form)
    return remaining_s, notes


def _rehearsed(params: ApplyParams, plan: Plan) -> tuple[float, tuple[str, ...]]:
    """Return what :func:`_check_for_now` does, of a rehearsal: nothing keeps it from going on."""
    remaining_s, notes = params.max_age_s, list[str]()
    try:
        remaining_s = check_age(plan.snapshot_taken_at, now().timestamp(), params.max_age_s)
    except PlanRefused as refusal:
        notes.append(f"only a rehearsal goes on: {refusal}")
    try:
        if require_server(alone=True):
            require_thawed()
    except PlanRefused as refusal:
        notes.append(f"only a rehearsal goes on: {refusal}")
    return remaining_s, tuple(notes)


def _earlier(reviewed: Reviewed, form: ExecutorForm) -> Earlier | None:
    """Return the apply of the same plan that was cut off.

    Raises:
        PlanRefused: another one was, and has to be ended first.
    """
    cut = None if form.kind == "dry-run" else cut_off(applies_folder(), reviewed.plan.cluster)
    if cut is None:
        return None
    opened = cut.progress.opened
    same_plan = (opened.file_sha256, opened.executor) == (reviewed.sha256, form.kind) and not cut.progress.back
    # what began with some options goes on with them: others may mean another cluster
    if same_plan and opened.options == EXECUTOR.dump_json(form).decode():
        return cut
    raise PlanRefused(_end_first(cut.path))


def _check_no_other(opened: Opened, path: Path) -> None:
    cut = None if opened.executor == "dry-run" else cut_off(applies_folder(), opened.cluster)
    if cut is not None and cut.path.resolve() != path:
        raise PlanRefused(_end_first(cut.path))


def _check_rest(progress: Progress) -> None:
    """Check what an apply that goes on has still to do against the jobs that the environment protects by now."""
    opened = progress.opened
    reviewed = read_reviewed(Path(opened.plan), opened.file_sha256)
    done = {position for step in progress.done for position in progress.begun[step].actions}
    rest = [action for position, action in enumerate(opened.actions) if position not in done]
    check_protected(rest, reviewed.snapshot, Limits(protected=always_protected()))


def _check_way_back(progress: Progress, log: RunLog) -> None:
    """Check that jobs which were moved long ago find room where they came from, before any of them is stopped."""
    opened = progress.opened
    try:
        live = live_source(read_reviewed(Path(opened.plan), opened.file_sha256).plan)
    except (BadRecord, BadSource, PlanRefused, SourceUnavailable) as error:
        # the journal alone must suffice to undo; that nobody looks for room is said
        log.tell(Line("apply.room", f"not looked for room to go back to: {error}", level="warning"))
        return
    if live is not None:
        check_room(inverse([opened.actions[position] for position in progress.carried_out]), live().snapshot)


def _check_context(live: Source, form: ExecutorForm) -> None:
    """Make sure that jobs are changed in the cluster that they were read from.

    Raises:
        PlanRefused: the plan was read in one context of the kubeconfig, and the executor is to use another.
    """
    if isinstance(live, Kubernetes) and isinstance(form, KubernetesExecutor) and live.context != form.context:
        raise PlanRefused(
            f"another cluster: expected the executor's context {live.context!r}, in which the plan was read, "
            f"found {form.context!r}"
        )


def _end_first(path: Path) -> str:
    return (
        f"an earlier apply was cut off, {path}; end it first: "
        f"python -m flows apply --rollback {path}, or --resume {path}"
    )


def _own_journal(path: Path) -> Path:
    """Return the journal's whole path; others than this program's own could ask for anything."""
    whole, folder = path.resolve(), applies_folder().resolve()
    if whole.parent != folder:
        raise PlanRefused(f"{path}: expected a journal of the folder {folder}")
    return whole


def _new_path(opened: Opened) -> Path:
    started = now().strftime("%Y%m%dT%H%M%S.%fZ")
    return journal_path(applies_folder(), started, opened.plan_sha256)


def _opened(reviewed: Reviewed, form: ExecutorForm, approved: Approved, notes: tuple[str, ...]) -> Opened:
    """Return the first entry of a journal."""
    plan = reviewed.plan
    return Opened(
        by=this_process(),
        cluster=plan.cluster,
        plan=str(reviewed.path),
        file_sha256=reviewed.sha256,
        plan_sha256=plan.sha256,
        snapshot_sha256=plan.snapshot_sha256,
        snapshot_taken_at=plan.snapshot_taken_at,
        executor=form.kind,
        options=EXECUTOR.dump_json(form).decode(),
        approved_by=approved.who,
        comment=approved.comment,
        notes=notes,
        actions=starts_first(plan.actions),
    )
