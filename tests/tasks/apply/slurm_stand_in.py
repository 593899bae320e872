"""Stands in for squeue, scontrol and scancel: keeps jobs in state.json beside it, and logs what it is told.

A job of ``state.json`` is a record of ``squeue --json``; ``"stuck": true`` never stops, ``"elsewhere": true`` finds no
room again, ``"free": "c"`` starts there as soon as it may run anywhere, ``"races": true`` starts in the moment in which
it is to be held, ``"dies": true`` has no handler for signals, ``"starts": true`` starts as soon as it is updated,
``"ends": N`` is completing for N more looks. Beside the jobs, ``"reserved": true`` stands for a reservation that a
plan's apply made, ``"taken": true`` for somebody else's.
"""

# it starts hundreds of times, and pathlib takes longer to import than all that it does
# ruff: noqa: PTH100, PTH119, PTH120, PTH123
import json
import os.path
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FIELDS = {
    "ReqNodeList": "required_nodes", "AdminComment": "admin_comment", "StartTime": "eligible_time",
    "ReservationName": "resv_name",
}  # fmt: skip


def main(program, words):
    with open(f"{HERE}/state.json") as file:
        state = json.load(file)
    jobs = state["jobs"]
    if any(word.startswith("ReservationName=") for word in words[:3]) and not words[1].startswith("JobId="):
        reserve(state, words)
    with open(f"{HERE}/log", "a") as log:
        log.write(" ".join([program, *words]) + "\n")
    if state.get("down"):
        sys.exit(f"{program}: error: Unable to contact slurm controller (connect failure)")
    if program == "squeue":
        look(jobs)
        with open(f"{HERE}/state.json", "w") as file:
            json.dump(state, file)
        if "--json" in words:
            print(json.dumps({"errors": [], "jobs": list(jobs.values())}))
        elif "--format=%i|%v" in words:
            print("\n".join(f"{name}|{job.get('resv_name') or '(null)'}" for name, job in jobs.items()))
        else:
            asked = next(word for word in words if word.startswith("--jobs=")).removeprefix("--jobs=").split(",")
            print("\n".join(f"{name}|{jobs[name]['job_state']}" for name in asked if name in jobs))
        return
    if words[1] in ("reservation", "ReservationName=quantumflow_apply"):
        with open(f"{HERE}/state.json", "w") as file:
            json.dump(state, file)
        return
    name = next(word.removeprefix("JobId=") for word in reversed(words) if word.removeprefix("JobId=") in jobs)
    job = jobs[name]
    if job.get("refuses") == words[0]:
        sys.exit("slurm_update error: Invalid node name specified")
    change(job, words)
    with open(f"{HERE}/state.json", "w") as file:
        json.dump(state, file)


def reserve(state, words):
    if words[0] == "create":
        if state.get("reserved") or state.get("taken"):
            sys.exit("Error creating the reservation: Requested reservation overlaps with another reservation")
        state["reserved"] = True
    elif not state.get("reserved"):
        sys.exit("Error updating the reservation: Requested reservation is invalid")
    elif words[0] == "delete":
        if any(job.get("resv_name") for job in state["jobs"].values()):
            sys.exit("slurm_delete_reservation: Requested reservation is in use")
        state["reserved"] = False


def look(jobs):
    for job in jobs.values():
        if "ends" in job:
            job.update(job_state="COMPLETING" if job["ends"] else "COMPLETED", ends=max(job["ends"] - 1, 0))


def change(job, words):
    if words[0] == "hold":
        if job.pop("races", False):
            job.update(job_state="RUNNING", nodes="a", gres_detail=["gpu:1"])
        job.update(priority=0, state_reason="JobHeldAdmin")
    elif words[0] == "requeuehold" and not job.get("stuck"):
        job.update(job_state="PENDING", priority=0, nodes="", gres_detail=[], state_reason="JobHeldUser")
    elif words[0] == "release":
        job.update(priority=1, state_reason="None")
        found = "" if job.get("elsewhere") else job["required_nodes"] or job.get("free")
        if job["job_state"] == "PENDING" and found:
            nodes = found.split(",")
            job.update(job_state="RUNNING", nodes=",".join(nodes), gres_detail=["gpu:1"] * len(nodes))
    elif words[0].startswith("--signal") and job.get("dies"):
        job.update(job_state="FAILED", nodes="", gres_detail=[])
    elif words[0] == "update":
        for key, value in (word.split("=", 1) for word in words[2:]):
            if key in FIELDS:
                job[FIELDS[key]] = 0 if value == "now" else value
            elif key == "NumNodes":
                job["node_count"] = int(value.split("-")[0])
        if job.pop("starts", False):
            job.update(job_state="RUNNING", nodes="a", gres_detail=["gpu:1"])


main(os.path.basename(sys.argv[0]), sys.argv[1:])
