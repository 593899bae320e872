"""Which files, servers and secrets may a run name that somebody started over the web?

Whoever may start a deployment chooses its parameters, and the worker reads, writes and connects with its own rights.
So in runs of deployments a path must lie under a folder of ``QUANTUMFLOW_ROOTS`` (separated by colons; empty: the
worker's working folder), links followed, and a server must be one of ``QUANTUMFLOW_HOSTS`` (separated by commas;
empty: this machine), of which ``host`` permits every port and ``host:port`` that one. A variable whose value is sent
as a token must be one of ``QUANTUMFLOW_TOKENS`` (separated by commas; empty: none). All are set in the worker's
environment, where no parameter reaches. Runs from a terminal have the rights of whoever sits there, and are not asked.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from data.errors import BadRecord, BadSource
from data.readers.sources import Prometheus

ROOTS = "QUANTUMFLOW_ROOTS"
HOSTS = "QUANTUMFLOW_HOSTS"
TOKENS = "QUANTUMFLOW_TOKENS"
OWN = ("PREFECT_", "QUANTUMFLOW_")
"""Variables whose names begin so are of Prefect and of us: no server that a form names has business with them."""

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Permitted:
    """What the worker's environment allows.

    Args:
        roots: folders, whole and without links, under which every path must lie.
        hosts: names and addresses that may be connected to, in lower case, with or without a port.
        tokens: variables of the environment whose values may be sent as tokens.
    """

    roots: tuple[Path, ...]
    hosts: frozenset[str]
    tokens: frozenset[str] = frozenset()


def require_permitted(params: BaseModel) -> None:
    """Refuse parameters that name what a run over the web may not; to be called first in every flow.

    Raises:
        BadSource: names every path, server and variable that is not allowed, and the setting that would allow it.
    """
    if not in_deployment():
        return
    wrong = tuple(forbidden(params, permitted(os.environ)))
    if wrong:
        raise BadSource("parameters of this run", wrong)


def in_deployment() -> bool:
    """Tell whether this is a run of a deployment, which a web client may have started."""
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    return context is not None and context.flow_run is not None and context.flow_run.deployment_id is not None


def permitted(environment: Mapping[str, str]) -> Permitted:
    """Return what ``environment`` allows.

    Raises:
        BadSource: a root is no whole path.
    """
    named = [name for name in environment.get(ROOTS, "").split(os.pathsep) if name.strip()]
    relative = [BadRecord(ROOTS, "whole paths, separated by colons", name) for name in named if name[0] != "/"]
    if relative:
        raise BadSource("environment of the worker", relative)
    hosts = {name.strip().lower() for name in environment.get(HOSTS, "").split(",")} - {""}
    tokens = {name.strip() for name in environment.get(TOKENS, "").split(",")} - {""}
    roots = tuple(Path(name).resolve() for name in named) or (Path.cwd().resolve(),)
    return Permitted(roots, frozenset(hosts) or LOOPBACK, frozenset(tokens))


def forbidden(value: Any, allowed: Permitted, place: str = "params") -> Iterator[BadRecord]:
    """Yield the paths, servers and variables in ``value`` that are not allowed, whatever form they stand in."""
    if isinstance(value, Path):
        yield from _path(value, allowed, place)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from forbidden(getattr(value, name), allowed, f"{place}.{name}")
    elif dataclasses.is_dataclass(value):
        if isinstance(value, Prometheus):
            yield from _server(value, allowed, place)
            yield from _token(value, allowed, place)
        for field in dataclasses.fields(value):
            yield from forbidden(getattr(value, field.name), allowed, f"{place}.{field.name}")
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from forbidden(each, allowed, f"{place}.{key}")
    elif isinstance(value, list | tuple | set | frozenset):
        for number, each in enumerate(value):
            yield from forbidden(each, allowed, f"{place}[{number}]")


def _path(path: Path, allowed: Permitted, place: str) -> Iterator[BadRecord]:
    try:
        whole = path.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a link in a circle, a NUL
        yield BadRecord(place, "a path", f"{str(path)!r}: {error}")
        return
    if not any(whole.is_relative_to(root) for root in allowed.roots):
        under = " or ".join(map(str, allowed.roots))
        yield BadRecord(place, f"a path under {under} (the worker's {ROOTS})", str(path))


def _server(source: Prometheus, allowed: Permitted, place: str) -> Iterator[BadRecord]:
    try:
        parts = urlsplit(source.url)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # no port, or half an address in brackets
        host, port = "", None
    else:
        port = (443 if parts.scheme == "https" else 80) if port is None else port
    bracketed = f"[{host}]" if ":" in host else host  # fe80::1:80 is an address, not a port of fe80::1
    if not {host, bracketed, f"{bracketed}:{port}"} & allowed.hosts:
        known = ", ".join(sorted(allowed.hosts))
        yield BadRecord(
            f"{place}.url", f"one of {known} (the worker's {HOSTS})", f"{bracketed}:{port}" if host else "no host"
        )


def _token(source: Prometheus, allowed: Permitted, place: str) -> Iterator[BadRecord]:
    name = source.token_variable
    if name is None:
        return
    where = f"{place}.token_variable"
    if name.upper().startswith(OWN):
        yield BadRecord(where, "a variable that is neither Prefect's nor ours, whatever is listed", name)
    elif name not in allowed.tokens:
        known = ", ".join(sorted(allowed.tokens)) or "none"
        yield BadRecord(where, f"one of {known} (the worker's {TOKENS})", name)
