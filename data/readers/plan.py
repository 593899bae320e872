"""How is a plan file read, found and written, and when is it refused?"""

import json
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from pydantic import ValidationError

from data.digest import PLAN, plan_digest, snapshot_digest
from data.errors import BadSource, PlanRefused, SourceUnavailable
from data.readers.bounded import read_bounded
from data.readers.json_file import parse_written_json
from data.schemas.cluster import Snapshot
from data.schemas.plan import Plan
from data.whole_file import whole_file

FILE_NAME = "plan.json"
MAX_BYTES = 1 << 30
HEAD_BYTES = 64 * 1024
"""Of a plan file, in which its cluster, or fleet, and its options stand: they come first."""

LOOKED_AT = 50
"""Plans of a folder of runs that are read at most, the newest first, of those that say that they suit."""

_SAID = re.compile(
    r'^ "(cluster|fleet|options)": ("(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"),$', re.MULTILINE
)


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
        content = read_bounded(path, MAX_BYTES)
        parse_written_json(content, str(path))  # a field that stands twice would be one to us, another to a reviewer
        plan = PLAN.validate_json(content)
    except (SourceUnavailable, BadSource) as error:
        raise PlanRefused(str(error)) from error
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
    try:
        whole = path / FILE_NAME if path.is_dir() else path
    except OSError as error:
        raise PlanRefused(f"{path}: {error.strerror or error}") from error
    if whole.is_file() or not path.is_dir():
        plan = read_plan(whole)
        if plan.cluster != cluster:
            raise PlanRefused(f"{path}: expected a plan for cluster {cluster}, found one for {plan.cluster}")
        return plan
    runs = [run for run in path.iterdir() if not run.is_symlink() and (run / FILE_NAME).is_file()]
    newest = sorted(runs, key=lambda run: (run.name.partition("-")[0], (run / FILE_NAME).stat().st_mtime_ns))[::-1]
    suiting = (run for run in newest if may_suit(run / FILE_NAME, cluster, nouns))
    for run in islice(suiting, LOOKED_AT):
        try:
            plan = read_plan(run / FILE_NAME)
        except PlanRefused:
            continue
        if plan.cluster == cluster and set(nouns) <= _nouns_of(plan.options):
            return plan
    raise PlanRefused(f"{path}: expected a plan for cluster {cluster} and {', '.join(nouns)}, found none")


def may_suit(path: Path, cluster: str, nouns: Sequence[str]) -> bool:
    """Tell from the head of a plan file whether it says that it was made for ``cluster`` and, among others, ``nouns``.

    Of many flows in one folder of runs most plans are for something else, and a whole plan takes long to read. One
    whose head does not show it may suit.
    """
    try:
        said = head_of(path)
    except OSError:
        return False
    if said.get("cluster", cluster) != cluster:
        return False
    return "options" not in said or set(nouns) <= _nouns_of(said["options"])


def head_of(path: Path) -> dict[str, str]:
    """Return what the head of a plan file, of a cluster or of a fleet, says that it was made for, and its options.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES).decode(errors="replace")
    return {name: json.loads(text) for name, text in _SAID.findall(head)}


def _nouns_of(options: str) -> set[str]:
    """Return what a plan was asked to improve, as its options say."""
    try:
        nouns = json.loads(options)["nouns"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return set()
    return {str(noun) for noun in nouns} if isinstance(nouns, list) else set()
