"""How is a plan carried out on a Kubernetes cluster? As objects to apply step by step, by server-side apply.

Each object holds only the fields that the plan decides; server-side apply merges them into what is there. A step is
chosen by its label, so that one file holds the way there and the way back, and applying it as a whole is not asked for.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from data.schemas.job import Worker
from data.schemas.plan import Action, Compress, Migrate, MoveReplicas, Place, Plan, Recap, Start
from tasks.report.order import loads, split_anew, steps, taken_at
from tasks.report.plain import one_line
from tasks.report.script import about

FILE = "plan.kubernetes.yaml"
STEP = "quantumflow/step"

_ADVICE = (
    "Jobs are written as batch/v1 Jobs under the name that the plan gives them; where a gang is a JobSet, a training",
    "job or a group of pods, change apiVersion and kind: the fields of the pod template are the same.",
    "A Job's node affinity may change while it is suspended and has no start time. Older API servers refuse it for a",
    "Job that has run once: delete it and create it anew with the affinity below. Jobs resume from their checkpoints.",
    "Jobs that start later stay suspended. ConfigMaps tell start times, caps, expert maps and archives to whoever acts",
    "on them; Kubernetes itself knows none of these. Experts are loaded step by step, so that each stays served; spare",
    "means into a spare buffer while the slot serves on. Shares that are empty mean an even split.",
)


def as_kubernetes(plan: Plan) -> str:
    """Return ``plan`` as a stream of YAML documents under a comment that says how to apply them.

    Raises:
        BadRecord: the plan does not tell the time of its snapshot.
    """
    taken_s = taken_at(plan)
    ways = {"apply": _documents(plan.actions, "apply", taken_s), "undo": _documents(plan.inverse, "undo", taken_s)}
    lines = [
        f"Plan for {one_line(plan.cluster)} as Kubernetes objects. REVIEW BEFORE APPLYING, step by step.",
        "",
        *about(plan),
        "",
        *_ADVICE,
    ]
    apply = f'kubectl apply --server-side --force-conflicts --field-manager=quantumflow -f {FILE} -l "{STEP}=$1"'
    lines += ["", f"  step() {{ {apply}; }}   # add --dry-run=server to try"]
    for way, title in (("apply", "The way there:"), ("undo", "The way back:")):
        lines += ["", title]
        names = list(dict.fromkeys(document["metadata"]["labels"][STEP] for document in ways[way]))
        waits = "   # and wait until the pods of these jobs are gone"
        lines += [f"  step {name}{waits if name.endswith('-stop') else ''}" for name in names]
        if not names:
            lines.append("  nothing to do")
    head = "\n".join(f"# {line}".rstrip() for line in lines)
    documents = [document for each in ways.values() for document in each]
    return "".join([f"{head}\n", *(_written(document) for document in documents)])


def _documents(actions: Sequence[Action], way: str, taken_s: int) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = []
    later = {action.job for action in actions if isinstance(action, Start) and action.after != 0}
    moving = [step for step in steps(actions) if isinstance(step[0], Migrate | Place)]
    for number, step in enumerate(moving, start=1):
        name = f"{way}-{number:03d}"
        moves = [action for action in step if isinstance(action, Migrate)]
        for phase, suspend, placed in (("stop", True, False), ("place", True, True), ("start", False, True)):
            documents += [
                _job(action, f"{name}-{phase}", suspend=suspend, workers=action.after if placed else ())
                for action in moves
            ]
        places = [action for action in step if isinstance(action, Place)]
        back = [action for action in places if not action.after]
        documents += [_job(action, f"{name}-stop", suspend=True, workers=()) for action in back]
        documents += [_job(action, f"{name}-release", suspend=False, workers=()) for action in back]
        documents += [
            _job(action, f"{name}-place", suspend=action.job in later, workers=action.after)
            for action in places
            if action.after
        ]
    return documents + _maps(actions, way, taken_s)


def _maps(actions: Sequence[Action], way: str, taken_s: int) -> list[dict[str, Any]]:
    """Return the ConfigMaps: one of each kind, since a second would replace the first, and one per deployment."""
    caps: dict[str, str] = {}
    starts: dict[str, str] = {}
    archives: dict[str, str] = {}
    experts: dict[str, dict[str, str]] = {}
    for action in actions:
        match action:
            case Recap():
                caps[_key(action.job)] = "max" if action.after is None else f"{action.after:.10g}"
            case Start():
                starts[_key(action.job)] = "" if action.after is None else _time(taken_s + round(action.after))
            case MoveReplicas():
                experts.setdefault(action.deployment, {}).update(_layer(action))
            case Compress() if action.after is not None:
                archive = {"path": action.after.path, "sha256": action.after.sha256, "bytes": action.after.size_bytes}
                archives[_key(action.checkpoint)] = json.dumps(archive)
            case _:
                pass
    documents = [
        _config_map(kind, f"{way}-{kind}", meaning, data)
        for kind, meaning, data in (
            ("power-caps", "watts of each GPU of a job, or max", caps),
            ("start-times", "earliest start of a pending job; empty: not scheduled", starts),
            ("archives", "verified archives of checkpoints", archives),
        )
        if data
    ]
    return documents + [
        _config_map(f"experts-{_key(deployment)}", f"{way}-experts", "expert in each slot that changes", data)
        for deployment, data in experts.items()
    ]


def _layer(action: MoveReplicas) -> dict[str, str]:
    """Return what one layer holds in the end, the steps that lead there, and the shares if they change."""
    held = {str(slot): expert for slot, expert in zip(action.slots, action.after, strict=True)}
    data = {f"layer-{action.layer}.json": json.dumps(held)}
    if action.order:
        ordered = [
            [{"slot": load.slot, "expert": load.expert, "spare": load.staged} for load in step]
            for step in loads(action)
        ]
        data[f"layer-{action.layer}.steps.json"] = json.dumps(ordered)
    shares = split_anew(action)
    if shares is not None:
        data[f"layer-{action.layer}.shares.json"] = json.dumps({str(slot): share for slot, share in shares})
    return data


def _job(action: Migrate | Place, step: str, *, suspend: bool, workers: Sequence[Worker]) -> dict[str, Any]:
    namespace, _, name = action.job.rpartition("/")
    metadata: dict[str, Any] = {"name": name, "labels": {STEP: step}}
    if namespace:
        metadata["namespace"] = namespace
    metadata["annotations"] = {"quantumflow/reason": one_line(action.reason)}
    spec: dict[str, Any] = {"suspend": suspend}
    if workers:
        nodes = dict.fromkeys(worker.node for worker in workers)
        # a field selector takes one node each; terms are alternatives
        terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]} for node in nodes]
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        spec["template"] = {"spec": {"affinity": {"nodeAffinity": required}}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _config_map(name: str, step: str, meaning: str, data: dict[str, str]) -> dict[str, Any]:
    metadata = {
        "name": f"quantumflow-{_object_name(name)}",
        "labels": {STEP: step},
        "annotations": {"quantumflow/meaning": meaning},
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _key(text: str) -> str:
    """Return ``text`` as a key of a ConfigMap: letters, digits, dash, dot, underscore; told apart by a digest."""
    safe = re.sub(r"[^-._a-zA-Z0-9]", ".", text)
    if safe == text and len(safe) <= 200:
        return safe
    return f"{safe[:200]}.{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _object_name(text: str) -> str:
    """Return ``text`` as a name of an object: lower case, digits, dashes; told apart by a digest."""
    safe = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:200]
    return safe if safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _time(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _written(document: dict[str, Any]) -> str:
    return "---\n" + str(yaml.safe_dump(document, sort_keys=False, width=200))
