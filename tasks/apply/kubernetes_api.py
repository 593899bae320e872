"""How does an executor talk to a Kubernetes API server? In the API's own JSON, and with errors that a caller knows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from data.errors import ApplyFailed, BadSource, SourceUnavailable
from data.readers.json_file import parse_json_object
from tasks.report.plain import one_line

MANAGER = "quantumflow"
"""The field manager of server-side apply: which fields are ours."""

PAGE = 500
_TRIES = 5


@dataclass(frozen=True, slots=True)
class KubernetesApi:
    """Requests to one API server.

    Args:
        api: the client.
        timeout_s: seconds that each request may take.
    """

    api: Any
    timeout_s: float

    def job(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Return a batch/v1 Job, or None where there is none of that name."""
        return self._get(client.BatchV1Api(self.api).read_namespaced_job, "Job", namespace, name)

    def config_map(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Return a ConfigMap, or None where there is none of that name."""
        return self._get(client.CoreV1Api(self.api).read_namespaced_config_map, "ConfigMap", namespace, name)

    def pods(self, namespace: str, labels: dict[str, str]) -> list[dict[str, Any]]:
        """Return the pods that carry all of ``labels``."""
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        ask = client.CoreV1Api(self.api).list_namespaced_pod
        found: list[dict[str, Any]] = []
        following = ""
        while True:
            what = f"pods of {namespace} with {selector}"
            page = self._asked(what, ask, namespace, label_selector=selector, limit=PAGE, _continue=following or None)
            found += [item for item in page.get("items") or [] if isinstance(item, dict)]
            following = (page.get("metadata") or {}).get("continue") or ""
            if not following:
                return found

    def apply(self, document: dict[str, Any]) -> None:
        """Merge an object's fields into what is there, as ``kubectl apply --server-side --force-conflicts`` does.

        Raises:
            SourceUnavailable: the server does not answer.
            ApplyFailed: it refuses; the message says what it answered.
        """
        metadata = document["metadata"]
        if document["kind"] == "Job":
            patch = client.BatchV1Api(self.api).patch_namespaced_job
        else:
            patch = client.CoreV1Api(self.api).patch_namespaced_config_map
        self._asked(
            f"apply {document['kind']} {metadata['namespace']}/{metadata['name']}",
            patch,
            metadata["name"],
            metadata["namespace"],
            document,
            field_manager=MANAGER,
            force=True,
            field_validation="Strict",
            _content_type="application/apply-patch+yaml",
        )

    def change_data(self, namespace: str, name: str, change: Callable[[dict[str, str]], dict[str, Any]]) -> None:
        """Apply a ConfigMap made from the data that it holds; asked again where others changed it meanwhile.

        Raises:
            SourceUnavailable: see :meth:`apply`.
            ApplyFailed: see :meth:`apply`.
        """
        for left in reversed(range(_TRIES)):
            now = self.config_map(namespace, name) or {}
            document = change(dict(now.get("data") or {}))
            document["metadata"]["namespace"] = namespace
            if now:
                document["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"]
            try:
                return self.apply(document)
            except _Conflict:
                if not left:
                    raise
        return None

    def _get(self, read: Callable[..., Any], kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        try:
            return self._asked(f"read {kind} {namespace}/{name}", read, name, namespace)
        except _Missing:
            return None

    def _asked(self, what: str, request: Callable[..., Any], *words: Any, **options: Any) -> dict[str, Any]:
        given = {key: value for key, value in options.items() if value is not None}
        try:
            # undecoded: the client's models would rename every field
            answer = request(*words, **given, _request_timeout=self.timeout_s, _preload_content=False)
            return parse_json_object(answer.data, what)
        except client.ApiException as error:
            raise _failure(what, error) from error
        except (HTTPError, OSError, BadSource) as error:
            raise SourceUnavailable(f"Kubernetes: {what}: {one_line(str(error))}") from error


@contextmanager
def connected(context: str | None, timeout_s: float) -> Iterator[KubernetesApi]:
    """Yield the API of a kubeconfig context, or of the cluster that this process runs in.

    Args:
        context: name in the kubeconfig; None takes its current one, else the service account of the pod.
        timeout_s: seconds that each request may take.

    Raises:
        SourceUnavailable: there is no configuration.
    """
    try:
        api = config.new_client_from_config(context=context)
    except (config.ConfigException, OSError) as outside:
        if context is not None:
            raise SourceUnavailable(f"kubeconfig, context {context}: {outside}") from outside
        inside = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=inside)
        except config.ConfigException as error:
            raise SourceUnavailable(f"no kubeconfig ({outside}) and not in a cluster ({error})") from error
        api = client.ApiClient(inside)
    try:
        yield KubernetesApi(api, timeout_s)
    finally:
        api.close()


class _Missing(ApplyFailed):
    """There is no object of that name."""


class _Conflict(ApplyFailed):
    """Somebody else changed the object since it was read."""


def _failure(what: str, error: Any) -> Exception:
    status = error.status or 0
    try:
        said = str(parse_json_object(error.body or b"", what).get("message", ""))
    except BadSource:
        said = str(error.reason)
    message = f"Kubernetes: {what}: {status} {one_line(said)}"
    if status == 404:
        return _Missing(message)
    if status == 409:
        return _Conflict(f"{message} (it was changed or replaced meanwhile)")
    return SourceUnavailable(message) if status in (0, 401, 408, 429) or status >= 500 else ApplyFailed(message)
