"""Does the Prefect server answer, whom, and does it tell the same time? Asked before anything is asked of it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version

import httpx
from packaging.version import InvalidVersion, Version

from flows.doctor.api import Api
from flows.doctor.check import Check, Verdict

SKEW_S, MUCH_SKEW_S = 5.0, 60.0
"""Seconds by which clocks may differ: beyond the first schedules and logs mislead, beyond the second plans expire."""

_FORBIDDEN = (401, 403)


def reached(api: Api) -> Iterator[Check]:
    """Ask the server whether it is there, whether its database is, and who may come in; the first failure ends it."""
    began = datetime.now(UTC)
    try:
        health = api.get("/health")
    except httpx.HTTPError as error:
        advice = "is it running (systemctl status, docker compose ps, make serve), and is PREFECT_API_URL right?"
        yield Check("server", "fail", f"{api.url} does not answer: {type(error).__name__}: {error}", advice)
        return
    if not health.is_success or health.text.strip() != "true":
        found = f"{api.url}/health answers {health.status_code}, not as a Prefect server does"
        yield Check("server", "fail", found, "does PREFECT_API_URL end in /api, and does a proxy stand in between?")
        return
    yield Check("server", "ok", f"{api.url} answers")
    yield from _clock(health, began, datetime.now(UTC))
    ready = api.get("/ready")
    if ready.status_code in _FORBIDDEN:
        yield _locked_out(ready)
        return
    if not ready.is_success:
        found = f"not reached by the server: /ready answers {ready.status_code}"
        yield Check("database", "fail", found, "is PostgreSQL running? see the server's log")
        return
    yield from _inside(api)


def _inside(api: Api) -> Iterator[Check]:
    """Ask what needs a login and a database of the right version."""
    answer = api.get("/admin/version")
    if answer.status_code in _FORBIDDEN:
        yield _locked_out(answer)
        return
    try:
        count = api.answer("POST", "/flow_runs/count", {})
        rules = api.answer("POST", "/automations/count", {})
    except httpx.HTTPError as error:
        yield Check("database", "fail", f"questions are not answered: {type(error).__name__}: {error}", _MIGRATE)
        return
    broken = [each.status_code for each in (count, rules) if each.status_code >= 500]
    if broken:
        yield Check("database", "fail", f"/ready says yes, but questions are answered by {broken[0]}", _MIGRATE)
        return
    if count.status_code in _FORBIDDEN:
        yield _locked_out(count)
        return
    yield Check("database", "ok", f"answers; {count.text.strip()[:20]} runs are kept")
    yield from _versions(answer)
    yield from _open(api)


_MIGRATE = "see the server's log; if it names a missing column or table: prefect server database upgrade -y, restart"


def _locked_out(answer: httpx.Response) -> Check:
    advice = (
        "set PREFECT_API_AUTH_STRING to the server's PREFECT_SERVER_API_AUTH_STRING; unset PREFECT_API_KEY, which would"
        " be sent instead"
    )
    return Check("login", "fail", f"the server refuses us with {answer.status_code}", advice)


def _open(api: Api) -> Iterator[Check]:
    """See whether the server lets anybody in, and whether others can listen."""
    yield _stranger(api)
    if api.url.startswith("http:") and not api.on_this_machine:
        yield Check("encryption", "warn", f"{api.url} is not encrypted", "put TLS in front: deployments/SERVER.md")


def _stranger(api: Api) -> Check:
    """Ask as somebody who trusts what we trust and knows no password."""
    try:
        with httpx.Client(timeout=api.client.timeout, verify=api.verify) as stranger:
            answer = stranger.get(f"{api.url}/admin/version")
    except httpx.HTTPError as error:
        found = f"whether strangers may come in is not known: they get no answer: {type(error).__name__}: {error}"
        advice = "ask again; if it stays, see the log of what stands in front of the server"
        return Check("login", "warn", found, advice)
    if answer.status_code in _FORBIDDEN:
        return Check("login", "ok", "a password is needed, and ours is right")
    if api.on_this_machine:
        return Check("login", "ok", "no password is needed; the server is on this machine's loopback")
    advice = "set PREFECT_SERVER_API_AUTH_STRING on the server, and put TLS in front of it"
    return Check("login", "warn", "anybody who reaches the server may start runs", advice)


def _versions(answer: httpx.Response) -> Iterator[Check]:
    ours, theirs = version("prefect"), str(answer.json()) if answer.is_success else "unknown"
    verdict: Verdict = "ok"
    try:
        if Version(ours).release[:2] != Version(theirs).release[:2]:
            verdict = "warn"
    except InvalidVersion:
        verdict = "warn"
    advice = "" if verdict == "ok" else "bring both to one version; the server first, then its workers"
    yield Check("prefect", verdict, f"here {ours}, server {theirs}", advice)


def _clock(answer: httpx.Response, began: datetime, ended: datetime) -> Iterator[Check]:
    """Compare clocks by the header that every answer has, written between ``began`` and ``ended``, in whole seconds."""
    try:
        theirs = parsedate_to_datetime(answer.headers["Date"])
    except (KeyError, ValueError, TypeError):
        yield Check("server's clock", "ok", "not told by the server")
        return
    skew_s = max(0.0, (began - theirs).total_seconds() - 1.0) - max(0.0, (theirs - ended).total_seconds())
    verdict: Verdict = "ok" if abs(skew_s) <= SKEW_S else "warn" if abs(skew_s) <= MUCH_SKEW_S else "fail"
    advice = "" if verdict == "ok" else "let both machines follow one time server (chrony, timedatectl)"
    way = "ahead of" if skew_s > 0 else "behind"
    told = "within a few seconds of ours" if verdict == "ok" else f"ours is {abs(skew_s):.0f} s {way} it"
    yield Check("server's clock", verdict, told, advice)
