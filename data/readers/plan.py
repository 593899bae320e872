"""How is a plan file read, found and written, and when is it refused?"""

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from data.digest import PLAN, plan_digest, snapshot_digest
from data.errors import PlanRefused
from data.schemas.cluster import Snapshot
from data.schemas.plan import Plan
from data.whole_file import whole_file

FILE_NAME = "plan.json"
MAX_BYTES = 1 << 30
LOOKED_AT = 50
"""Plans of a folder of runs that are read at most, the newest first."""


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


def find_plan(path: Path, cluster: str, nouns: Sequence[str]) -> Plan:
    """Return the plan at ``path``: a plan file, the folder of a run, or a folder of runs.

    Of a folder of runs it is the newest that was made for ``cluster`` and, among others, for all of ``nouns``.

    Raises:
        PlanRefused: there is no such plan, or the one at ``path`` is for another cluster.
    """
    whole = path / FILE_NAME if path.is_dir() else path
    if whole.is_file() or not path.is_dir():
        plan = read_plan(whole)
        if plan.cluster != cluster:
            raise PlanRefused(f"{path}: expected a plan for cluster {cluster}, found one for {plan.cluster}")
        return plan
    runs = [run for run in path.iterdir() if not run.is_symlink() and (run / FILE_NAME).is_file()]
    newest = sorted(runs, key=lambda run: (run.name.partition("-")[0], (run / FILE_NAME).stat().st_mtime_ns))[::-1]
    for run in newest[:LOOKED_AT]:
        try:
            plan = read_plan(run / FILE_NAME)
        except PlanRefused:
            continue
        if plan.cluster == cluster and set(nouns) <= _nouns_of(plan):
            return plan
    raise PlanRefused(f"{path}: expected a plan for cluster {cluster} and {', '.join(nouns)}, found none")


def _nouns_of(plan: Plan) -> set[str]:
    """Return what a plan was asked to improve, as its options say."""
    try:
        nouns = json.loads(plan.options)["nouns"]
    except (ValueError, LookupError, TypeError):
        return set()
    return {str(noun) for noun in nouns} if isinstance(nouns, list) else set()
