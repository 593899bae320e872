"""Which plan was reviewed? A plan file, byte by byte the one that somebody approved, with the state it was made for."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from data.digest import PLAN, plan_digest
from data.errors import BadSource, PlanRefused, SourceUnavailable
from data.readers.plan import FILE_NAME, MAX_BYTES, check_fresh
from data.readers.snapshot import read_snapshot
from data.schemas.cluster import Snapshot
from data.schemas.plan import Plan

SNAPSHOT_NAME = "snapshot.json"


@dataclass(frozen=True, slots=True, eq=False)
class Reviewed:
    """A plan that is as it was signed, for the snapshot beside it.

    Args:
        path: of the plan's file, whole and without links: where a link points now, it may not point tomorrow.
        sha256: of the file's bytes.
        plan: that they hold.
        snapshot: that it was made for.
    """

    path: Path
    sha256: str
    plan: Plan
    snapshot: Snapshot

    @property
    def folder(self) -> Path:
        """Of the run that made the plan; paths of archives start here."""
        return self.path.parent


def read_reviewed(path: Path, sha256: str | None) -> Reviewed:
    """Read a plan file, or that of a run's folder, once: what is checked is what is carried out.

    Args:
        path: of ``plan.json``, or of the folder of a run.
        sha256: of the file's bytes, as ``sha256sum`` tells it; None where nobody has approved it yet.

    Raises:
        PlanRefused: it is not there, is no plan, is not the one that was approved, was altered after it was signed,
            or the snapshot beside it is not the one that it was made for.
    """
    try:
        file = (path / FILE_NAME if path.is_dir() else path).resolve(strict=True)
        if file.stat().st_size > MAX_BYTES:
            raise PlanRefused(f"{file}: expected at most {MAX_BYTES} bytes, found {file.stat().st_size}")
        data = file.read_bytes()
    except OSError as error:
        raise PlanRefused(f"{path}: {error.strerror or error}") from error
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and digest != sha256:
        raise PlanRefused(
            f"changed file: expected {file} with sha256 {sha256}, as it was approved, found {digest}; "
            "look at the plan again, and approve what it is now"
        )
    plan = _plan(data, file)
    try:
        snapshot = read_snapshot(file.with_name(SNAPSHOT_NAME)).snapshot
    except (BadSource, SourceUnavailable) as error:
        raise PlanRefused(f"{file}: the snapshot that it was made for is expected beside it: {error}") from error
    check_fresh(plan, snapshot)
    return Reviewed(file, digest, plan, snapshot)


def _plan(data: bytes, file: Path) -> Plan:
    try:
        plan = PLAN.validate_json(data)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"]) or "top level"
        raise PlanRefused(f"{file}: {place}: {problem['msg']}") from error
    digest = plan_digest(plan)
    if digest != plan.sha256:
        raise PlanRefused(f"{file}: expected sha256 {plan.sha256} as signed, found {digest}: the plan was altered")
    return plan
