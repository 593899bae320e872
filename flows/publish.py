"""Which files does a run leave? The plan, what it was made from, the report, the renderings, the timings."""

import json
from dataclasses import replace
from pathlib import Path

from data.readers.plan import write_plan
from data.readers.snapshot import write_snapshot
from data.schemas.cluster import Snapshot
from data.schemas.plan import Plan
from data.transition import apply_actions
from data.whole_file import FOLDER_MODE, whole_file
from flows.run_folder import EXPERTS, PLAN, REPORT, SNAPSHOT, TIMINGS
from tasks.predict import Forecast
from tasks.problems.power import Power
from tasks.report.expert_formats import engine_files, not_carried
from tasks.report.kubernetes import as_kubernetes
from tasks.report.page import PowerSeries, render_report
from tasks.report.power_caps import as_dcgm, as_json, as_nvidia_smi, energy_account, node_caps
from tasks.report.power_frontier import EnergyChoices
from tasks.report.shell import as_shell
from tasks.report.slurm import as_slurm
from tasks.validate import Verdict

POWER = {"json": "power.json", "nvidia-smi": "caps.nvidia-smi.sh", "dcgm": "caps.dcgm.sh"}
RENDERINGS = {"shell": "plan.sh", "slurm": "plan.slurm.sh", "kubernetes": "plan.kubernetes.yaml"}


def write_run(
    folder: Path,
    plan: Plan,
    snapshot: Snapshot,
    forecast: Forecast,
    verdict: Verdict,
    seconds: tuple[tuple[str, float], ...],
    choices: EnergyChoices | None = None,
) -> None:
    """Write everything that a run leaves into ``folder``.

    ``plan.json`` and ``snapshot.json`` hold no clock's figures: the same input and seed give the same
    bytes. What took how long stands in ``timings.json`` and in the report.

    Args:
        folder: of the run.
        plan: verified.
        snapshot: that it was made for.
        forecast: what was assumed of jobs.
        verdict: of the validator.
        seconds: what each phase took.
        choices: the energy frontier, where it was asked for.
    """
    after = apply_actions(snapshot, plan.actions)
    write_plan(plan, folder / PLAN)
    write_snapshot(snapshot, folder / SNAPSHOT)
    caps, energy = node_caps(plan, snapshot), energy_account(plan, snapshot)
    missing = tuple(note for deployment in after.deployments for note in not_carried(deployment))
    told = replace(plan, notes=(*plan.notes, *missing))  # known only now, when the maps are written
    report = render_report(told, snapshot, after, verdict, seconds, _power(snapshot, after, forecast), energy, choices)
    texts = {
        REPORT: report,
        TIMINGS: json.dumps({phase: round(spent, 3) for phase, spent in seconds}, indent=1) + "\n",
        RENDERINGS["shell"]: as_shell(plan),
        RENDERINGS["slurm"]: as_slurm(plan),
        RENDERINGS["kubernetes"]: as_kubernetes(plan),
    }
    texts |= {
        POWER["json"]: as_json(caps, energy),
        POWER["nvidia-smi"]: as_nvidia_smi(plan, caps),
        POWER["dcgm"]: as_dcgm(plan, caps),
    }
    texts |= {f"{EXPERTS}/{name}": text for name, text in engine_files(after.deployments).items()}
    for name, text in texts.items():
        (folder / name).parent.mkdir(FOLDER_MODE, exist_ok=True)
        with whole_file(folder / name) as file:
            file.write(text.encode())


def _power(before: Snapshot, after: Snapshot, forecast: Forecast) -> PowerSeries:
    """Return the draw of each slot before and after."""
    draws = []
    for state in (before, after):
        problem = Power.from_snapshot(forecast.assumed(state))
        draws.append(tuple(problem.power_w(problem.incumbent()).tolist()))
    return PowerSeries(before.limits.slot_s, draws[0], draws[1], before.limits.power_cap_w)
