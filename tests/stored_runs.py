"""Runs as flows leave them, for tests of what is told of them later."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter

from data.digest import PLAN, signed
from data.schemas.apply import Ended, Entry, Line, Opened, Outcome, Process
from data.schemas.plan import Bound, Plan, Recap, SolverRow


def plan_of(cluster: str = "small", before: float = 100.0, after: float = 80.0, **changes: object) -> Plan:
    """A plan of one problem, signed."""
    rows = (
        SolverRow("power", "incumbent", before, 0, 0, 0, chosen=False),
        SolverRow("power", "qaoa on windows", after, 9, 3, 2, chosen=True),
    )
    asked = {"nouns": ["power"], "effort": "quick", "solver": {"kind": "qaoa"}}
    recap = Recap("job", None, 500.0, "cap", 1.0)
    plan = Plan(
        cluster=cluster, snapshot_sha256="1" * 64, snapshot_taken_at="2026-11-22T00:00:00+00:00", code_version="0",
        options=json.dumps(asked), seed=0, actions=(recap,), inverse=(replace(recap, before=500.0, after=None),),
        assumed_power=(), metrics=(), solvers=rows, bounds=(Bound("power", 0.8 * after, 0.25, "relaxation"),),
        fallbacks=(), set_aside=(), notes=(), sha256="0" * 64,
    )  # fmt: skip
    return signed(replace(plan, **changes))  # type: ignore[arg-type]  # fields by name


def leave(runs: Path, number: int, plan: Plan | None = None, name: str = "") -> Path:
    """Leave a run as the flow does, ``number`` quarters of an hour into a day."""
    when = datetime(2026, 11, 20, tzinfo=UTC) + timedelta(minutes=15 * number)
    folder = runs / (name or f"{when:%Y%m%dT%H%M%SZ}-{number:06x}")
    folder.mkdir(parents=True)
    (folder / "plan.json").write_bytes(PLAN.dump_json(plan or plan_of()))
    (folder / "timings.json").write_text(json.dumps({"refine": 1.0, "total": 20.0 + number}))
    (folder / "report.html").write_text("a report")
    return folder


def applied(folder: Path, plan: Plan, *outcomes: Outcome | None, first: int = 0) -> None:
    """Leave a journal of an apply for each outcome, numbered from ``first``; None has not ended."""
    opened = Opened(
        by=Process("", "host", 1, "user"), cluster="small", plan="plan.json", file_sha256="2" * 64,
        plan_sha256=plan.sha256, snapshot_sha256="1" * 64, snapshot_taken_at="2026-11-22T00:00:00+00:00",
        executor="slurm", options="{}", approved_by="a person", comment="", notes=(), actions=plan.actions,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for number, outcome in enumerate(outcomes, start=first):
        entries: tuple[Entry, ...] = (opened,) if outcome is None else (opened, Ended(outcome))
        lines = [Line(place, "noon", "0" * 64, entry, "0" * 64) for place, entry in enumerate(entries)]
        text = b"\n".join(map(TypeAdapter(Line).dump_json, lines)) + b"\n"
        (folder / f"{number}-{plan.sha256[:12]}.jsonl").write_bytes(text)
