"""How is a plan carried out on a Kubernetes cluster? As objects to apply step by step, by server-side apply.

Each object holds only the fields that the plan decides; server-side apply merges them into what is there. A step is
chosen by its label, so that one file holds the way there and the way back, and applying it as a whole is not asked for.
"""

import json
from collections.abc import Sequence
from typing import Any

import yaml

from data.schemas.plan import Action, Compress, Migrate, MoveReplicas, Place, Plan, Recap, Start
from tasks.report.kubernetes_objects import STEP, config_map, job_document, key_of, layer_data, stamp
from tasks.report.order import steps, taken_at
from tasks.report.plain import one_line
from tasks.report.script import about

FILE = "plan.kubernetes.yaml"

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
                job_document(action, f"{name}-{phase}", suspend=suspend, workers=action.after if placed else ())
                for action in moves
            ]
        places = [action for action in step if isinstance(action, Place)]
        back = [action for action in places if not action.after]
        documents += [job_document(action, f"{name}-stop", suspend=True, workers=()) for action in back]
        documents += [job_document(action, f"{name}-release", suspend=False, workers=()) for action in back]
        documents += [
            job_document(action, f"{name}-place", suspend=action.job in later, workers=action.after)
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
                caps[key_of(action.job)] = "max" if action.after is None else f"{action.after:.10g}"
            case Start():
                starts[key_of(action.job)] = "" if action.after is None else stamp(taken_s + round(action.after))
            case MoveReplicas():
                experts.setdefault(action.deployment, {}).update(layer_data(action))
            case Compress() if action.after is not None:
                archive = {"path": action.after.path, "sha256": action.after.sha256, "bytes": action.after.size_bytes}
                archives[key_of(action.checkpoint)] = json.dumps(archive)
            case _:
                pass
    documents = [
        config_map(kind, f"{way}-{kind}", meaning, data)
        for kind, meaning, data in (
            ("power-caps", "watts of each GPU of a job, or max", caps),
            ("start-times", "earliest start of a pending job; empty: not scheduled", starts),
            ("archives", "verified archives of checkpoints", archives),
        )
        if data
    ]
    return documents + [
        config_map(f"experts-{key_of(deployment)}", f"{way}-experts", "expert in each slot that changes", data)
        for deployment, data in experts.items()
    ]


def _written(document: dict[str, Any]) -> str:
    return "---\n" + str(yaml.safe_dump(document, sort_keys=False, width=200))
