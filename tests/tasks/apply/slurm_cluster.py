"""A Slurm cluster that a stand-in plays, and an executor that is quick about it."""

import json
from pathlib import Path

from tasks.apply.slurm import SlurmExecutor

STAND_IN = Path(__file__).with_name("slurm_stand_in.py")
TAKEN_S = 4_000_000_000
"""Far ahead, so that planned starts are."""

QUICK = SlurmExecutor(poll_s=0.1, stop_timeout_s=0.3, start_timeout_s=0.3, taken_s=TAKEN_S)


class Cluster:
    """The jobs of a stand-in, and what it was told."""

    def __init__(self, folder):
        self.folder = folder

    def has(self, *records, **more):
        jobs = {str(each["job_id"]): each for each in records}
        (self.folder / "state.json").write_text(json.dumps({"jobs": jobs, **more}))

    def job(self, number):
        return json.loads((self.folder / "state.json").read_text())["jobs"][str(number)]

    def changes(self):
        log = self.folder / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line.removeprefix("scontrol ") for line in lines if not line.startswith("squeue")]
