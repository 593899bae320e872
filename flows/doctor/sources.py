"""Can the cluster's state be read from where it is to come? Each source is read once, for a limited time."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from data.readers.prometheus.api import prometheus_api
from data.readers.reading import Reading
from data.readers.sources import Kubernetes, Prometheus, Sample, Slurm, Source
from flows.doctor.check import Check, Verdict
from flows.permitted import HOSTS, ROOTS, TOKENS, forbidden, permitted
from tasks.report.quantities import counted, duration

PATIENCE_S = 30.0
_FLEET = "flows.fleet."
"""Its sources are of another kind, and are files."""

SOURCE: TypeAdapter[Source] = TypeAdapter(Source)
TELEMETRY: TypeAdapter[Prometheus] = TypeAdapter(Prometheus)
Answer = TypeVar("Answer")
_REACH = "does this machine reach it, with these rights? a run's log and SOURCE's own tools say more"


def source_of(text: str) -> Source:
    """Return the source that ``text`` describes as JSON.

    Raises:
        ValueError: it describes none.
    """
    return SOURCE.validate_json(text)


def of_deployments(there: Sequence[Mapping[str, Any]], environment: Mapping[str, str]) -> Iterator[Check]:
    """Read the sources of deployments, as far as this machine's environment lets runs over the web name them."""
    seen: list[object] = [Sample()]
    for each in there:
        if str(each.get("entrypoint", "")).startswith(_FLEET):
            continue
        params = (each.get("parameters") or {}).get("params") or {}
        for adapter, field in ((SOURCE, "source"), (TELEMETRY, "telemetry")):
            given = params.get(field) if isinstance(params, dict) else None
            if given is None:
                continue
            with suppress(ValidationError):  # it is refused when a run begins, and drift names it
                found = adapter.validate_python(given)
                if found in seen:
                    continue
                seen.append(found)
                wrong = [str(record) for record in forbidden(found, permitted(environment), field)]
                if wrong:
                    advice = f"set {ROOTS}, {HOSTS} and {TOKENS} in the worker's environment, or mend prefect.yaml"
                    yield Check("source", "warn", f"of {each['name']}: {wrong[0]}", advice)
                elif isinstance(found, Prometheus):
                    yield from telemetry(found, named=f" (of {each['name']})")
                else:
                    yield from source(found, named=f" (of {each['name']})", wanted=False)


def source(chosen: Source, *, named: str = "", wanted: bool = True, patience_s: float = PATIENCE_S) -> Iterator[Check]:
    """Read ``chosen`` once.

    Args:
        chosen: the source.
        named: what else to call it.
        wanted: whether it must be reached from here; a deployment's is read by the worker, perhaps elsewhere.
        patience_s: seconds that it may take.
    """
    bad: Verdict = "fail" if wanted else "warn"
    name = f"{chosen.kind}{named}"
    began = time.monotonic()
    try:
        reading = _within(patience_s, _hurried(chosen, patience_s))
    except TimeoutError:
        yield Check(
            "source", bad, f"{name} does not answer within {duration(patience_s)}", _REACH.replace("SOURCE", name)
        )
        return
    except Exception as error:  # readers promise few kinds; a doctor shows whichever it is
        told = str(error).splitlines()[0] if str(error) else ""
        yield Check("source", bad, f"{name}: {type(error).__name__}: {told}", _REACH.replace("SOURCE", name))
        return
    state = reading.snapshot
    told = (
        f"{name}: {counted(len(state.nodes), 'node')}, {counted(len(state.jobs), 'job')} of {state.cluster} "
        f"in {duration(time.monotonic() - began)}"
    )
    if not state.nodes:
        yield Check(
            "source", bad, f"{told}: nothing to plan for", "does its filter (partition, context) leave any node?"
        )
    elif reading.set_aside:
        first = f"{counted(len(reading.set_aside), 'record')} would be set aside, first: {reading.set_aside[0]}"
        yield Check("source", "warn", f"{told}; {first}", "mend them at the source; the plan names all of them")
    else:
        yield Check("source", "ok", told)


def sample() -> Iterator[Check]:
    """Read the sample that ships with the project: what fails here fails for every source."""
    yield from source(Sample())


def telemetry(asked: Prometheus, *, named: str = "") -> Iterator[Check]:
    """Ask a Prometheus server how many targets of DCGM it knows."""
    name = f"prometheus{named} at {asked.url}"
    try:
        limit = min(asked.timeout_s, PATIENCE_S)
        with prometheus_api(asked.url, timeout_s=limit, token_variable=asked.token_variable) as api:
            answer = api.instant("count(DCGM_FI_DEV_POWER_USAGE)")
    except Exception as error:  # as above
        told = str(error).splitlines()[0] if str(error) else ""
        yield Check("telemetry", "fail", f"{name}: {type(error).__name__}: {told}", "is it up, and is the token right?")
        return
    count = answer.series[0].values[-1] if answer.series else 0
    if count:
        yield Check("telemetry", "ok", f"{name}: power of {count:.0f} GPUs")
    else:
        advice = "does it scrape dcgm-exporter? plans then count with forecast draws"
        yield Check("telemetry", "warn", f"{name} answers, but knows no GPU's power", advice)


def _hurried(chosen: Source, seconds: float) -> Source:
    """Return the source with the patience of a doctor instead of its own."""
    if isinstance(chosen, Slurm | Kubernetes) and chosen.timeout_s > seconds:
        return replace(chosen, timeout_s=seconds)
    return chosen


def _within(seconds: float, read: Callable[[], Reading]) -> Reading:
    """Return what ``read`` returns.

    Raises:
        TimeoutError: it takes longer; it goes on in a thread that ends with the process.
        BaseException: what ``read`` raised.
    """
    ended: list[Reading | BaseException] = []

    def run() -> None:
        try:
            ended.append(read())
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not ended:
        raise TimeoutError
    if isinstance(ended[0], BaseException):
        raise ended[0]
    return ended[0]
