"""Is this a plan, as it was signed, for this very state?"""

from collections.abc import Iterator

from data.crosscheck import cross_check
from data.digest import PLAN, plan_digest, snapshot_digest
from data.schemas.cluster import Snapshot
from data.schemas.plan import Plan
from tasks.validation.verdict import Check, judged


def check_format(plan: Plan) -> Check:
    """Check that every value is one that a plan file may hold: types, ranges, no NaN."""
    try:
        PLAN.validate_json(PLAN.dump_json(plan, warnings="error"))
    except ValueError as error:  # pydantic's own errors are ValueErrors
        return judged("format", [f"expected a plan of version {plan.plan_version}, found {error}"], "")
    return judged("format", (), f"a plan of version {plan.plan_version}")


def check_signature(plan: Plan) -> Check:
    """Check that nothing was altered after the plan was signed."""
    digest = plan_digest(plan)
    wrong = [] if digest == plan.sha256 else [f"expected sha256 {plan.sha256} as signed, found {digest}"]
    return judged("signature", wrong, f"sha256 {digest}")


def check_fresh(plan: Plan, snapshot: Snapshot) -> Check:
    """Check that the plan was made for ``snapshot``: a stale plan must not be used."""
    digest = snapshot_digest(snapshot)
    pairs = (
        ("snapshot_sha256", plan.snapshot_sha256, digest),
        ("cluster", plan.cluster, snapshot.cluster),
        ("snapshot_taken_at", plan.snapshot_taken_at, snapshot.taken_at),
    )
    wrong = [f"{field}: expected {made_for}, found {found}" for field, made_for, found in pairs if made_for != found]
    return judged("snapshot", wrong, f"{snapshot.cluster} at {snapshot.taken_at}, digest {digest}")


def check_state_before(snapshot: Snapshot) -> Check:
    """Check that the state that the plan starts from does not contradict itself."""
    wrong = [str(contradiction.record("snapshot")) for contradiction in cross_check(snapshot)]
    return judged("state before", wrong, "no contradiction")


def check_state_after(after: Snapshot) -> Check:
    """Check that the planned state does not contradict itself: no GPU held twice, no job on half its workers."""
    return judged("state after", _contradictions(after, deployments=False), "no contradiction")


def check_experts(after: Snapshot) -> Check:
    """Check that every expert of every layer keeps a replica, and that every slot holds an expert that exists."""
    count = len(after.deployments)
    return judged("experts", _contradictions(after, deployments=True), f"every expert of {count} deployment(s) is held")


def _contradictions(after: Snapshot, *, deployments: bool) -> Iterator[str]:
    for contradiction in cross_check(after):
        if (contradiction.collection == "deployments") == deployments:
            yield str(contradiction.record("the state after the plan"))
