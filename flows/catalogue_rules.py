"""Is prefect.yaml sound as a whole? Prefect looks at one deployment after the other, and ignores unknown keys."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from prefect.client.schemas.schedules import CronSchedule
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.importtools import import_object
from prefect.utilities.schema_tools.validation import validate as against_schema
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=64)]
SECRET = re.compile(r"password|passwd|secret|token|api_?key|auth|credential|private_?key", re.IGNORECASE)
CREDENTIALS = re.compile(r"://[^/\s]*@|^(?:bearer|basic) |-----BEGIN|^(?:pnu|ghp|xox[abp]|sk|AKIA)[_-]?\w{12}", re.I)
ABSOLUTE = re.compile(r"^(?:/|~|[A-Za-z]:[\\/]|file:)")
TEMPLATE = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
VARIABLE = re.compile(r"^prefect\.variables\.[a-z0-9_]+$")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _cron(text: str) -> str:
    CronSchedule(cron=text)
    return text


def _timezone(text: str) -> str:
    if text not in available_timezones():
        raise ValueError("expected a name of the time zone database, such as UTC")
    return text


class Schedule(_Strict):
    """When a deployment runs by itself; ``slug`` keeps its identity from one `deploy` to the next."""

    slug: Name
    timezone: Annotated[str, AfterValidator(_timezone)]
    active: bool
    cron: Annotated[str, AfterValidator(_cron)] | None = None
    interval: Annotated[int, Field(ge=60, le=timedelta(days=31).total_seconds())] | None = None

    @model_validator(mode="after")
    def _one(self) -> "Schedule":
        if (self.cron is None) == (self.interval is None):
            raise ValueError("expected cron or interval, one of the two")
        return self


class Concurrency(_Strict):
    """How many runs of a deployment may go on at once, and what becomes of those beyond."""

    limit: int = Field(ge=1)
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"]


class WorkPool(_Strict):
    """Where runs are made."""

    name: Name
    work_queue_name: Name
    job_variables: Mapping[str, Any] = Field(default_factory=dict)


class Entry(_Strict):
    """One deployment."""

    name: Name
    description: str = Field(min_length=10, pattern=r"\.$")
    entrypoint: str = Field(pattern=r"^flows(\.[a-z_]+)+$")
    tags: list[Name] = Field(min_length=2)
    parameters: Mapping[str, Any]
    enforce_parameter_schema: Literal[True]
    concurrency_limit: Concurrency | None = None
    schedules: list[Schedule]
    work_pool: WorkPool

    @model_validator(mode="after")
    def _never_two_at_once(self) -> "Entry":
        if self.schedules and self.concurrency_limit is None:
            raise ValueError("expected a concurrency_limit, since it has schedules")
        if "quantumflow" not in self.tags:
            raise ValueError("expected the tag quantumflow")
        return self


class Document(_Strict):
    """The whole of prefect.yaml; ``pull`` must be said, or Prefect writes the folder of whoever deploys."""

    name: Name
    prefect_version: str = Field(alias="prefect-version", pattern=r"^\d+\.\d+\.\d+$")
    build: None
    push: None
    pull: list[dict[str, Mapping[str, Any]]] = Field(min_length=1)
    definitions: Mapping[str, Any] = Field(default={})
    deployments: list[Entry] = Field(min_length=1)


def problems(document: object) -> list[str]:
    """Return what is wrong with ``document``, a line for each, with its place; none where all of it is sound."""
    try:
        sound = Document.model_validate(document)
    except ValidationError as error:
        return [_line(document, each["loc"], each["msg"], each["input"]) for each in error.errors(include_url=False)]
    found = [*_repeated(sound), *_unknown_steps(sound)]
    for entry in sound.deployments:
        found += [f"{entry.name}: {line}" for line in (*_of_flow(entry), *_of_texts(entry))]
    return found


def _line(document: object, place: tuple[int | str, ...], expected: str, given: object) -> str:
    """Say where something stands, by the deployment's name where it has one."""
    parts: list[str] = [str(part) for part in place]
    if isinstance(document, dict) and len(place) > 1 and place[0] == "deployments" and isinstance(place[1], int):
        entry = document["deployments"][place[1]]
        name = entry.get("name") if isinstance(entry, dict) else None
        parts = [str(name or f"deployments[{place[1]}]"), *parts[2:]]
    shown = "" if isinstance(given, dict | list) else f", found {given!r}"
    return f"{'.'.join(parts) or 'prefect.yaml'}: {expected}{shown}"


def _repeated(document: Document) -> Iterator[str]:
    names = Counter(entry.name for entry in document.deployments)
    slugs = Counter(schedule.slug for entry in document.deployments for schedule in entry.schedules)
    pools = {entry.work_pool.name for entry in document.deployments}
    for what, counts in (("deployments are called", names), ("schedules have the slug", slugs)):
        yield from (f"{count} {what} {name}" for name, count in counts.items() if count > 1)
    if len(pools) > 1:
        yield f"expected one work pool, found {', '.join(sorted(pools))}"


def _unknown_steps(document: Document) -> Iterator[str]:
    for step in document.pull:
        for name, inputs in step.items():
            try:
                import_object(name)
            except (ImportError, AttributeError, ValueError) as error:
                yield f"pull: {name}: {error}"
            yield from (f"pull: {name}: {line}" for line in _texts_wrong(inputs))


def _of_flow(entry: Entry) -> Iterator[str]:
    try:
        flow: Flow[..., Any] = load_flow_from_entrypoint(entry.entrypoint, use_placeholder_flow=False)
    except Exception as error:  # whatever a module raises when it is imported
        yield f"entrypoint {entry.entrypoint}: {error}"
        return
    given = json.loads(json.dumps(entry.parameters))  # as they travel to the server
    open_fields = not entry.schedules  # for whoever starts it by hand; a schedule fills in nothing
    for wrong in against_schema(given, flow.parameters.model_dump(), ignore_required=open_fields):
        yield f"parameters.{'.'.join(str(part) for part in wrong.path)}: {wrong.message}"
    try:
        if entry.schedules:
            flow.validate_parameters(given)
    except Exception as error:  # pydantic's, or Prefect's own
        yield f"parameters: {error}"


def _of_texts(entry: Entry) -> Iterator[str]:
    for name, value in (("parameters", entry.parameters), ("work_pool.job_variables", entry.work_pool.job_variables)):
        yield from (f"{name}.{line}" for line in _texts_wrong(value))


def _texts_wrong(value: object, place: str = "") -> Iterator[str]:
    """Find what anybody who may look at a deployment would see or depend on: secrets, folders of one machine."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            where = f"{place}.{key}".lstrip(".")
            if SECRET.search(str(key)) and inner:
                yield f"{where}: secrets belong in the worker's environment, here everybody can read them"
            yield from _texts_wrong(inner, where)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _texts_wrong(inner, f"{place}[{number}]")
    elif isinstance(value, str):
        if CREDENTIALS.search(value):
            yield f"{place}: this looks like a secret, and everybody can read it here"
        if ABSOLUTE.search(value):
            yield f"{place}: expected a path relative to the project's folder, found {value!r}"
        for name in TEMPLATE.findall(value):
            if not VARIABLE.match(name):
                yield (
                    f"{place}: expected {{{{ prefect.variables.NAME }}}}, found {value!r}: blocks and the "
                    "environment are filled in when it is deployed, and then stand there in plain text"
                )
