"""How is a plan file read and written, and when is it refused?"""

from pathlib import Path

from pydantic import ValidationError

from data.digest import PLAN, plan_digest, snapshot_digest
from data.errors import PlanRefused
from data.schemas.cluster import Snapshot
from data.schemas.plan import Plan
from data.whole_file import whole_file

MAX_BYTES = 1 << 30


def write_plan(plan: Plan, path: Path) -> None:
    """Write ``plan`` as JSON, whole or not at all; the same plan gives the same bytes."""
    with whole_file(path) as file:
        file.write(PLAN.dump_json(plan, indent=1) + b"\n")


def read_plan(path: Path) -> Plan:
    """Read a plan file.

    Raises:
        PlanRefused: it is not there, not a plan, or was altered after it was signed.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PlanRefused(f"{path}: expected at most {MAX_BYTES} bytes, found {path.stat().st_size}")
        plan = PLAN.validate_json(path.read_bytes())
    except OSError as error:
        raise PlanRefused(f"{path}: {error.strerror or error}") from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"]) or "top level"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise PlanRefused(f"{path}: {place}: {problem['msg']}{more}") from error
    digest = plan_digest(plan)
    if digest != plan.sha256:
        raise PlanRefused(f"{path}: expected sha256 {plan.sha256} as signed, found {digest}: the plan was altered")
    return plan


def check_fresh(plan: Plan, snapshot: Snapshot) -> None:
    """Make sure that ``plan`` was made for ``snapshot``.

    Raises:
        PlanRefused: it was made for another state.
    """
    digest = snapshot_digest(snapshot)
    if digest != plan.snapshot_sha256:
        raise PlanRefused(
            f"stale plan: expected a snapshot with digest {plan.snapshot_sha256} "
            f"({plan.cluster}, {plan.snapshot_taken_at}), found {digest} ({snapshot.cluster}, {snapshot.taken_at})"
        )
