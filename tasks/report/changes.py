"""What does an action change, in words?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from data.schemas.checkpoint import Archive
from data.schemas.job import Worker
from data.schemas.plan import Action, Compress, Migrate, MoveReplicas, Place, Recap, Start
from tasks.report.plain import one_line
from tasks.report.quantities import counted, duration, number, quantity

KINDS = {
    "migrate": "Move running jobs",
    "place": "Give GPUs to waiting jobs",
    "start": "Set start times",
    "recap": "Set power caps",
    "move_replica": "Move expert replicas",
    "compress": "Archive checkpoints",
}

_NODES = 4


@dataclass(frozen=True, slots=True)
class Change:
    """An action as a row of a table: every field is one printable line."""

    kind: str
    target: str
    before: str
    after: str
    reason: str
    gain: str


def told(action: Action) -> Change:
    """Return what ``action`` changes, in words."""
    match action:
        case Migrate():
            target, before, after = action.job, _where(action.before), _where(action.after)
            gain = _gain(action.gain, "GPUs")
        case Place():
            target, before, after = action.job, _where(action.before), _where(action.after)
            gain = _gain(action.gain, "GPUs")
        case Recap():
            target, before, after = action.job, _cap(action.before), _cap(action.after)
            gain = _gain(action.gain, "GPU-h")
        case Start():
            target, before, after = action.job, _start(action.before), _start(action.after)
            gain = _gain(action.gain, "GPU-h")
        case MoveReplicas():
            target = f"{action.deployment}, layer {action.layer}, slots {_some(action.slots)}"
            before, after = f"experts {_some(action.before)}", f"experts {_some(action.after)}{_steps(action)}"
            gain = _gain(action.gain)
        case Compress():
            target, before, after = action.checkpoint, _archive(action.before), _archive(action.after)
            gain = quantity(action.gain, "bytes")
        case _:
            assert_never(action)
    return Change(
        action.kind, one_line(target), one_line(before), one_line(after), one_line(action.reason), one_line(gain)
    )


GAIN_UNITS = (
    "Gains are each action's own share of its problem's cost: GPUs' worth of capacity for placements, GPU-hours of "
    "delay for starts and caps, bytes for archives. A negative one is the price of making room for others."
)


def headline(actions: Sequence[Action]) -> str:
    """Return one sentence on what ``actions`` do to the cluster."""
    parts: list[str] = []
    moved = [action for action in actions if isinstance(action, Migrate)]
    if moved:
        ways: dict[str, list[Migrate]] = {}  # a job that steps aside on its way moves twice
        for action in moved:
            ways.setdefault(action.job, []).append(action)
        gpus = counted(sum(_moved_gpus(way[0].before, way[-1].after) for way in ways.values()), "GPU")
        batches = counted(len({action.batch for action in moved}), "batch", "batches")
        parts.append(f"moves {counted(len(ways), 'running job')} ({gpus}, {batches})")
    placed = [action for action in actions if isinstance(action, Place) and action.after]
    if placed:
        given = sum(len(worker.gpus) for action in placed for worker in action.after)
        parts.append(f"gives {counted(len(placed), 'waiting job')} {counted(given, 'GPU')}")
    starts = sum(isinstance(action, Start) for action in actions)
    if starts:
        parts.append(f"sets {counted(starts, 'start time')}")
    caps = sum(isinstance(action, Recap) for action in actions)
    if caps:
        parts.append(f"changes {counted(caps, 'power cap')}")
    replicas = [action for action in actions if isinstance(action, MoveReplicas)]
    if replicas:
        slots = sum(len(action.slots) for action in replicas)
        models = len({action.deployment for action in replicas})
        parts.append(f"rewrites {counted(slots, 'expert slot')} of {counted(models, 'MoE deployment')}")
    archives = sum(isinstance(action, Compress) for action in actions)
    if archives:
        parts.append(f"archives {counted(archives, 'checkpoint')}")
    if not parts:
        return "The plan changes nothing: what is in force was not beaten."
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"The plan {listed}."


def _moved_gpus(before: Sequence[Worker], after: Sequence[Worker]) -> int:
    held = {(worker.node, gpu) for worker in before for gpu in worker.gpus}
    return sum((worker.node, gpu) not in held for worker in after for gpu in worker.gpus)


def _where(workers: Sequence[Worker]) -> str:
    if not workers:
        return "no GPUs"
    nodes = list(dict.fromkeys(worker.node for worker in workers))
    named = ", ".join(nodes[:_NODES])
    more = f" and {len(nodes) - _NODES} more" if len(nodes) > _NODES else ""
    return f"{counted(sum(len(worker.gpus) for worker in workers), 'GPU')} on {named}{more}"


def _steps(action: MoveReplicas) -> str:
    """Return in how many steps the replicas are loaded, and how many of them need a spare buffer."""
    said = []
    if action.order:
        said.append(f"in {counted(1 + max(load.step for load in action.order), 'step')}")
    staged = sum(load.staged for load in action.order)
    if staged:
        said.append(f"{staged} over a spare buffer")
    if action.after_shares != action.before_shares:
        said.append("tokens split anew")
    return f", {', '.join(said)}" if said else ""


def _cap(watts: float | None) -> str:
    return "the node's highest" if watts is None else f"{number(watts)} W"


def _start(seconds: float | None) -> str:
    if seconds is None:
        return "not scheduled"
    return "at once" if seconds == 0 else f"in {duration(seconds)}"


def _some(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - _NODES:,} more" if len(numbers) > _NODES else ""
    return f"{', '.join(str(each) for each in numbers[:_NODES])}{more}"


def _gain(gain: float, unit: str = "") -> str:
    return f"{number(float(f'{gain:.3g}'))} {unit}".strip()


def _archive(archive: Archive | None) -> str:
    return "no archive" if archive is None else f"{archive.path}, {quantity(archive.size_bytes, 'bytes')}"
