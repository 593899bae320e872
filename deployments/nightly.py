"""How does a nightly job plan? It starts a deployment and watches it, or judges a plan that it made by itself.

``python -m deployments.nightly --deployment optimize-cluster/nightly`` asks the server of PREFECT_API_URL, with
PREFECT_API_AUTH_STRING where it has a password. Twice with the same key is one run: a job that is started again
watches the run that it started before. ``python -m deployments.nightly --run runs/latest`` needs no server.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from httpx import HTTPError, HTTPStatusError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import Artifact, FlowRun, StateType
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.utilities.urls import url_for

from data.errors import BadRecord, BadSource, PlanRefused, SourceUnavailable
from deployments.job_log import JobLog
from deployments.run_files import fetch
from flows.plan_events import READY

DONE, FAILED, NO_RUN = 0, 1, 2
PATIENCE_S = 300.0
"""For so long a server that does not answer any more is asked again; the run does not need it to be watched."""

EVENT_S = 15.0
"""For so long the event of the plan is waited for; it comes by another way than the run's state."""

DAY = "%Y-%m-%d"
SUMMARY = "summary.md"
Found = TypeVar("Found")


class NoRun(Exception):
    """No run was started, or nobody can say what became of it."""


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line asks; return the exit code."""
    asked = arguments(words)
    logging.getLogger("prefect").setLevel(logging.ERROR)
    log = JobLog()
    try:
        return judge(asked.run, log, asked.output) if asked.run is not None else trigger(asked, log)
    except NoRun as error:
        log.error(str(error))
    except HTTPError as error:
        log.error(f"the server stopped answering ({type(error).__name__}); the run may go on")
    except (BadRecord, BadSource, PlanRefused, SourceUnavailable) as error:
        log.error(str(error))
        return FAILED
    return NO_RUN


def judge(folder: Path, log: JobLog, output: Path | None = None) -> int:
    """Verify the plan in ``folder`` from its files, and tell what it changes, to ``output`` as well where there is one.

    Raises:
        BadRecord, BadSource, PlanRefused, SourceUnavailable: a file is missing, damaged or of another run.
    """
    from data.readers.plan import check_fresh, read_plan
    from data.readers.snapshot import read_snapshot
    from flows.run_folder import PLAN, SNAPSHOT
    from tasks.report.text import summary_markdown
    from tasks.validate import validate

    plan = read_plan(folder / PLAN)
    snapshot = read_snapshot(folder / SNAPSHOT).snapshot
    check_fresh(plan, snapshot)
    verdict = validate(plan, snapshot, folder)
    summary = summary_markdown(plan, verdict)
    log.summary(summary)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        (output / SUMMARY).write_text(f"{summary}\n", encoding="utf-8")
    log.outputs({"plan-sha256": plan.sha256, "state": "Completed" if verdict.passed else "Refused"})
    if verdict.passed:
        return DONE
    log.error("; ".join(f"{check.name}: {check.detail}" for check in verdict.checks if not check.passed))
    return FAILED


def trigger(asked: argparse.Namespace, log: JobLog) -> int:
    """Start a run of the deployment, or find the one that has this key, and watch it to its end.

    Raises:
        NoRun: there is no such server or deployment, or it refused the parameters or the password.
    """
    url = PREFECT_API_URL.value()
    if not url:
        raise NoRun(
            "PREFECT_API_URL: expected the address of a server, e.g. https://prefect.example/api, found nothing"
        )
    key = asked.key or f"{asked.deployment.rpartition('/')[2]}-{datetime.now(UTC).strftime(DAY)}"
    with get_client(sync_client=True) as client:
        run = _start(client, asked.deployment, key, asked.params, url)
        with log.group(f"{asked.deployment} as {run.name} ({run.id}), key {key}"):
            if page := url_for(run):
                log.say(page)
            run = _watched(client, run, log, asked.timeout, asked.poll)
            until = time.monotonic() + PATIENCE_S
            no_artifacts: list[Artifact] = []
            no_plan: dict[str, Any] = {}
            artifacts = _asked(lambda: _artifacts(client, run), no_artifacts, "summary", log, until, asked.poll)
            plan = _asked(lambda: _plan_of(client, run), no_plan, "plan's digest", log, until, asked.poll)
    return _told(run, artifacts, plan, asked, log)


def _start(client: SyncPrefectClient, name: str, key: str, params: dict[str, Any] | None, url: str) -> FlowRun:
    try:
        deployment = client.read_deployment_by_name(name)
        run = client.create_flow_run_from_deployment(
            deployment.id,
            parameters=None if params is None else {"params": params},
            idempotency_key=key,
            name=key,
            tags=["nightly", "ci"],
        )
        if run.deployment_id != deployment.id:  # a key is unique within a flow, which may have several deployments
            raise NoRun(f"key {key}: a run of another deployment of this flow has it ({run.id}); choose another")
        return run
    except ObjectNotFound as error:
        raise NoRun(f"{url}: there is no deployment {name}; `prefect deployment ls` lists them") from error
    except HTTPStatusError as error:
        code = error.response.status_code
        if code in (401, 403):
            why = f"the server refused PREFECT_API_AUTH_STRING ({code}); it must equal the server's own"
        elif code in (409, 422):
            why = f"{name} refused the parameters ({code}): {_detail(error)}"
        else:
            why = f"the server answered {code}; see its log"
        raise NoRun(f"{url}: {why}") from error
    except (HTTPError, OSError, RuntimeError) as error:
        raise NoRun(f"{url}: no server answers; start it, or set PREFECT_API_URL to where it listens") from error


def _detail(error: HTTPStatusError) -> str:
    try:
        return str(error.response.json()["detail"])[:500]
    except (ValueError, KeyError, TypeError):
        return "the server does not say why"


def _watched(client: SyncPrefectClient, run: FlowRun, log: JobLog, timeout_s: float, poll_s: float) -> FlowRun:
    """Return the run as it is once it ended, or when the time is up; a server may be away for a while.

    Raises:
        NoRun: the server has not answered for :data:`PATIENCE_S`, or the run was deleted.
    """
    end = time.monotonic() + timeout_s
    silent_since: float | None = None
    said = ""
    while True:
        try:
            run = client.read_flow_run(run.id)
            line = f"{run.state.name if run.state else '?'} {_progress(client, run)}".strip()
            silent_since = None
        except ObjectNotFound as error:
            raise NoRun(f"run {run.id} is not on the server any more; somebody deleted it") from error
        except (HTTPError, OSError) as error:
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since > PATIENCE_S:
                raise NoRun(f"the server has not answered for {PATIENCE_S:.0f} s; run {run.id} may go on") from error
            line = "the server does not answer; asking again"
        if line != said:
            log.say(f"{datetime.now(UTC):%H:%M:%S} {line}")
            said = line
        if (run.state is not None and run.state.is_final()) or time.monotonic() > end:
            return run
        time.sleep(poll_s)


def _asked(look: Callable[[], Found], nothing: Found, what: str, log: JobLog, until: float, poll_s: float) -> Found:
    """Return what ``look`` finds; ``nothing`` where the server does not say until then: how the run ended is known."""
    while True:
        try:
            return look()
        except (HTTPError, OSError) as error:
            if time.monotonic() + poll_s > until:
                log.say(f"the {what} is not known: the server does not answer ({type(error).__name__})")
                return nothing
        time.sleep(poll_s)


def _progress(client: SyncPrefectClient, run: FlowRun) -> str:
    """Return how far the run says that it is, and with what."""
    for artifact in _artifacts(client, run):
        if artifact.type == "progress":
            share = artifact.data if isinstance(artifact.data, int | float) else 0.0
            return f"{share:.0f} % {artifact.description or ''}"
    return ""


def _artifacts(client: SyncPrefectClient, run: FlowRun) -> list[Artifact]:
    of_it = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    return list(client.read_artifacts(artifact_filter=of_it))


def _plan_of(client: SyncPrefectClient, run: FlowRun) -> dict[str, Any]:
    """Return what the event of the plan says: folder, digest, gain; nothing where the run made none."""
    if run.state_type != StateType.COMPLETED:
        return {}
    asked = {"filter": {"event": {"name": [READY]}, "related": {"id": [f"prefect.flow-run.{run.id}"]}}}
    end = time.monotonic() + EVENT_S
    while True:
        events = client.request("POST", "/events/filter", json=asked).json()["events"]
        if events or time.monotonic() > end:
            payload: dict[str, Any] = events[0]["payload"] if events else {}
            return payload
        time.sleep(1.0)


def _told(
    run: FlowRun, artifacts: Sequence[Artifact], plan: dict[str, Any], asked: argparse.Namespace, log: JobLog
) -> int:
    state = run.state
    ended = state is not None and state.is_final()
    name = state.name if state is not None and state.name else "?"
    digest = str(plan.get("sha256", ""))
    summary = "\n\n".join(str(each.data) for each in artifacts if each.key and each.key.endswith("-summary"))
    head = f"## {asked.deployment}: {name if ended else 'still running'}\n\nRun `{run.name}` (`{run.id}`)"
    head += f", plan `{digest}`\n" if digest else "\n"
    log.summary(f"{head}\n{summary}" if summary else head)
    log.outputs({"run-id": str(run.id), "state": name, "plan-sha256": digest})
    if asked.output is not None:
        asked.output.mkdir(parents=True, exist_ok=True)
        told = {"run": str(run.id), "name": run.name, "state": name, "parameters": run.parameters, "plan": plan}
        (asked.output / "run.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        (asked.output / SUMMARY).write_text(f"{head}\n{summary}\n", encoding="utf-8")
        for line in fetch(artifacts, digest, asked.output) if run.state_type == StateType.COMPLETED else ():
            log.say(line)
    if not ended:
        log.error(f"{asked.deployment}: not ended after {asked.timeout:g} s; run {run.id} goes on")
        return FAILED
    if run.state_type == StateType.COMPLETED:
        return DONE
    log.error(f"{asked.deployment}: run {run.id} ended as {name}: {state.message if state else ''}")
    return FAILED


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Return what a command line asks for; None means that of this process."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.nightly",
        description="Start a deployment and watch it to its end, or verify a plan and tell what it changes.",
        epilog="Exit codes: 0 a plan was made and verified, 1 the run failed or goes on, or the plan is wrong, "
        "2 wrong usage, no server, no such deployment, or it refused.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--deployment", help="FLOW/DEPLOYMENT, e.g. optimize-cluster/nightly")
    what.add_argument("--run", type=Path, help="folder of a run, e.g. runs/latest; asks no server")
    parser.add_argument("--key", help="twice with the same key is one run (default: DEPLOYMENT-DATE, of UTC)")
    parser.add_argument("--params", type=_object, help="JSON of the form, instead of the deployment's own")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds to watch (default: 3600)")
    parser.add_argument("--poll", type=float, default=10.0, help="seconds between two questions (default: 10)")
    parser.add_argument(
        "--output",
        type=Path,
        help="folder for summary.md, and of a deployment's run for run.json, plan.json and report.html",
    )
    return parser.parse_args(words)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected JSON, found {text[:80]!r}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected an object, found {text[:80]!r}")
    return value


if __name__ == "__main__":
    sys.exit(main())
