"""Which options does `run` take? Each is one field of the form; defaults stand with the command."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Sample = Annotated[
    Literal["small", "fragmented", "over-cap"] | None, typer.Option(help="A cluster that ships with the project.")
]
Snapshot = Annotated[Path | None, typer.Option(help="A snapshot file in our JSON format.")]
Slurm = Annotated[bool, typer.Option("--slurm", help="The Slurm that this machine's commands talk to.")]
SlurmFiles = Annotated[
    tuple[Path, Path] | None,
    typer.Option(metavar="SQUEUE SINFO", help="Output of squeue --json and sinfo --json."),
]
Kubernetes = Annotated[bool, typer.Option("--kubernetes", help="The current context of kubectl.")]
KubernetesFiles = Annotated[
    tuple[Path, Path] | None,
    typer.Option(metavar="NODES PODS", help="Output of kubectl get nodes and get pods -A, both with -o json."),
]
Philly = Annotated[Path | None, typer.Option(help="A Philly trace: 500 jobs replayed on 1,024 GPUs.")]
JobGraph = Annotated[Path | None, typer.Option(help='Jobs that wait for one another, in JSON: {"jobs": {"B": ["A"]}}.')]
Profile = Annotated[
    Path | None, typer.Option(help="With --job-graph: what jobs draw, as JSON {job: watts} or CSV job,power_w.")
]
Fabric = Annotated[
    Path | None, typer.Option(help="An idle cluster from a topology dump, e.g. CSV source,target,bandwidth.")
]
Source = Annotated[str | None, typer.Option(help="A source with all of its fields, as JSON; --sources lists them.")]
Nouns = Annotated[str, typer.Option(help="What to improve, comma-separated: placement, power, routing, checkpoints.")]
Solver = Annotated[
    Literal["qaoa", "qaoa-simulator", "rqaoa", "boltzmann", "anneal", "path-integral", "exact"],
    typer.Option(help="Proposes changes after the classical search."),
]
Effort = Annotated[
    Literal["quick", "standard", "thorough"], typer.Option(help="Counted in moves and windows, not in seconds.")
]
Seed = Annotated[int, typer.Option(min=0, help="Same input, same seed: same plan, byte for byte.")]
MigrationBudget = Annotated[
    int | None, typer.Option(min=0, help="GPUs of running jobs that the plan may move. Default: the snapshot's.")
]
PowerCap = Annotated[float | None, typer.Option(help="Watts that the cluster may draw. Default: the snapshot's.")]
EnergyBudget = Annotated[
    float | None, typer.Option(help="kWh of all jobs until they end, above idle GPUs. Default: the snapshot's.")
]
Frontier = Annotated[
    int, typer.Option(min=0, max=16, help="Show in the report how much later jobs end under this many energy budgets.")
]
Output = Annotated[Path, typer.Option(help="Folder of the runs.")]
PreviousPlan = Annotated[
    Path | None,
    typer.Option(help="Begin at the last plan: plan.json, a run's folder, or a folder of runs, e.g. runs."),
]
Stability = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="Share of the gain that may be given up to keep to the last plan.")
]
PowerModel = Annotated[Path | None, typer.Option(help="Folder of a trained power forecaster.")]
Guard = Annotated[float, typer.Option(help="Seconds after which no further window is begun.")]
Topology = Annotated[Path | None, typer.Option(help="A topology dump that says better where nodes stand.")]
TopologyMatch = Annotated[Literal["name", "order"], typer.Option(help="How the dump's nodes are found in the source.")]
Prometheus = Annotated[str | None, typer.Option(help="Address of a Prometheus server with DCGM's metrics.")]
Sources = Annotated[bool, typer.Option("--sources", help="List the kinds of sources with their fields.")]
Workers = Annotated[
    str,
    typer.Option(
        metavar="WHO",
        help="Who computes the same plan: 1 for this process, N processes, dask:N, or tls://HOST:PORT of a scheduler.",
    ),
]


def workers_of(text: str) -> dict[str, object]:
    """Return the fields of the form that ``--workers`` means.

    Args:
        text: as it was given.

    Raises:
        typer.BadParameter: it means nothing.
    """
    if "://" in text:
        return {"kind": "dask", "address": text}
    kind, _, count = text.rpartition(":")
    if kind not in ("", "dask") or not count.isascii() or not count.isdigit():
        raise typer.BadParameter(f"--workers: expected a number, dask:NUMBER or tls://HOST:PORT, found {text!r}")
    if not kind and int(count) == 1:
        return {"kind": "local"}
    return {"kind": kind or "processes", "count": int(count)}
