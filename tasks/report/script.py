"""What frames a script that nobody runs unasked? It prints; it acts only if told so, and it can go back."""

import re
import shlex
from collections.abc import Sequence

from data.schemas.plan import MoveReplicas, Plan
from tasks.report.changes import headline
from tasks.report.order import loads, split_anew
from tasks.report.plain import one_line

HOST = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*", re.ASCII)
"""A host as an argument: no option, no range of hosts, no file, no address of anything else."""

ARGUMENTS = """\
set -euo pipefail

run=no way=apply
for argument in "$@"; do
  case "$argument" in
    --run) run=yes ;;
    --undo) way=undo ;;
    *) echo "usage: $0 [--undo] [--run]" >&2; exit 2 ;;
  esac
done

# Prints a command, and runs it if asked to.
step() {
  printf '+'; printf ' %q' "$@"; printf '\\n'
  if [ "$run" = yes ]; then "$@"; fi
}
"""

ARCHIVE = """\
# Checks the digest of an archive that lies beside this script.
check_archive() {
  (cd "$(dirname "$0")" && printf '%s  %s\\n' "$1" "$2" | sha256sum --check)
}
"""


def preamble(plan: Plan, what: str, file: str, advice: Sequence[str]) -> str:
    """Return the head of a script.

    Args:
        plan: what the script carries out.
        what: in which commands.
        file: its usual name.
        advice: what whoever runs it should know, line by line.
    """
    lines = [
        f"Plan for {one_line(plan.cluster)} as {what}. REVIEW BEFORE RUNNING.",
        "",
        *about(plan),
        "",
        f"  bash {file}                  prints the commands in the order to keep, changes nothing",
        f"  bash {file} --run            runs them, and stops at the first that fails",
        f"  bash {file} --undo [--run]   the same for the way back",
        *(["", *advice] if advice else []),
    ]
    comment = "\n".join(f"# {line}".rstrip() for line in lines)
    return f"#!/usr/bin/env bash\n{comment}\n{ARGUMENTS}"


def about(plan: Plan) -> tuple[str, ...]:
    """Return what identifies ``plan``, as lines of a comment."""
    return (
        one_line(headline(plan.actions)),
        f"  plan      sha256 {one_line(plan.sha256)}, made by version {one_line(plan.code_version)}, seed {plan.seed}",
        f"  snapshot  sha256 {one_line(plan.snapshot_sha256)}, taken {one_line(plan.snapshot_taken_at)}",
        "It holds only for the state that it was made for. Check first that the cluster is still in it:",
        "  python -m flows plan verify plan.json --snapshot NOW.json",
    )


def function(name: str, body: Sequence[str]) -> str:
    """Return a shell function of ``body``, whose lines are complete commands or comments."""
    inside = "\n".join(f"  {line}".rstrip() for line in (*body, ":"))
    return f"{name}() {{\n{inside}\n}}\n"


def call(*words: str) -> str:
    """Return a command of a script; every word is quoted."""
    return " ".join(map(quoted, words))


def quoted(word: str) -> str:
    """Return ``word`` as one word of bash, in characters that steer no terminal on which the script is read."""
    if word.isprintable():
        return shlex.quote(word)
    octets = word.replace("\0", "\ufffd").encode(errors="replace")  # no word of bash holds a NUL
    plain = (chr(each) if chr(each).isalnum() and each < 128 else f"\\x{each:02x}" for each in octets)
    return f"$'{''.join(plain)}'"


def command(*words: str) -> str:
    """Return a command that is shown, and run only if the script was told to."""
    return f"step {call(*words)}"


def expert_calls(action: MoveReplicas) -> list[str]:
    """Return a call of ``set_experts`` for each step, so each expert stays served, then one of ``split_tokens``."""
    where = (action.deployment, str(action.layer))
    calls = [
        call("set_experts", *where, *(f"{load.slot}={load.expert}{'/spare' * load.staged}" for load in step))
        for step in loads(action)
    ]
    shares = split_anew(action)
    if shares is not None:
        said = [f"{slot}={share:.10g}" for slot, share in shares] or ["evenly"]
        calls.append(call("split_tokens", *where, *said))
    return calls


def comment(text: str) -> str:
    """Return ``text`` as a comment that cannot end before its line does."""
    return f"# {one_line(text)}"
