"""What is in force for a batch/v1 Job, on which side of an action does it stand, and may it be changed?"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data.errors import ApplyFailed
from data.readers.kubernetes.objects import listing, mapping, part, text
from data.schemas.job import Worker
from data.schemas.plan import Migrate, Place
from tasks.apply.kubernetes_api import MANAGER, KubernetesApi
from tasks.report.kubernetes_objects import job_document
from tasks.report.plain import one_line

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_QUEUED = "kueue.x-k8s.io/queue-name"


@dataclass(frozen=True, slots=True)
class KubernetesJob:
    """What the API tells of a Job that has not ended.

    Args:
        namespace: of the Job.
        name: of the Job.
        uid: of this very Job; one that is made anew under the name has another.
        suspended: it is not to have pods.
        started: it has a start time, so its pods' template cannot change.
        bound: how many of its pods stand on each node.
        pods: that exist and have not ended, bound or not.
        running: of these, how many run.
        asked: nodes that its pods must get, as a plan asked.
        foreign: why a plan must not place it; empty where it may.
    """

    namespace: str
    name: str
    uid: str
    suspended: bool
    started: bool
    bound: Counter[str]
    pods: int
    running: int
    asked: frozenset[str]
    foreign: str

    def told(self) -> str:
        """Return it in a line."""
        parts = ["suspended" if self.suspended else "active", f"{self.pods} pods"]
        if self.bound:
            parts.append("on " + ",".join(f"{node}:{count}" for node, count in sorted(self.bound.items())))
        if self.asked:
            parts.append(f"asks for {','.join(sorted(self.asked))}")
        if self.foreign:
            parts.append(self.foreign)
        return one_line(", ".join(parts))

    def document(self, action: Migrate | Place, phase: str, *, suspend: bool, nodes: Sequence[str]) -> dict[str, Any]:
        """Return what is applied to it: whether it is suspended, and the nodes that it must get, or none."""
        workers = [Worker(node, (0,)) for node in nodes]
        document = job_document(action, phase, suspend=suspend, workers=workers)
        # without its uid the name of a Job that has gone meanwhile would be created
        document["metadata"].update(namespace=self.namespace, name=self.name, uid=self.uid)
        return document


def find_job(api: KubernetesApi, job: str) -> KubernetesJob | None:
    """Return what the API tells of a Job; None where it is gone, or has ended.

    Raises:
        SourceUnavailable: the server does not answer.
        ApplyFailed: ``job`` is no namespace and name, or the server refuses to tell.
    """
    namespace, name = job_name(job)
    found = api.job(namespace, name)
    if found is None or _condition(found, "Complete") or _condition(found, "Failed"):
        return None
    labels = mapping(found, "spec", "selector", "matchLabels")
    pods = api.pods(namespace, labels) if labels else []
    alive = [pod for pod in pods if text(pod, "status", "phase") not in ("Succeeded", "Failed")]
    affinity = part(found, "spec", "template", "spec", "affinity")
    asked = _asked(affinity)
    ours = any(text(entry, "manager") == MANAGER for entry in listing(found, "metadata", "managedFields"))
    foreign = ""
    if mapping(found, "metadata", "labels").get(_QUEUED):
        foreign = "queued by Kueue, which alone suspends and starts it"
    elif asked is None or (asked and not ours):
        foreign = "with a node affinity of its own"
    return KubernetesJob(
        namespace=namespace,
        name=name,
        uid=text(found, "metadata", "uid"),
        suspended=part(found, "spec", "suspend") is True,
        started=bool(text(found, "status", "startTime")),
        bound=Counter(text(pod, "spec", "nodeName") for pod in alive if text(pod, "spec", "nodeName")),
        pods=len(alive),
        running=sum(text(pod, "status", "phase") == "Running" for pod in alive),
        asked=asked or frozenset(),
        foreign=foreign,
    )


def failure_of(api: KubernetesApi, job: str) -> str | None:
    """Return why a Job failed; None where it did not, or is gone.

    Raises:
        SourceUnavailable: the server does not answer.
        ApplyFailed: ``job`` is no namespace and name, or the server refuses to tell.
    """
    found = api.job(*job_name(job))
    failed = None if found is None else _condition(found, "Failed")
    return None if failed is None else text(failed, "reason") or "no reason given"


def _condition(job: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Return a condition of a Job that holds; None where it does not."""
    held = (each for each in listing(job, "status", "conditions") if text(each, "type") == name)
    return next((each for each in held if text(each, "status") == "True"), None)


def runs_on(job: KubernetesJob, workers: Sequence[Worker]) -> bool:
    """Tell whether a pod for each of ``workers`` stands on its node, and no other; GPU indexes are not told."""
    return not job.suspended and bool(workers) and job.bound == Counter(worker.node for worker in workers)


def given(job: KubernetesJob, workers: Sequence[Worker]) -> bool:
    """Tell whether a job that waited has what a plan gives it: it waits for these nodes, or runs on them.

    Of no workers: it waits, and may get any nodes.
    """
    if job.bound or not workers:
        return runs_on(job, workers) if workers else not job.bound and not job.asked and not job.suspended
    return not job.suspended and job.asked == {worker.node for worker in workers}


def waits(job: KubernetesJob) -> bool:
    """Tell whether a job waits, and for nodes that nobody chose but an earlier plan."""
    return not job.bound and not job.foreign and not job.suspended


def all_run(job: KubernetesJob, workers: Sequence[Worker]) -> bool:
    """Tell whether the pods of a moved job run where they are wanted."""
    return runs_on(job, workers) and job.running == len(workers)


def is_stopped(job: KubernetesJob) -> bool:
    """Tell whether a suspended job may get another template: the API server refuses before."""
    return job.suspended and not job.pods and not job.started


def check_movable(job: KubernetesJob, *places: Sequence[Worker]) -> None:
    """Refuse a job that others steer, or that runs where the plan does not know it.

    Raises:
        ApplyFailed: saying what was expected and what was found.
    """
    known = any(set(job.bound) == {worker.node for worker in workers} for workers in places)
    if job.foreign or (job.bound and not job.suspended and not known):
        raise ApplyFailed(
            f"Job {job.namespace}/{job.name}: expected it to run where the plan found it or puts it, found {job.told()}"
        )


def job_name(job: str) -> tuple[str, str]:
    """Return namespace and name of a Job.

    Raises:
        ApplyFailed: it has no such names; only batch/v1 Jobs can be carried out.
    """
    namespace, _, name = job.rpartition("/")
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(namespace):
        raise ApplyFailed(
            f"job {one_line(job)}: expected the namespace and name of a batch/v1 Job, such as team/train-7"
        )
    return namespace, name


def node_names(workers: Sequence[Worker]) -> tuple[str, ...]:
    """Return the nodes of ``workers``, each once.

    Raises:
        ApplyFailed: one has a name that no node can have.
    """
    names = tuple(dict.fromkeys(worker.node for worker in workers))
    for name in names:
        if not _NAME.fullmatch(name):
            raise ApplyFailed(f"node {one_line(name)}: expected the name of a node")
    return names


def _asked(affinity: Any) -> frozenset[str] | None:
    """Return the nodes that an affinity names one by one, none where there is no affinity, None where it says more."""
    if not affinity:
        return frozenset()
    required = part(affinity, "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    nodes: set[str] = set()
    if required is None:
        return frozenset()
    for term in listing(required, "nodeSelectorTerms"):
        fields = listing(term, "matchFields")
        values = part(fields[0], "values") if len(fields) == 1 and len(term) == 1 else None
        if not isinstance(values, list) or text(fields[0], "key") != "metadata.name":
            return None
        nodes.update(map(str, values))
    return frozenset(nodes)
