"""What is the answer to a body? The same readers and functions as the flows use, on files of a folder of our own."""

import json
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from data.digest import snapshot_digest
from data.errors import BadRecord, BadSource, PlanRefused, SourceUnavailable
from data.readers.expert_graph import read_expert_graph
from data.readers.plan import check_fresh, read_plan
from data.readers.snapshot import read_snapshot
from data.readers.tokens import read_tokens
from data.readers.transfers import read_transfers
from data.schemas.plan import Compress
from data.schemas.transfers import ROUND_SCHEDULE
from flows.params import EFFORTS
from flows.service.bodies import NotJson, form_of, read_json
from flows.service.forms import PlanAnswer, PlanForm, RoundsForm, SnapshotAnswer, TokensForm
from flows.service.refusals import Answer, Problem, refusal
from qiskit_solvers.anneal import Anneal
from tasks.route_tokens import route, write_routing
from tasks.schedule_transfers import Sending, schedule_transfers
from tasks.token_routing.settings import settings_of
from tasks.validate import validate

Kind = Literal["tokens", "plan", "snapshot", "rounds"]

MOST_EXPERTS = 4096
"""Distances are between each pair."""

MOST_TOLD = 100
"""Problems that are named; a mended body gets the next ones."""

_PLAN = TypeAdapter(PlanAnswer)
_SNAPSHOT = TypeAdapter(SnapshotAnswer)


def answer(kind: str, body: bytes, folder: Path) -> Answer:
    """Return the answer to ``body``; whatever is wrong with it is told, never raised.

    Args:
        kind: what is asked.
        body: as it came.
        folder: where its parts are put, under names that messages may show; nothing else may use it meanwhile.
    """
    try:
        return Answer(200, _ANSWERS[kind](body, folder))  # type: ignore[index]  # of the four kinds
    except NotJson as error:
        return refusal(400, "NotJson", "the body cannot be read as JSON", _problems(error.records, folder))
    except BadSource as error:
        message = f"{len(error.records)} problem(s) with the body"
        return refusal(422, "BadSource", message, _problems(error.records, folder))
    except BadRecord as error:
        return refusal(422, "BadRecord", _named(str(error), folder), _problems([error], folder))
    except PlanRefused as error:
        return refusal(422, "PlanRefused", _named(str(error), folder))
    except MemoryError:
        return refusal(413, "TooLarge", "the body takes more memory than a worker has; run the deployment instead")
    except (OSError, SourceUnavailable) as error:
        return refusal(503, "SourceUnavailable", f"the service cannot keep the body: {error}")
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return refusal(500, "Defect", f"{type(error).__name__}: a defect of the service; its log has the trace")


def _tokens(body: bytes, folder: Path) -> bytes:
    form = form_of(body, TokensForm)
    count = form.model_graph.get("num_experts", form.model_graph.get("experts"))
    nodes = form.model_graph.get("nodes")
    for name, size in (("num_experts", count), ("nodes", len(nodes) if isinstance(nodes, list) else None)):
        if type(size) is int and size > MOST_EXPERTS:
            raise BadRecord(f"model_graph: {name}", f"at most {MOST_EXPERTS} in an answer at once", size)
    graph = read_expert_graph(_kept(folder / "model_graph", form.model_graph))
    reading = read_tokens(_kept(folder / "tokens", form.tokens), graph)
    rng = np.random.default_rng(0)  # the methods of the form leave nothing to chance
    effort = EFFORTS["quick"]  # nor do they refine
    routed = route(reading.tokens, graph, settings_of(form.method), rng, effort=effort)
    set_aside = [str(record) for record in reading.set_aside]
    path = folder / "answer"
    write_routing(path, reading.tokens, graph, routed, left_out=reading.left_out, set_aside=set_aside)
    return path.read_bytes()


def _plan(body: bytes, folder: Path) -> bytes:
    form = form_of(body, PlanForm)
    plan = read_plan(_kept(folder / "plan", form.plan))
    snapshot = read_snapshot(_kept(folder / "snapshot", form.snapshot)).snapshot
    check_fresh(plan, snapshot)
    verdict = validate(plan, snapshot, None)
    archives = any(isinstance(action, Compress) for action in plan.actions)
    return _PLAN.dump_json(
        PlanAnswer(
            plan_sha256=plan.sha256,
            snapshot_sha256=plan.snapshot_sha256,
            passed=verdict.passed,
            checks=verdict.checks,
            not_examined=("archives",) if archives else (),
        )
    )


def _snapshot(body: bytes, folder: Path) -> bytes:
    read_json(body)  # the reader would refuse the same, but as a problem of the snapshot
    path = folder / "snapshot"
    path.write_bytes(body)
    reading = read_snapshot(path)
    state = reading.snapshot
    return _SNAPSHOT.dump_json(
        SnapshotAnswer(
            passed=not reading.set_aside,
            sha256=snapshot_digest(state),
            nodes=len(state.nodes),
            gpus=sum(node.gpus for node in state.nodes),
            jobs=len(state.jobs),
            deployments=len(state.deployments),
            checkpoints=len(state.checkpoints),
            problems=_problems(reading.set_aside, folder),
        )
    )


def _rounds(body: bytes, folder: Path) -> bytes:
    form = form_of(body, RoundsForm)
    path = _kept(folder / "transfers", {"transfers": form.transfers})
    transfers = read_transfers(path, gigabytes=form.gigabytes, bandwidth_gb_per_s=form.bandwidth_gb_per_s)
    sending = Sending(form.rounds, form.planes, form.duplex, form.cut, form.method)
    rng = np.random.default_rng(form.seed)
    try:
        schedule = schedule_transfers(transfers, Anneal(), rng, effort=EFFORTS[form.effort], sending=sending)
    except ValueError as error:
        raise BadRecord("transfers", "transfers that can be scheduled", str(error)) from error
    return ROUND_SCHEDULE.dump_json(replace(schedule, source=path.name))


_ANSWERS: dict[Kind, Callable[[bytes, Path], bytes]] = {
    "tokens": _tokens,
    "plan": _plan,
    "snapshot": _snapshot,
    "rounds": _rounds,
}


def _kept(path: Path, part: Any) -> Path:
    """Put a part of a body into a file, and return where."""
    path.write_text(json.dumps(part), encoding="ascii")
    return path


def _problems(records: Sequence[BadRecord], folder: Path) -> tuple[Problem, ...]:
    return tuple(Problem(_named(record.path, folder), record.expected, record.found) for record in records[:MOST_TOLD])


def _named(text: str, folder: Path) -> str:
    """Return a message without the folder, which is none of the caller's business."""
    return text.replace(f"{folder}/", "")
