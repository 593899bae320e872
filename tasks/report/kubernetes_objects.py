"""What do the objects look like that carry a plan out on Kubernetes, in a file as well as through the API?"""

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from data.schemas.job import Worker
from data.schemas.plan import Migrate, MoveReplicas, Place
from tasks.report.order import loads, split_anew
from tasks.report.plain import one_line

STEP = "quantumflow/step"
"""Label by which a step is chosen."""


def layer_data(action: MoveReplicas) -> dict[str, str]:
    """Return what one layer holds in the end, the steps that lead there, and the shares if they change."""
    ordered_loads = loads(action)  # refuses an action whose slots and experts differ in number
    held = {str(slot): expert for slot, expert in zip(action.slots, action.after, strict=True)}
    data = {f"layer-{action.layer}.json": json.dumps(held)}
    if action.order:
        ordered = [
            [{"slot": load.slot, "expert": load.expert, "spare": load.staged} for load in step]
            for step in ordered_loads
        ]
        data[f"layer-{action.layer}.steps.json"] = json.dumps(ordered)
    shares = split_anew(action)
    if shares is not None:
        data[f"layer-{action.layer}.shares.json"] = json.dumps({str(slot): share for slot, share in shares})
    return data


def job_document(action: Migrate | Place, step: str, *, suspend: bool, workers: Sequence[Worker]) -> dict[str, Any]:
    """Return a batch/v1 Job with what ``action`` decides: whether it is suspended, and on which nodes it may run."""
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


def config_map(name: str, step: str, meaning: str, data: dict[str, str]) -> dict[str, Any]:
    """Return a ConfigMap of step ``step``, whose annotation says what ``data`` means."""
    metadata = {
        "name": f"quantumflow-{object_name(name)}",
        "labels": {STEP: step},
        "annotations": {"quantumflow/meaning": meaning},
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def key_of(text: str) -> str:
    """Return ``text`` as a key of a ConfigMap: letters, digits, dash, dot, underscore; told apart by a digest."""
    safe = re.sub(r"[^-._a-zA-Z0-9]", ".", text)
    if safe == text and len(safe) <= 200:
        return safe
    return f"{safe[:200]}.{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def object_name(text: str) -> str:
    """Return ``text`` as a name of an object: lower case, digits, dashes; told apart by a digest."""
    safe = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:200]
    return safe if safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def stamp(unix_s: int) -> str:
    """Return a Unix time in seconds as Kubernetes writes times."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
