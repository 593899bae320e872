"""A small API server for Jobs, pods and ConfigMaps, with the controllers behind it; no part of it is the product's.

It stores objects, merges server-side apply by field owners, checks objects against the schemas of Kubernetes, refuses
changes of a template while a Job is not suspended or still has a start time, and plays controller and scheduler: at
every request the world goes on by one step.
"""

import copy
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate

VERSION = "1.33"


class Refused(Exception):
    """What the server answers instead: an HTTP status and a message."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class World:
    """Objects by (kind, namespace, name); ``room`` is how many pods each node takes."""

    def __init__(self, room):
        self.room = dict(room)
        self.objects = {}
        self.pods = {}
        self.owners = {}
        self.version = 0
        self.requests = []
        self.refusing = {}
        self.stuck = set()
        self.interfering = None

    def add_job(self, name, pods, namespace="team", template=None, **spec):
        container = {"name": "train", "image": "train:1", "resources": {"limits": {"nvidia.com/gpu": "8"}}}
        inner = {"restartPolicy": "Never", "containers": [container], **(template or {})}
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "managedFields": []},
            "spec": {
                "parallelism": pods,
                "completions": pods,
                "suspend": False,
                "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": f"uid-{name}"}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": inner},
                **spec,
            },
            "status": {},
        }
        self._put(job)
        self.settle()

    def settle(self):
        for _ in range(6):
            self.step()

    def job(self, name, namespace="team"):
        return self.objects["Job", namespace, name]

    def nodes(self, name, namespace="team"):
        found = [pod["spec"].get("nodeName", "") for pod in self.pods.values() if pod["metadata"]["job"] == name]
        return sorted(found)

    def data(self, name, namespace="default"):
        return self.objects["ConfigMap", namespace, name]["data"]

    # ---- what the API server does ----

    def read(self, kind, namespace, name):
        found = self.objects.get((kind, namespace, name))
        if found is None:
            raise Refused(404, f'{kind.lower()}s "{name}" not found')
        return found

    def apply(self, kind, namespace, name, body, manager, force):
        old = self.objects.get((kind, namespace, name))
        given = body["metadata"]
        if body["kind"] != kind or (given["name"], given.get("namespace", namespace)) != (name, namespace):
            raise Refused(400, "the name of the object does not match the request")
        for key, now in (("uid", (old or {}).get("metadata", {}).get("uid")), ("resourceVersion", self._version(old))):
            if key in given and given[key] != now:
                raise Refused(409, f"the object has been modified: {key} {given[key]}, expected {now}")
        new = copy.deepcopy(old) if old else {"apiVersion": body["apiVersion"], "kind": kind, "metadata": {}}
        owned = self.owners.setdefault((kind, namespace, name), {})
        wanted = dict(leaves(body))
        for path, value in wanted.items():
            others = [owner for owner, paths in owned.items() if owner != manager and path in paths]
            if others and at(old, path) != value:
                if not force:
                    raise Refused(409, f"conflict with {others[0]}: .{'.'.join(path)}")
                for owner in others:
                    owned[owner] -= {path}
        kept = {path for owner, paths in owned.items() if owner != manager for path in paths}
        for path in owned.get(manager, set()) - set(wanted) - kept:
            remove(new, path)
        for path, value in wanted.items():
            put(new, path, value)
        new["metadata"].update(name=name, namespace=namespace)
        self._check(old, new)
        owned[manager] = set(wanted)
        new["metadata"]["managedFields"] = [{"manager": owner} for owner, paths in owned.items() if paths]
        self._put(new)
        return new

    def _check(self, old, new):
        bare = {key: value for key, value in new.items() if key != "status"}
        bare["metadata"] = {key: value for key, value in new["metadata"].items() if key != "managedFields"}
        try:
            kubernetes_validate.validate(bare, VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise Refused(422, f"{'.'.join(map(str, error.path))}: {error.message}") from error
        if new["kind"] == "Job":
            if not new["spec"].get("template", {}).get("spec", {}).get("containers"):
                raise Refused(422, "spec.template.spec.containers: Required value")
            fixed = old and (not old["spec"].get("suspend") or old["status"].get("startTime"))
            if fixed and old["spec"]["template"] != new["spec"]["template"]:
                raise Refused(422, "Job is invalid: spec.template: field is immutable")

    def _version(self, found):
        return (found or {}).get("metadata", {}).get("resourceVersion")

    def _put(self, found):
        self.version += 1
        found["metadata"]["resourceVersion"] = str(self.version)
        self.objects[found["kind"], found["metadata"]["namespace"], found["metadata"]["name"]] = found

    # ---- what the controllers do ----

    def step(self):
        for (kind, namespace, name), job in list(self.objects.items()):
            if kind == "Job":
                self._control(namespace, name, job)
        for pod in self.pods.values():
            if not pod["spec"].get("nodeName"):
                self._bind(pod)
            elif pod["status"]["phase"] == "Pending":
                pod["status"]["phase"] = "Running"

    def _control(self, namespace, name, job):
        mine = [key for key, pod in self.pods.items() if pod["metadata"]["job"] == name]
        if job["spec"].get("suspend"):
            if name in self.stuck:
                return
            if mine:
                del self.pods[mine[-1]]  # one after the other
            elif job["status"].get("startTime"):
                job["status"] = {"conditions": [{"type": "Suspended", "status": "True"}]}
            return
        job["status"].setdefault("startTime", "2026-11-22T00:00:00Z")
        for number in range(len(mine), job["spec"]["parallelism"]):
            self.version += 1
            labels = {"batch.kubernetes.io/controller-uid": job["metadata"]["uid"]}
            self.pods[f"{namespace}/{name}-{self.version}"] = {
                "metadata": {"name": f"{name}-{number}", "namespace": namespace, "labels": labels, "job": name},
                "spec": copy.deepcopy(job["spec"]["template"]["spec"]),
                "status": {"phase": "Pending"},
            }

    def _bind(self, pod):
        taken = [each["spec"].get("nodeName") for each in self.pods.values()]
        required = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
        terms = required.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms")
        for node, room in self.room.items():
            fits = terms is None or any(node in term["matchFields"][0]["values"] for term in terms)
            if fits and taken.count(node) < room:
                pod["spec"]["nodeName"] = node
                return


def leaves(value, path=()):
    """Yield path and value of every field that an apply owns; lists are owned whole, names of the object by nobody."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            if path or key in ("metadata", "spec", "data"):
                yield from leaves(inner, (*path, key))
    elif path[0] != "metadata" or path[1] in ("labels", "annotations"):
        yield path, value


def at(value, path):
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def put(value, path, leaf):
    for key in path[:-1]:
        value = value.setdefault(key, {})
    value[path[-1]] = leaf


def remove(value, path):
    holder = at(value, path[:-1])
    if isinstance(holder, dict):
        holder.pop(path[-1], None)
        if not holder and len(path) > 2 and path[0] == "spec":
            remove(value, path[:-1])


KINDS = {"jobs": "Job", "configmaps": "ConfigMap"}


def serve(world):
    """Return a server of ``world`` on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._answer()

        def do_PATCH(self):
            self._answer()

        def _answer(self):
            url = urlsplit(self.path)
            words, query = url.path.split("/"), {key: values[0] for key, values in parse_qs(url.query).items()}
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                found = self._found(words, query, json.loads(body) if body else None)
                code = 200
            except Refused as refused:
                code, found = refused.code, {"kind": "Status", "status": "Failure", "message": str(refused)}
            written = json.dumps(found).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        def _found(self, words, query, body):
            world.step()
            plural = words[words.index("namespaces") + 2]
            namespace = words[words.index("namespaces") + 1]
            name = words[-1]
            world.requests.append((self.command, plural, name if plural != "pods" else "", body))
            for (method, kind), code in world.refusing.items():
                if (method, kind) == (self.command, plural):
                    raise Refused(code, "refused by the test")
            if plural == "pods":
                key, _, value = query["labelSelector"].partition("=")
                pods = [pod for pod in world.pods.values() if pod["metadata"]["labels"].get(key) == value]
                return {"kind": "PodList", "metadata": {}, "items": pods}
            if self.command == "GET":
                return world.read(KINDS[plural], namespace, name)
            assert self.headers["Content-Type"] == "application/apply-patch+yaml"
            if world.interfering:
                world.interfering()
            force = query.get("force") == "true"
            return world.apply(KINDS[plural], namespace, name, body, query["fieldManager"], force)

        def log_message(self, *words):
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)
