"""When does each pending job start, before and after?"""

from dataclasses import dataclass
from xml.etree.ElementTree import Element

from markupsafe import Markup

from data.schemas.cluster import Snapshot
from data.schemas.job import Job
from tasks.report.gangs import natural
from tasks.report.quantities import counted, duration
from tasks.report.svg import at, box, element, fitted, label, markup, picture

MOST_ROWS = 40
WIDTH = 1040.0
_LEFT, _ROW, _TOP = 230.0, 16.0, 18.0


@dataclass(frozen=True, slots=True)
class Starts:
    """The schedule of pending jobs.

    Args:
        picture: one row per job.
        note: what is not shown.
    """

    picture: Markup
    note: str


def start_chart(before: Snapshot, after: Snapshot) -> Starts | None:
    """Return when pending jobs start within the horizon, or None where none is pending.

    Of many, those whose start changes are shown, the earliest first.
    """
    old = {job.id: job for job in before.jobs}
    pending = [(old[job.id], job) for job in after.jobs if job.state == "pending"]
    if not pending:
        return None
    horizon_s = after.limits.slot_s * after.limits.horizon_slots
    shown = sorted(pending, key=lambda pair: (pair[0].planned_start_s == pair[1].planned_start_s, _order(pair[1])))
    shown = sorted(shown[:MOST_ROWS], key=lambda pair: _order(pair[1]))
    height = _TOP + _ROW * len(shown) + 4
    parts = _axis(horizon_s, height)
    for row, (was, now) in enumerate(shown):
        parts += _row(_TOP + row * _ROW, was, now, horizon_s)
    left = len(pending) - len(shown)
    scheduled = sum(job.planned_start_s is not None for _, job in pending)
    note = (
        f"{counted(scheduled, 'pending job')} of {len(pending):,} start within the horizon of {duration(horizon_s)}."
        + (f" {left:,} more are not drawn." if left else "")
    )
    return Starts(markup(picture(WIDTH, height, "start times of pending jobs, before and after", *parts)), note)


def _order(job: Job) -> tuple[object, ...]:
    return job.planned_start_s is None, job.planned_start_s or 0.0, natural(job.id)


def _x(seconds: float, horizon_s: float) -> float:
    return _LEFT + min(1.0, seconds / horizon_s) * (WIDTH - _LEFT - 4)


def _axis(horizon_s: float, height: float) -> list[Element]:
    parts: list[Element] = []
    for eighth in range(0, 9, 2):
        seconds = horizon_s * eighth / 8
        x = _x(seconds, horizon_s)
        parts.append(element("line", {"class": "grid", "x1": at(x), "x2": at(x), "y1": "12", "y2": at(height)}))
        text = "now" if not eighth else f"+{duration(seconds)}"
        parts.append(label(x, 9, text, "small", end="end" if eighth == 8 else "middle" if eighth else ""))
    return parts


def _row(y: float, was: Job, now: Job, horizon_s: float) -> list[Element]:
    name = label(
        _LEFT - 8, y + 11, f"{fitted(now.id, _LEFT - 80, 11)} · {counted(now.gpus, 'GPU')}", "row-name", end="end"
    )
    parts = [name]
    if was.planned_start_s is not None and was.planned_start_s != now.planned_start_s:
        parts.append(_bar(y + 2, was, was.planned_start_s, horizon_s, "start-before"))
    if now.planned_start_s is not None:
        parts.append(_bar(y + 2, now, now.planned_start_s, horizon_s, "start-after"))
    else:
        parts.append(label(_LEFT + 6, y + 11, "not within the horizon", "small"))
    return parts


def _bar(y: float, job: Job, start_s: float, horizon_s: float, style: str) -> Element:
    left = _x(start_s, horizon_s)
    width = max(2.0, _x(start_s + job.remaining_s, horizon_s) - left)
    bar = box(left, y, width, _ROW - 5, style, round_by=2)
    bar.append(element("title", {}, text=f"{job.id}: starts in {duration(start_s)}, needs {duration(job.remaining_s)}"))
    return bar
