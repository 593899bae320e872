"""How is a plan carried out on a Slurm cluster? As scontrol and srun commands, in the order to keep."""

import re
from collections.abc import Sequence

from data.schemas.job import Worker
from data.schemas.plan import Action, Compress, Migrate, MoveReplicas, Place, Plan, Recap, Start
from tasks.report.changes import told
from tasks.report.order import steps, taken_at
from tasks.report.script import ARCHIVE, HOST, call, command, comment, expert_calls, function, preamble

_JOB = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.+-]*(?:\[[0-9,%-]+\])?", re.ASCII)
"""A job, ``1234``, ``1234+1``, or tasks of an array, ``1234_5`` and ``1234_[1-9%4]``; or a name without ends."""

_ADVICE = (
    "Needs a Slurm operator or administrator, and root for power caps. A job that moves is requeued: its script starts",
    "again from the beginning and has to resume from its last checkpoint by itself; it must allow requeueing.",
    "Jobs of a batch all stop before any of them starts; a batch begins when the one before it runs again.",
    "Between stop and start Slurm may give the nodes to others: pause the partition or reserve the nodes, as",
    "python -m flows apply does.",
    "Slurm chooses the GPUs of a node; which nodes, the commands say.",
)

_FUNCTIONS = """\
# Waits until none of the jobs (comma-separated) holds nodes any more.
wait_stopped() {
  while [ -n "$(squeue --noheader --format=%i --states=RUNNING,COMPLETING,SUSPENDED,STOPPED --jobs="$1")" ]; do
    sleep 2
  done
  sleep 2  # Slurm revokes the credential of a job that starts in the second in which it was stopped
}

# Waits until all of the jobs (comma-separated) run, or have ended.
wait_started() {
  while [ -n "$(squeue --noheader --format=%i --states=PENDING,CONFIGURING --jobs="$1")" ]; do
    sleep 2
  done
}

# Prints a time (Unix seconds) as Slurm reads it, in the time zone of this machine, which must be the controller's.
at() {
  if [ "$1" -le "$(date +%s)" ]; then echo now; else date --date="@$1" +%Y-%m-%dT%H:%M:%S; fi
}

# Prints the state of a job, or nothing where there is no Slurm to ask.
state_of() { squeue --noheader --format=%T --jobs="$1" 2>/dev/null || true; }

# Changes a pending job (JOB FIELD=VALUE ...); one that is not pending any more is left alone.
pending() {
  local state
  state="$(state_of "$1")"
  if [ "${state:-PENDING}" = PENDING ]; then
    step scontrol update "JobId=$1" "${@:2}"
  else
    echo "   $1 is $state, not pending: left as it is"
  fi
}

# Lets a job that the plan gave GPUs wait for any again.
take_back() {
  if [ "$(state_of "$1")" = RUNNING ]; then step scontrol requeuehold "$1"; step wait_stopped "$1"; fi
  step scontrol update "JobId=$1" ReqNodeList=
  step scontrol release "$1"
}

# Caps each GPU of a running job (watts, or max); of one that does not run yet, notes the cap for a prolog to set.
# Inside the step CUDA_VISIBLE_DEVICES and nvidia-smi count GPUs alike, whether or not Slurm hides the others.
set_cap() {
  local number="$1" state=RUNNING nodes=1 found
  found="$(squeue --noheader --format='%A %T %D' --jobs="$1" 2>/dev/null || true)"
  if [ -n "$found" ]; then read -r number state nodes <<<"$found"; fi
  if [ "$state" = RUNNING ]; then
    # shellcheck disable=SC2016 # expanded on the node
    step srun --jobid="$number" --overlap --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 bash -c '
      watts="$1"
      if [ "$watts" = max ]; then
        watts="$(nvidia-smi -i "$CUDA_VISIBLE_DEVICES" --query-gpu=power.max_limit --format=csv,noheader,nounits |
          sort -n | head -n 1)"
      fi
      nvidia-smi -i "$CUDA_VISIBLE_DEVICES" -pl "$watts"' cap "$2"
  else
    step scontrol update "JobId=$1" "AdminComment=gpu_power_cap_w=$2"
  fi
}

# Slurm knows no experts: hand these to the serving engine, call by call, so that each expert is served by another slot
# meanwhile (DEPLOYMENT LAYER SLOT=EXPERT ...; with /spare through a spare buffer while the slot serves on).
set_experts() { echo "   for the serving engine: load $*, and wait"; }

# Likewise (DEPLOYMENT LAYER SLOT=SHARE ..., or evenly).
split_tokens() { echo "   for the serving engine: split tokens $*"; }
"""


def as_slurm(plan: Plan) -> str:
    """Return ``plan`` as a bash script of Slurm commands.

    Raises:
        BadRecord: the plan does not tell the time of its snapshot.
    """
    taken_s = taken_at(plan)
    return "\n".join(
        (
            preamble(plan, "Slurm commands", "plan.slurm.sh", _ADVICE),
            ARCHIVE,
            _FUNCTIONS,
            function("apply", _lines(plan.actions, taken_s, undo=False)),
            function("undo", _lines(plan.inverse, taken_s, undo=True)),
            '"$way"\n',
        )
    )


def _lines(actions: Sequence[Action], taken_s: int, *, undo: bool) -> list[str]:
    lines: list[str] = []
    for step in steps(actions):
        refused = [action for action in step if not _speakable(action)]
        lines += [comment(f"left out, to Slurm not one job on one node each: {_job(action)}") for action in refused]
        kept = [action for action in step if action not in refused]
        batch = [action for action in kept if isinstance(action, Migrate)]
        if batch:
            lines += _migrations(batch)
        elif kept:
            lines += ["", comment(f"{kept[0].kind} ({len(kept)})")]
            for action in kept:
                lines += [comment(f"{told(action).target}: {action.reason}"), *_one(action, taken_s, undo=undo)]
    return lines


def _migrations(batch: Sequence[Migrate]) -> list[str]:
    jobs = ",".join(action.job for action in batch)
    lines = ["", comment(f"batch {batch[0].batch}: stop all, then start all ({len(batch)})")]
    lines += [command("scontrol", "requeuehold", action.job) for action in batch]
    lines.append(command("wait_stopped", jobs))
    for action in batch:
        # a requeued job waits for some minutes unless its start is set
        words = (f"JobId={action.job}", *_nodes(action.after), "StartTime=now")
        lines += [comment(action.reason), command("scontrol", "update", *words)]
    lines += [command("scontrol", "release", action.job) for action in batch]
    lines.append(command("wait_started", jobs))
    return lines


def _one(action: Action, taken_s: int, *, undo: bool) -> list[str]:
    match action:
        case Migrate() | Place():
            if not action.after:
                return [call("take_back", action.job)]
            return [call("pending", action.job, *_nodes(action.after))]
        case Recap():
            return [call("set_cap", action.job, "max" if action.after is None else f"{action.after:.10g}")]
        case Start():
            return _start(action, taken_s, undo=undo)
        case MoveReplicas():
            return expert_calls(action)
        case Compress():
            if action.after is None:
                return [comment("the checkpoint itself never left its place; remove the archive by hand if unwanted")]
            return [command("check_archive", action.after.sha256, action.after.path)]


def _start(action: Start, taken_s: int, *, undo: bool) -> list[str]:
    """Return how a start is set; a job that the plan keeps out of the horizon is held, and undoing releases it."""
    if action.after is None and not undo:
        return [command("scontrol", "hold", action.job)]
    release = [command("scontrol", "release", action.job)] if undo and action.before is None else []
    if action.after is None:
        return [call("pending", action.job, "StartTime=now")]
    at = f'StartTime="$(at {taken_s + round(action.after)})"'
    return [*release, f"{call('pending', action.job)} {at}"]


def _speakable(action: Action) -> bool:
    """Say whether Slurm takes the names of an action for what they are.

    To Slurm ``name=x`` means every job of that name, ``gb[1-9]`` nine nodes, a slash a file, and a dash an option.
    """
    if isinstance(action, MoveReplicas | Compress):
        return True  # handed to functions of the script, which hand them to nobody
    nodes = [worker.node for worker in (*action.before, *action.after)] if isinstance(action, Migrate | Place) else []
    return bool(_JOB.fullmatch(action.job)) and all(map(HOST.fullmatch, nodes))


def _job(action: Action) -> str:
    match action:
        case Migrate() | Place() | Recap() | Start():
            return action.job
        case MoveReplicas():
            return action.deployment
        case Compress():
            return action.checkpoint


def _nodes(workers: Sequence[Worker]) -> tuple[str, str]:
    nodes = list(dict.fromkeys(worker.node for worker in workers))
    return f"ReqNodeList={','.join(nodes)}", f"NumNodes={len(nodes)}"
