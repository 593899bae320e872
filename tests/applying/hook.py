"""A hook over a cluster that is one JSON file, ``state.json`` beside it; run as a program, it needs nothing of ours.

``fail`` beside it names a change that is refused, as ``JOB FIELD``; ``wait`` one that hangs until that file is gone,
and is not made then.
"""

import json
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
FIELDS = {"migrate": "place", "place": "place", "recap": "cap", "start": "start"}


def told(name):
    """Return what a file beside this one says; nothing where there is none."""
    return (FOLDER / name).read_text() if (FOLDER / name).exists() else ""


def main(verb):
    state = json.loads((FOLDER / "state.json").read_text())
    found = []
    for action in json.load(sys.stdin)["actions"]:
        job, field = state.get(action["job"]), FIELDS[action["kind"]]
        if job is None:
            found.append(("gone", "there is no such job"))
        elif job.get(field) == action["after"]:
            found.append(("after", f"{field} is {job.get(field)}"))
        elif job.get(field) == action["before"]:
            found.append(("before", f"{field} is {job.get(field)}"))
        else:
            found.append(("other", f"{field} is {job.get(field)}"))
        if verb == "carry-out" and job is not None:
            change = f"{action['job']} {field}"
            if told("fail") == change:
                sys.exit(f"{action['job']} will not be changed")
            if told("wait") == change:
                while told("wait"):
                    time.sleep(0.05)
                sys.exit("stopped while it waited")
            job[field] = action["after"]
            (FOLDER / "state.json").write_text(json.dumps(state))
            with (FOLDER / "changes.txt").open("a") as changes:
                changes.write(f"{change}\n")
    if verb == "look":
        print(json.dumps({"found": [{"standing": standing, "detail": detail} for standing, detail in found]}))


if __name__ == "__main__":
    main(sys.argv[1])
