"""How is a plan carried out by a launcher of one's own? A script of calls that are to be filled in."""

from collections.abc import Sequence

from data.schemas.job import Worker
from data.schemas.plan import Action, Compress, Migrate, MoveReplicas, Place, Plan, Recap, Start
from tasks.report.changes import told
from tasks.report.order import steps, taken_at
from tasks.report.script import ARCHIVE, command, comment, expert_calls, function, preamble

_HOOKS = """\
# ---- Fill these in for your launcher. As they stand they only print. ----
stop_job()      { echo "   stop $1 after a checkpoint, and wait until its GPUs are free"; }
start_job()     { echo "   start $1 from its last checkpoint on ${*:2}"; }           # NODE:GPU,GPU of each worker
give_gpus()     { echo "   reserve ${*:2} for $1"; }                                 # NODE:GPU,GPU of each worker
take_back()     { echo "   $1 waits for GPUs again"; }
start_at()      { echo "   let $1 start at $(date --date="@$2" 2>/dev/null || echo "$2")"; }  # Unix seconds
unschedule()    { echo "   $1 has no planned start"; }
set_cap()       { echo "   nvidia-smi -i GPUS -pl $2 on every node of $1"; }         # watts, or max
set_experts()   { echo "   in layer $2 of $1 load ${*:3}, and wait"; }               # SLOT=EXPERT[/spare] ...
split_tokens()  { echo "   in layer $2 of $1 split tokens ${*:3}"; }                 # SLOT=SHARE ..., or evenly
# -------------------------------------------------------------------------
"""

_ADVICE = (
    "Jobs of a batch all stop before any of them starts; a batch begins when the one before it has ended.",
    "Experts are loaded call by call: each expert is served by another slot meanwhile. SLOT=EXPERT/spare loads into a",
    "spare buffer of the slot's GPU while the slot serves on, and switches when all of the call are loaded.",
    "Fill in the functions below first: they say what to do, and do nothing.",
)


def as_shell(plan: Plan) -> str:
    """Return ``plan`` as a bash script that prints what to do, with places to fill in how.

    Raises:
        BadRecord: the plan does not tell the time of its snapshot.
    """
    taken_s = taken_at(plan)
    return "\n".join(
        (
            preamble(plan, "calls of your own launcher", "plan.sh", _ADVICE),
            ARCHIVE,
            _HOOKS,
            function("apply", _lines(plan.actions, taken_s)),
            function("undo", _lines(plan.inverse, taken_s)),
            '"$way"\n',
        )
    )


def _lines(actions: Sequence[Action], taken_s: int) -> list[str]:
    lines: list[str] = []
    for step in steps(actions):
        first = step[0]
        if isinstance(first, Migrate):
            batch = [action for action in step if isinstance(action, Migrate)]
            lines += ["", comment(f"batch {first.batch}: stop all, then start all ({len(batch)})")]
            lines += [command("stop_job", action.job) for action in batch]
            for action in batch:
                lines += [comment(action.reason), command("start_job", action.job, *_places(action.after))]
        else:
            lines += ["", comment(f"{first.kind} ({len(step)})")]
            for other in step:
                lines += [comment(f"{told(other).target}: {other.reason}"), *_one(other, taken_s)]
    return lines


def _one(action: Action, taken_s: int) -> list[str]:
    match action:
        case Migrate() | Place():
            if action.after:
                return [command("give_gpus", action.job, *_places(action.after))]
            return [command("take_back", action.job)]
        case Recap():
            return [command("set_cap", action.job, "max" if action.after is None else f"{action.after:.10g}")]
        case Start():
            if action.after is None:
                return [command("unschedule", action.job)]
            return [command("start_at", action.job, str(taken_s + round(action.after)))]
        case MoveReplicas():
            return [f"step {each}" for each in expert_calls(action)]
        case Compress():
            if action.after is None:
                return [comment("the checkpoint itself never left its place; remove the archive by hand if unwanted")]
            return [command("check_archive", action.after.sha256, action.after.path)]


def _places(workers: Sequence[Worker]) -> list[str]:
    return [f"{worker.node}:{','.join(map(str, worker.gpus))}" for worker in workers]
