"""How does a program start a run of a deployment, wait for it, and get its plan? Prefect's REST API, without Prefect.

The file stands alone: httpx is all that it needs. ``python -m deployments.examples.client optimize-cluster/manual
'{"params": {"source": {"kind": "sample"}, "effort": "quick"}}'`` asks the server of ``PREFECT_API_URL``, with
``PREFECT_API_AUTH_STRING`` (``user:password``) where that is set.
"""

import json
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import httpx

ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
BUSY = (429, 502, 503, 504)
ATTEMPTS = 4
_LINK = re.compile(r"\(file://([^)\s]+)\)")


class Unreachable(Exception):
    """The server does not answer, or is too busy to: try again later."""


class Refused(Exception):
    """The server does not do what was asked: no such deployment, a parameter out of range, a wrong password.

    Args:
        status: of the response.
        detail: what the server says.
    """

    def __init__(self, status: int, detail: str) -> None:
        self.status, self.detail = status, detail
        super().__init__(f"{status}: {detail}")


class RunFailed(Exception):
    """A run ended otherwise than completed.

    Args:
        state: in which it ended.
        errors: what its log says at level ERROR and above.
    """

    def __init__(self, state: "State", errors: tuple[str, ...]) -> None:
        self.state, self.errors = state, errors
        super().__init__("\n".join((f"{state.name}: {state.message}", *errors)))


class NotOver(Exception):
    """A run was not over in time; it goes on."""


class NoPlan(Exception):
    """A run left no plan that can be read from here; the message says where it was looked for."""


@dataclass(frozen=True, slots=True)
class State:
    """How a run is.

    Args:
        kind: e.g. ``RUNNING``; one of :data:`ENDED` when it is over.
        name: for people, e.g. ``Late``.
        message: why; may be empty.
    """

    kind: str
    name: str
    message: str

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.kind in ENDED


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a deployment.

    Args:
        server: that knows of it.
        id: there.
        name: for people.
    """

    server: "Server"
    id: str
    name: str

    def state(self) -> State:
        """Return how the run is now."""
        found = self.server.ask("GET", f"flow_runs/{self.id}")["state"] or {}
        return State(found.get("type", "PENDING"), found.get("name", "Pending"), found.get("message") or "")

    def wait(
        self,
        timeout_s: float,
        progress: Callable[[State, float], None] = lambda state, share: None,  # noqa: ARG005  # nobody is told
        *,
        every_s: float = 2.0,
    ) -> State:
        """Return the state in which the run completed.

        Args:
            timeout_s: seconds after which to give up; the run goes on.
            progress: told the state and the share that is done, 0 to 1, each time the server was asked.
            every_s: seconds between two times.

        Raises:
            RunFailed: it ended otherwise.
            NotOver: it was not over in time.
        """
        until_s = time.monotonic() + timeout_s
        while not (state := self.state()).ended:
            progress(state, self.share())
            if time.monotonic() + every_s > until_s:
                raise NotOver(f"{self.name} is {state.name} after {timeout_s:g} s: {state.message}")
            time.sleep(every_s)
        if state.kind != "COMPLETED":
            raise RunFailed(state, self.errors())
        progress(state, 1.0)
        return state

    def share(self) -> float:
        """Return the share of the run that is done, 0 to 1, as it says itself; 0 where it says nothing."""
        told = [float(each["data"]) for each in self._artifacts() if each["type"] == "progress"]
        return max(told, default=0.0) / 100.0

    def artifacts(self) -> dict[str, str]:
        """Return what the run shows in the UI: text by key; tables are JSON."""
        return {each["key"]: str(each["data"]) for each in self._artifacts()}

    def errors(self) -> tuple[str, ...]:
        """Return what the run's log says at level ERROR and above."""
        asked = {"logs": {"flow_run_id": {"any_": [self.id]}, "level": {"ge_": 40}}, "limit": 20}
        return tuple(str(line["message"]) for line in self.server.ask("POST", "logs/filter", asked))

    def folder(self) -> Path:
        """Return the folder of the run's files, on the machine where it ran.

        Raises:
            NoPlan: the run links to no file.
        """
        for key, text in self.artifacts().items():
            if (link := _LINK.search(text)) and key.endswith(("-report", "-result")):
                return Path(unquote(link[1])).parent
        raise NoPlan(f"{self.name}: expected an artifact that links to a file, found {sorted(self.artifacts())}")

    def plan(self) -> dict[str, Any]:
        """Return the plan of the run, which has to lie where this program can read it.

        Raises:
            NoPlan: it does not, or the run left none.
        """
        path = self.folder() / "plan.json"
        try:
            plan: dict[str, Any] = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise NoPlan(f"{path}: expected a plan that can be read from here, found {error}") from error
        return plan

    def cancel(self) -> None:
        """End the run; one that has not begun will not begin."""
        self.server.ask("POST", f"flow_runs/{self.id}/set_state", {"state": {"type": "CANCELLING"}})

    def _artifacts(self) -> list[dict[str, Any]]:
        asked = {"artifacts": {"flow_run_id": {"any_": [self.id]}}}
        found: list[dict[str, Any]] = self.server.ask("POST", "artifacts/filter", asked)
        return found


class Server:
    """A Prefect server; a context manager, which closes the connection.

    Args:
        api: its address, e.g. ``http://127.0.0.1:4200/api``.
        auth: ``user:password`` where it asks for one.
        timeout_s: seconds that one answer may take.
    """

    def __init__(self, api: str, auth: str | None = None, *, timeout_s: float = 30.0) -> None:
        user, _, password = (auth or "").partition(":")
        self._http = httpx.Client(
            base_url=api.rstrip("/") + "/",
            auth=httpx.BasicAuth(user, password) if auth else None,
            timeout=timeout_s,
            trust_env=False,  # neither proxies nor .netrc: the address says where, auth says who
        )

    def __enter__(self) -> Self:
        """Return the server."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._http.close()

    def run(self, deployment: str, params: Mapping[str, Any], *, key: str | None = None) -> Run:
        """Start a run, and return at once.

        Args:
            deployment: flow and deployment, e.g. ``optimize-cluster/manual``.
            params: instead of the deployment's own; what a flow is asked for stands in its field ``params``.
            key: with the same key a second call returns the same run, whatever became of the first answer; by default
                each call has its own, and asks again where the server was busy.

        Raises:
            Refused: no such deployment, or a parameter that its form does not allow.
            Unreachable: the server does not answer.
        """
        found = self.ask("GET", f"deployments/name/{deployment}")
        asked = {"parameters": dict(params), "idempotency_key": key or uuid.uuid4().hex}
        made = self.ask("POST", f"deployments/{found['id']}/create_flow_run", asked)
        return Run(self, made["id"], made["name"])

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, attempts: int = ATTEMPTS) -> Any:
        """Return what the server answers, as JSON; every request that is made here may be made twice.

        Args:
            method: of HTTP.
            path: under the address of the API.
            body: JSON.
            attempts: before giving up where no answer came, or the server was busy.

        Raises:
            Refused: it says no.
            Unreachable: it does not answer, or is too busy.
        """
        wrong = ""
        for attempt in range(attempts):
            time.sleep(0.0 if not attempt else 0.5 * 2**attempt)
            try:
                answer = self._http.request(method, path, json=body)
            except httpx.TransportError as error:
                wrong = f"{type(error).__name__}: {error}"
                continue
            if answer.is_success:
                return answer.json() if answer.content else None
            wrong = f"{answer.status_code}: {answer.text[:500]}"
            if answer.status_code not in BUSY:
                raise Refused(answer.status_code, answer.text[:2000])
        raise Unreachable(f"{self._http.base_url}{path}: {wrong}")


def _tell(state: State, share: float) -> None:
    sys.stderr.write(f"{state.name} {share:.0%}\n")


def main(words: list[str]) -> int:
    """Run a deployment and print its plan; 0 done, 1 refused or failed, 2 wrong usage."""
    if len(words) != 2:
        sys.stderr.write(f"usage: client FLOW/DEPLOYMENT PARAMETERS-AS-JSON, found {len(words)} words\n")
        return 2
    address = os.environ.get("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    try:
        with Server(address, os.environ.get("PREFECT_API_AUTH_STRING")) as server:
            run = server.run(words[0], json.loads(words[1]))
            run.wait(3600.0, _tell)
            print(json.dumps(run.plan(), indent=1))
    except (NoPlan, NotOver, Refused, RunFailed, Unreachable, ValueError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
