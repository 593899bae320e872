"""What does the doctor look at, in which order? Everything that a run needs, from the machine to the last plan."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.doctor import deployed, machine, runs, server, sources
from flows.doctor.api import Api, api_of_settings, log_in
from flows.doctor.check import Check, asked
from flows.masked import secrets_of

ROOT_VARIABLE = "QUANTUMFLOW_ROOT"


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to know.

    Args:
        runs: folder of the runs.
        source: where the cluster's state is to be read from, as JSON; empty takes the deployments', or the sample.
        prometheus: address of a server to ask as well; empty asks none.
        most_age_s: how old the last plan may be; None for any age.
        clean: whether to remove what killed runs left.
    """

    runs: Path
    source: str = ""
    prometheus: str = ""
    most_age_s: float | None = None
    clean: bool = False


def examined(wanted: Asked) -> list[Check]:
    """Return every check, in the order in which a person would ask; no failure of one hides another."""
    secrets = secrets_of(os.environ)
    found: list[Check] = []
    for name, ask in (
        ("packages", machine.python_and_packages),
        ("compiled kernels", machine.kernels),
        ("memory", machine.memory),
        ("clock", machine.clock),
        ("folders", lambda: machine.room(_places(wanted.runs))),
        ("project folder", _root),
        ("logs", lambda: runs.logs(os.environ)),
        ("leftovers", lambda: runs.left_behind(wanted.runs, clean=wanted.clean)),
        ("latest", lambda: runs.latest(wanted.runs)),
        ("last plan", lambda: runs.last_plan(wanted.runs, wanted.most_age_s)),
    ):
        found += asked(name, ask, secrets)
    there: list[dict[str, object]] = []
    found += asked("server", lambda: _server(there, secrets), secrets)
    found += asked("source", lambda: _sources(wanted, there), secrets)
    return found


def _places(folder: Path) -> Sequence[tuple[str, Path]]:
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    stored = settings.results.local_storage_path
    places = [("output folder", folder), ("prefect home", settings.home), ("result storage", Path(stored))]
    return [*places, ("temporary files", Path(tempfile.gettempdir()))]


def _root() -> Iterator[Check]:
    """See whether deployments would run in this project's folder."""
    named = os.environ.get(ROOT_VARIABLE)
    if not named:
        yield Check("project folder", "ok", f"{ROOT_VARIABLE} is not set; only workers need it")
    elif not Path(named).is_absolute() or not (Path(named) / "prefect.yaml").is_file():
        advice = "set it to the whole path of the project's folder, where prefect.yaml lies"
        yield Check("project folder", "fail", f"{ROOT_VARIABLE} is {named!r}, where there is no prefect.yaml", advice)
    else:
        yield Check("project folder", "ok", f"{ROOT_VARIABLE} is {named}")


def _server(there: list[dict[str, object]], secrets: Sequence[str]) -> Iterator[Check]:
    """Look at the server that the settings name, if they name one; leave its deployments in ``there``.

    Where its database answers us, the rest is asked too, whatever else is amiss: each part may fail by itself.
    """
    with api_of_settings() as api:
        if api is None:
            told = "none is set (PREFECT_API_URL): laptop mode, each run starts a small one of its own"
            yield Check("server", "ok", told)
            return
        log_in(api)
        reached = asked("server", lambda: server.reached(api), secrets)
        yield from reached
        if ("database", "ok") not in {(check.name, check.verdict) for check in reached}:
            return
        for name, ask in _on(api, there):
            yield from asked(name, ask, secrets)


def _on(api: Api, there: list[dict[str, object]]) -> Sequence[tuple[str, Callable[[], Iterator[Check]]]]:
    """Return what is asked of a server that answers, by name, in order."""
    return (
        ("deployments", lambda: _deployments(api, there)),
        ("workers", lambda: deployed.worked(api, there)),
        ("schedules", lambda: deployed.scheduled(there)),
        ("guards", lambda: deployed.guarded(api)),
        ("runs", lambda: deployed.ran(api)),
    )


def _deployments(api: Api, there: list[dict[str, object]]) -> Iterator[Check]:
    there += deployed.deployments(api)
    yield from deployed.same_as_file(there, deployed.entries())


def _sources(wanted: Asked, there: Sequence[dict[str, object]]) -> Iterator[Check]:
    if wanted.source:
        yield from sources.source(sources.source_of(wanted.source))
    else:
        yield from sources.sample()
        yield from sources.of_deployments(there, os.environ)
    if wanted.prometheus:
        yield from sources.telemetry(sources.TELEMETRY.validate_python({"url": wanted.prometheus}))
