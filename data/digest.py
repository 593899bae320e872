"""Which state, which plan? Canonical bytes of the records, and their SHA-256."""

import hashlib
from dataclasses import replace

from pydantic import TypeAdapter

from data.schemas.cluster import Snapshot
from data.schemas.plan import Plan

SNAPSHOT = TypeAdapter(Snapshot)
PLAN = TypeAdapter(Plan)

_UNSIGNED = "0" * 64


def snapshot_digest(snapshot: Snapshot) -> str:
    """Return the SHA-256 of the snapshot's canonical JSON (compact, fields in schema order)."""
    return hashlib.sha256(SNAPSHOT.dump_json(snapshot)).hexdigest()


def plan_digest(plan: Plan) -> str:
    """Return the SHA-256 of the plan's canonical JSON with the field ``sha256`` zeroed."""
    return hashlib.sha256(PLAN.dump_json(replace(plan, sha256=_UNSIGNED))).hexdigest()


def signed(plan: Plan) -> Plan:
    """Return the plan with its own digest filled in."""
    return replace(plan, sha256=plan_digest(plan))
