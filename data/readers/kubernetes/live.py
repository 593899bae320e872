"""What is the state of a Kubernetes cluster now? The same lists, asked of its API server.

The client takes a second to import; only who asks a cluster imports this module.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from data.errors import SourceUnavailable
from data.readers.json_file import parse_json_object
from data.readers.kubernetes.cluster import UNLIMITED_S, reading_of_lists
from data.readers.kubernetes.objects import text
from data.readers.reading import Reading
from data.schemas.cluster import Limits

PAGE = 500
"""Objects asked for at a time, as ``kubectl`` does."""


def read_kubernetes_live(
    *,
    context: str | None,
    timeout_s: float = 30.0,
    cluster: str | None = None,
    tolerated_taints: frozenset[str] = frozenset(),
    unlimited_s: float = UNLIMITED_S,
    limits: Limits | None = None,
) -> Reading:
    """Read the cluster of a kubeconfig context, or the one that this process runs in.

    Needs the right to list nodes, pods and (optionally) pod disruption budgets.

    Args:
        context: name in the kubeconfig; None takes its current one, else the service account of the pod.
        timeout_s: seconds that each request may take.
        cluster: name of the cluster; None takes the context's, ``kubernetes`` inside a cluster.
        tolerated_taints: see :func:`read_kubernetes_files`.
        unlimited_s: remaining seconds of a pod without a deadline.
        limits: what a plan must keep to.

    Raises:
        SourceUnavailable: there is no configuration, or the API does not answer or refuses.
        BadSource: no node with GPUs is left.
    """
    api = _connect(context)
    core, policy = client.CoreV1Api(api), client.PolicyV1Api(api)
    try:
        lists = [
            ("nodes", _list(core.list_node, "nodes", timeout_s)),
            ("pods", _list(core.list_pod_for_all_namespaces, "pods", timeout_s)),
        ]
        extra: tuple[str, ...] = ()
        try:
            budgets = _list(policy.list_pod_disruption_budget_for_all_namespaces, "budgets", timeout_s)
            lists.append(("budgets", budgets))
        except SourceUnavailable as error:
            extra = (f"disruption budgets were not heeded: {error}",)
    finally:
        api.close()
    now = datetime.now(UTC).replace(microsecond=0).isoformat()
    name = cluster or context or _current_context() or "kubernetes"
    reading = reading_of_lists("Kubernetes", lists, now, name, tolerated_taints, unlimited_s, limits)
    return replace(reading, notes=(*reading.notes, *extra))


def _current_context() -> str | None:
    """Return the name of the kubeconfig's current context; None where there is no kubeconfig."""
    try:
        _, current = config.list_kube_config_contexts()
    except (config.ConfigException, OSError):
        return None
    return str(current["name"])


def _connect(context: str | None) -> Any:
    try:
        return config.new_client_from_config(context=context)
    except (config.ConfigException, OSError) as problem:
        if context is not None:
            raise SourceUnavailable(f"kubeconfig, context {context}: {problem}") from problem
        outside = problem
    inside = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=inside)
    except config.ConfigException as problem:
        raise SourceUnavailable(f"no kubeconfig ({outside}) and not in a cluster ({problem})") from problem
    return client.ApiClient(inside)


def _list(request: Callable[..., Any], name: str, timeout_s: float) -> dict[str, Any]:
    """Return all pages of a list as the API's own JSON, which is what ``kubectl -o json`` prints."""
    found: list[Any] = []
    following = ""
    while True:
        try:
            # undecoded: the client's models would rename every field, only to be turned back
            answer = request(
                limit=PAGE, _continue=following or None, _request_timeout=timeout_s, _preload_content=False
            )
            page = parse_json_object(answer.data, name)
        except (client.ApiException, HTTPError, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise SourceUnavailable(
                f"Kubernetes, list of {name}: {getattr(error, 'status', None) or ''} {reason}"
            ) from error
        found += page.get("items") or []
        following = text(page, "metadata", "continue")
        if not following:
            return {"items": found}
