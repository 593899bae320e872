"""Is on the server what the project says, and does anybody work on it? Pool, deployments, schedules, limits, runs."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from flows.doctor.api import Api
from flows.doctor.check import Check, Verdict
from flows.freshness import SKIPPED
from tasks.report.quantities import counted, duration

ROOT = Path(__file__).resolve().parents[2]
TAG, POOL = "quantumflow", "quantumflow"
FREEZE, LIMIT = "quantumflow_freeze", "quantumflow-apply"
PENDING_S, LONG_S = 900.0, 6 * 3600.0
DAY_S = 86_400.0
_NAMED = 4
_PROVISION = "python -m deployments.provision"
_DEPLOY = "prefect --no-prompt deploy --all (or restart make serve)"
_SAME = ("entrypoint", "parameters", "description", "enforce_parameter_schema")


def entries(file: Path = ROOT / "prefect.yaml") -> list[dict[str, Any]]:
    """Return the deployments of prefect.yaml."""
    found: list[dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))["deployments"]
    return found


def deployments(api: Api) -> list[dict[str, Any]]:
    """Return our deployments on the server."""
    return api.every("/deployments/filter", {"deployments": {"tags": {"all_": [TAG]}}})


def same_as_file(there: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    """Compare the deployments on the server with those of prefect.yaml."""
    if not there:
        yield Check("deployments", "fail", "none of ours is on the server", _DEPLOY)
        return
    by_name = {each["name"]: each for each in there}
    missing = [each["name"] for each in wanted if each["name"] not in by_name]
    known = {each["name"] for each in wanted}
    others = [name for name in by_name if name not in known]
    changed = [
        f"{each['name']} ({', '.join(diff)})" for each in wanted if (diff := _drift(by_name.get(each["name"]), each))
    ]
    told = [
        f"{title}: {_some(names)}"
        for title, names in (("missing", missing), ("unlike prefect.yaml", changed), ("not in prefect.yaml", others))
        if names
    ]
    if told:
        advice = f"{_DEPLOY} makes them alike; changes made in the UI belong into prefect.yaml"
        yield Check("deployments", "fail" if missing else "warn", "; ".join(told), advice)
    else:
        yield Check("deployments", "ok", f"{counted(len(wanted), 'deployment')} as in prefect.yaml")


def _drift(there: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> list[str]:
    """Return in what a deployment differs from the file; schedules may be switched on and off where they run."""
    if there is None:
        return []
    different = [
        name
        for name in _SAME
        if name in wanted and "{{" not in str(wanted[name]) and _plain(there.get(name)) != _plain(wanted[name])
    ]
    if set(there.get("tags") or ()) != set(wanted.get("tags") or ()):
        different.append("tags")
    if _times(there.get("schedules") or ()) != _times(
        [{"schedule": each, **each} for each in wanted.get("schedules", ())]
    ):
        different.append("schedules")
    limit = wanted.get("concurrency_limit") or {}
    most = limit.get("limit") if isinstance(limit, dict) else limit
    at_most = (there.get("global_concurrency_limit") or {}).get("limit", there.get("concurrency_limit"))
    if most != at_most:
        different.append("concurrency_limit")
    return different


def _plain(value: Any) -> Any:
    """Return a text without its last line break, which YAML adds."""
    return value.strip() if isinstance(value, str) else value


def _times(schedules: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, Any]]:
    """Return cron and interval of each schedule, by its slug."""
    return {
        str(each.get("slug")): (each["schedule"].get("cron"), _seconds(each["schedule"].get("interval")))
        for each in schedules
    }


def _seconds(interval: Any) -> float | None:
    return None if interval is None else float(interval)


def scheduled(there: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    """See which schedules are on."""
    both = [(each, schedule) for each in there for schedule in each.get("schedules") or ()]
    on = [each["name"] for each, schedule in both if schedule.get("active") and not each.get("paused")]
    paused = [each["name"] for each in there if each.get("paused")]
    if not both:
        return
    if on:
        held = f"; paused: {_some(paused)}" if paused else ""
        yield Check("schedules", "ok", f"{len(on)} of {len(both)} on: {_some(on)}{held}")
    else:
        advice = (
            "in prefect.yaml name your cluster as source and set active: true in its schedule, then"
            f" {_DEPLOY}; not in the UI, which the next deploy undoes"
        )
        yield Check("schedules", "warn", f"none of {len(both)} is on: nothing runs by itself", advice)


def worked(api: Api, there: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    """See whether somebody takes the runs: workers of the pool, or the process that serves them."""
    pools = sorted({each["work_pool_name"] for each in there if each.get("work_pool_name")})
    served = [each for each in there if not each.get("work_pool_name")]
    if served:
        away = [each["name"] for each in served if each.get("status") != "READY"]
        advice = "start make serve again; it holds the server and the process that runs them" if away else ""
        told = f"nobody serves {_some(away)}" if away else f"{counted(len(served), 'deployment')} served by a process"
        yield Check("served", "fail" if away else "ok", told, advice)
    for pool in pools or ([] if served else [POOL]):
        yield from _pool(api, pool)


def _pool(api: Api, name: str) -> Iterator[Check]:
    found = api.found(f"/work_pools/{name}")
    if found is None:
        yield Check("work pool", "fail", f"{name} is not there", _PROVISION)
        return
    if found.get("is_paused"):
        yield Check("work pool", "fail", f"{name} is paused: no run begins", f"prefect work-pool resume {name}")
    else:
        yield Check("work pool", "ok", f"{name}, of type {found.get('type')}")
    queues = api.every(f"/work_pools/{name}/queues/filter", {})
    paused = [str(each["name"]) for each in queues if each.get("is_paused")]
    if paused:
        told = f"paused in {name}: {_some(paused)}; runs there do not begin"
        advice = f"prefect work-queue resume {paused[0]} --pool {name}"
        yield Check("work queues", "fail" if len(paused) == len(queues) else "warn", told, advice)
    workers = api.every(f"/work_pools/{name}/workers/filter", {})
    online = [each for each in workers if each.get("status") == "ONLINE"]
    if online:
        last_s = min(_age_s(each.get("last_heartbeat_time")) for each in online)
        names = _some([str(each["name"]) for each in online])
        told = f"{counted(len(online), 'worker')} online in {name}: {names}; last heard {duration(last_s)} ago"
        yield Check("workers", "ok", told)
    else:
        gone = (
            f"; last heard {duration(min(_age_s(each.get('last_heartbeat_time')) for each in workers))} ago"
            if workers
            else ""
        )
        advice = f"prefect worker start --pool {name} (systemctl start, docker compose up); then see its log"
        yield Check("workers", "fail", f"none is online in {name}{gone}: no run begins", advice)


def guarded(api: Api, automations: Path = ROOT / "deployments" / "automations.yaml") -> Iterator[Check]:
    """See whether what watches over runs is there: the limit of applies, automations, the freeze switch."""
    limit = api.found(f"/v2/concurrency_limits/{LIMIT}")
    if limit is None:
        yield Check("apply limit", "warn", f"{LIMIT} is not there: no plan can be applied", _PROVISION)
    elif not limit.get("active", True) or limit.get("limit") == 0:
        found = f"{LIMIT} is {'off' if limit.get('limit') else 'at 0 slots'}: somebody stopped all applies"
        again = f"plans go on; to go on applying: prefect gcl update {LIMIT} --limit 1, prefect gcl enable {LIMIT}"
        yield Check("apply limit", "warn", found, again)
    elif limit.get("limit") != 1:
        found = f"{LIMIT} has {limit.get('limit')} slots, expected 1"
        yield Check("apply limit", "fail", f"{found}: two applies could overlap", _PROVISION)
    else:
        busy = "; an apply holds it now" if limit.get("active_slots") else ""
        yield Check("apply limit", "ok", f"{LIMIT} has one slot{busy}")
    yield from _automations(api, automations)
    frozen = api.found(f"/variables/name/{FREEZE}")
    if frozen is not None and frozen.get("value"):
        advice = f"plans go on, applies do not; to thaw: prefect variable unset {FREEZE}"
        yield Check("freeze switch", "warn", f"on: {frozen['value']}", advice)
    else:
        yield Check("freeze switch", "ok", "off")


def _automations(api: Api, file: Path) -> Iterator[Check]:
    wanted = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("automations", []) if file.is_file() else []
    there = {each["name"]: each for each in api.every("/automations/filter", {})}
    needed = [each["name"] for each in wanted if not any("block" in action for action in each.get("actions", ()))]
    missing = [name for name in needed if name not in there]
    off = [each["name"] for each in wanted if each["name"] in there and not there[each["name"]].get("enabled", True)]
    if missing:
        told = f"not there: {_some(missing)}; a run whose machine dies stays Running for ever"
        yield Check("automations", "warn", told, _PROVISION)
    elif off:
        yield Check("automations", "warn", f"switched off: {_some(off)}", "switch them on in the UI (Automations)")
    elif wanted:
        mine = sum(each["name"] in there for each in wanted)
        yield Check("automations", "ok", f"{mine} of {len(wanted)} on; the others wait for a block to notify")


def ran(api: Api) -> Iterator[Check]:
    """See how runs fare: late ones, those that hang, and failures of the last day."""
    now = datetime.now(UTC)

    def count(**filters: object) -> int:
        ours = {"deployments": {"tags": {"all_": [TAG]}}, "flow_runs": filters}
        return int(api.ask("/flow_runs/count", ours))

    def before(seconds: float) -> dict[str, str]:
        return {"before_": (now - timedelta(seconds=seconds)).isoformat()}

    late = count(state={"name": {"any_": ["Late"]}})
    waiting = count(state={"type": {"any_": ["PENDING"]}}, expected_start_time=before(PENDING_S))
    long = count(state={"type": {"any_": ["RUNNING"]}}, start_time=before(LONG_S))
    since = {"after_": (now - timedelta(seconds=DAY_S)).isoformat()}
    bad = count(state={"type": {"any_": ["FAILED", "CRASHED"]}}, end_time=since)
    ended = count(state={"type": {"any_": ["COMPLETED"]}}, end_time=since)
    skipped = count(state={"type": {"any_": ["COMPLETED"]}, "name": {"any_": [SKIPPED]}}, end_time=since)
    good = ended - skipped
    for number, what, advice in (
        (late, "late: nobody took them in time", "are workers online, and is the pool's limit not used up?"),
        (waiting, f"pending for more than {duration(PENDING_S)}", "see the worker's log; cancel them in the UI"),
        (
            long,
            f"running for more than {duration(LONG_S)}",
            "is their machine alive? else set them to Crashed in the UI",
        ),
    ):
        if number:
            yield Check("runs", "warn", f"{counted(number, 'run')} {what}", advice)
    idle = bool(skipped) and not good  # each left the work to a younger one, and that one did none either
    verdict: Verdict = "fail" if bad and not good else "warn" if bad or idle else "ok"
    advice = "open the last failed run in the UI: its log says in which phase and why" if bad else ""
    if idle and not bad:
        advice = "no plan was made: the message of a skipped run says why; do workers take runs before the next is due?"
    left = f" {skipped:,} skipped," if skipped else ""
    yield Check("last day", verdict, f"{good:,} completed,{left} {bad:,} failed or crashed", advice)


def _age_s(moment: object) -> float:
    if not isinstance(moment, str):
        return float("inf")
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
