"""How is the folder of runs? The last plan and its age, what killed runs left, and where logs go."""

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from data.errors import SourceUnavailable
from flows.doctor.check import Check
from flows.leftovers import leftovers, remove
from flows.logs import FILE, FORMAT, FORMATS
from flows.run_folder import LINKS
from tasks.report.quantities import counted, duration

_LOOKED_AT = 5
_NAMED = 3


def last_plan(runs: Path, most_age_s: float | None) -> Iterator[Check]:
    """See when the last plan was made, and whether it can be read; older than ``most_age_s`` is a failure."""
    from tasks.report.history import read_history

    again = "see the last runs in the Prefect UI, or python -m flows history; python -m flows run makes a plan"
    try:
        found = read_history(runs, _LOOKED_AT)
    except SourceUnavailable:
        told = f"{runs}: there is no such folder yet"
        yield Check("last plan", "ok", told) if most_age_s is None else Check("last plan", "fail", told, again)
        return
    broken = f"; {counted(len(found.unreadable), 'newer or older run')} cannot be read" if found.unreadable else ""
    if not found.records:
        told, well = f"none in {runs}{broken}", not found.unreadable and most_age_s is None
        yield Check("last plan", "ok", told) if well else Check("last plan", "fail", told, again)
        return
    last = found.records[0]
    age_s = (datetime.now(UTC) - last.began).total_seconds()
    ago = f"begun {duration(max(0.0, age_s))} ago in {last.folder.name}"
    told = f"{last.plan_sha256[:12]} for {last.cluster}, {ago}{broken}"
    if most_age_s is not None and age_s > most_age_s:
        yield Check("last plan", "fail", f"{told}; expected one within {duration(most_age_s)}", again)
    elif found.unreadable:
        yield Check("last plan", "warn", told, f"{found.unreadable[0].name}: {found.unreadable[0].reason}")
    else:
        yield Check("last plan", "ok", told)
    if age_s < -60:
        yield Check("last plan's time", "fail", f"begun {duration(-age_s)} from now", "set the clock of the machines")


def left_behind(runs: Path, *, clean: bool) -> Iterator[Check]:
    """See what killed runs left; ``clean`` removes what nobody needs."""
    found = list(leftovers(runs))
    gone, kept = [each for each in found if each.removable], [each for each in found if not each.removable]
    failed: list[str] = []
    if clean:
        for each in gone:
            try:
                remove(each)
            except OSError as error:
                failed.append(f"{each.path.name}: {error.strerror or error}")
    told = "; ".join(f"{each.path.name}: {each.told}" for each in (*gone, *kept)[:_NAMED])
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    if failed:
        yield Check(
            "leftovers", "fail", f"cannot be removed: {'; '.join(failed[:_NAMED])}", "look at their owner and mode"
        )
    elif clean and gone:
        yield Check("leftovers", "ok", f"removed {len(gone)}, kept {len(kept)}: {told}{more}")
    elif gone:
        yield Check("leftovers", "warn", f"{len(gone)} of killed runs: {told}{more}", "python -m flows doctor --clean")
    else:
        yield Check("leftovers", "ok", f"{told}{more}" if kept else "none")


def latest(runs: Path) -> Iterator[Check]:
    """See whether the links to the last plans lead to a run."""
    for link in (runs / name for name in LINKS):
        if link.exists() and not link.is_symlink():
            advice = "move it away; the next run makes the link"
            yield Check(link.name, "warn", f"{link} is no link, so it stays at what is in it", advice)
        if link.is_symlink() and not link.exists():
            advice = "the next run mends it; until then name a run of your own"
            yield Check(link.name, "warn", f"{link} points at {link.readlink()}, which is gone", advice)


def logs(environment: Mapping[str, str]) -> Iterator[Check]:
    """See whether the settings of logs can be followed."""
    form, path = environment.get(FORMAT) or "text", environment.get(FILE)
    if form not in FORMATS:
        yield Check("logs", "warn", f"{FORMAT} is {form!r}", f"set it to {' or '.join(FORMATS)}")
        return
    if path and not (os.access(path, os.W_OK) if Path(path).exists() else os.access(Path(path).parent, os.W_OK)):
        yield Check("logs", "warn", f"{FILE} names {path}, which cannot be written", "make the folder, or its rights")
        return
    where = f", JSON lines to {path}" if path else ""
    yield Check("logs", "ok", f"{form}{where}; each run keeps events.jsonl")
