"""Which state, which plan? Canonical bytes of the records, and their SHA-256."""

import hashlib
from dataclasses import replace

from pydantic import TypeAdapter

from data.schemas.cluster import Snapshot
from data.schemas.fleet_plan import FLEET_PLAN, FleetPlan
from data.schemas.plan import Plan

SNAPSHOT = TypeAdapter(Snapshot)
PLAN = TypeAdapter(Plan)

UNSIGNED = "0" * 64
"""What stands in place of a plan's own digest while that is computed."""


def snapshot_digest(snapshot: Snapshot) -> str:
    """Return the SHA-256 of the snapshot's canonical JSON (compact, fields in schema order)."""
    return hashlib.sha256(SNAPSHOT.dump_json(snapshot)).hexdigest()


def plan_digest(plan: Plan) -> str:
    """Return the SHA-256 of the plan's canonical JSON with the field ``sha256`` zeroed."""
    return hashlib.sha256(PLAN.dump_json(replace(plan, sha256=UNSIGNED))).hexdigest()


def fleet_plan_digest(plan: FleetPlan) -> str:
    """Return the SHA-256 of the fleet plan's canonical JSON with the field ``sha256`` zeroed."""
    return hashlib.sha256(FLEET_PLAN.dump_json(replace(plan, sha256=UNSIGNED))).hexdigest()


def signed(plan: Plan) -> Plan:
    """Return the plan with its own digest filled in."""
    return replace(plan, sha256=plan_digest(plan))
