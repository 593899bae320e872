"""Which pods belong together, and which of them may be moved?"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from data.readers.kubernetes.objects import listing, mapping, part, text

MOVABLE = "quantumflow/movable"

_GROUPS: tuple[tuple[str, str], ...] = (
    ("annotations", "scheduling.k8s.io/group-name"),  # Volcano and kube-batch
    ("labels", "scheduling.k8s.io/group-name"),
    ("labels", "scheduling.x-k8s.io/pod-group"),  # scheduler-plugins, coscheduling
    ("labels", "pod-group.scheduling.sigs.k8s.io"),  # the same, before 0.22
    ("annotations", "pod-group-name"),  # KAI scheduler
    ("labels", "kueue.x-k8s.io/pod-group-name"),
)
_OWNERS: tuple[str, ...] = (
    "jobset.sigs.k8s.io/jobset-name",
    "training.kubeflow.org/job-name",
    "trainer.kubeflow.org/trainjob-name",
    "volcano.sh/job-name",
    "ray.io/cluster",
    "batch.kubernetes.io/job-name",
    "job-name",
)


def group_of(pod: dict[str, Any]) -> str:
    """Return the name of the gang that the pod belongs to, or an empty string.

    The first of these that is set: the PodGroup in ``spec.schedulingGroup`` (Kubernetes 1.35), a PodGroup of Volcano,
    coscheduling, KAI or Kueue, one replica of a LeaderWorkerSet, a JobSet, a training job (Kubeflow, Volcano, Ray),
    a batch Job. Pods of Deployments and StatefulSets stand alone: their replicas do not wait for one another.
    """
    native = text(pod, "spec", "schedulingGroup", "podGroupName")
    if native:
        return native
    for place, key in _GROUPS:
        name = text(pod, "metadata", place, key)
        if name:
            return name
    labels = mapping(pod, "metadata", "labels")
    leader = labels.get("leaderworkerset.sigs.k8s.io/name", "")
    if leader:
        return f"{leader}-{labels.get('leaderworkerset.sigs.k8s.io/group-index', '0')}"
    return next((labels[key] for key in _OWNERS if labels.get(key)), "")


def blocking(budgets: Sequence[dict[str, Any]]) -> Mapping[str, Sequence[dict[str, Any]]]:
    """Return the PodDisruptionBudgets that allow no disruption now, by namespace."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for budget in budgets:
        if text(budget, "status", "disruptionsAllowed") == "0":
            found[text(budget, "metadata", "namespace")].append(budget)
    return found


def is_movable(pod: dict[str, Any], blocks: Mapping[str, Sequence[dict[str, Any]]]) -> bool:
    """Tell whether the pod may be stopped and started elsewhere.

    It may not where an annotation forbids it (ours, the cluster autoscaler's, Karpenter's), where nothing would
    create it anew (no owner), where it belongs to its node (DaemonSet, static pod, a host name in the node selector),
    or where a PodDisruptionBudget allows no disruption.

    Args:
        pod: the pod.
        blocks: see :func:`blocking`.
    """
    notes = mapping(pod, "metadata", "annotations")
    forbidden = (
        notes.get(MOVABLE) == "false"
        or notes.get("cluster-autoscaler.kubernetes.io/safe-to-evict") == "false"
        or notes.get("karpenter.sh/do-not-disrupt") == "true"
    )
    owners = {text(owner, "kind") for owner in listing(pod, "metadata", "ownerReferences")}
    pinned = "kubernetes.io/hostname" in mapping(pod, "spec", "nodeSelector")
    if forbidden or pinned or not owners or owners & {"DaemonSet", "Node"}:
        return False
    return not any(_covers(budget, pod) for budget in blocks.get(text(pod, "metadata", "namespace"), ()))


def _covers(budget: dict[str, Any], pod: dict[str, Any]) -> bool:
    """Tell whether the budget's selector matches the pod's labels."""
    labels = mapping(pod, "metadata", "labels")
    wanted = mapping(budget, "spec", "selector", "matchLabels")
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_matches(rule, labels) for rule in listing(budget, "spec", "selector", "matchExpressions"))


def _matches(rule: dict[str, Any], labels: dict[str, str]) -> bool:
    key, listed = text(rule, "key"), part(rule, "values")
    values = listed if isinstance(listed, list) else []
    match text(rule, "operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return True
