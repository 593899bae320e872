"""What can be done from a terminal? The same flow as in the Prefect UI, and looks at its plans."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from data.errors import BadRecord
from flows.own_inputs import experts, links, tokens
from flows.told import told

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="""Improve a GPU cluster: read its state, refine it, and write a plan that can be verified and undone.

    Begin with [bold]run[/bold]: without options it plans for the small sample cluster.
    Exit codes: 0 done, 1 no plan or a check failed, 2 wrong usage.""",
)
plan_app = typer.Typer(no_args_is_help=True, help="Look at a plan, verify it, or print it as commands.")
snapshot_app = typer.Typer(no_args_is_help=True, help="Check a snapshot of a cluster, or make a sample.")
app.add_typer(plan_app, name="plan")
app.add_typer(snapshot_app, name="snapshot")

PlanPath = Annotated[Path, typer.Argument(help="plan.json, or the folder of a run")]
LATEST = Path("runs/latest")


@app.command()
def run(  # each option is one field of the form
    sample: Annotated[
        Literal["small", "fragmented", "over-cap"] | None, typer.Option(help="A cluster that ships with the project.")
    ] = None,
    snapshot: Annotated[Path | None, typer.Option(help="A snapshot file in our JSON format.")] = None,
    slurm: Annotated[bool, typer.Option("--slurm", help="The Slurm that this machine's commands talk to.")] = False,
    slurm_files: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="SQUEUE SINFO", help="Output of squeue --json and sinfo --json."),
    ] = None,
    kubernetes: Annotated[bool, typer.Option("--kubernetes", help="The current context of kubectl.")] = False,
    kubernetes_files: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="NODES PODS", help="Output of kubectl get nodes and get pods -A, both with -o json."),
    ] = None,
    philly: Annotated[Path | None, typer.Option(help="A Philly trace: 500 jobs replayed on 1,024 GPUs.")] = None,
    job_graph: Annotated[
        Path | None, typer.Option(help='Jobs that wait for one another, in JSON: {"jobs": {"B": ["A"]}}.')
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(help="With --job-graph: what jobs draw, as JSON {job: watts} or CSV job,power_w.")
    ] = None,
    fabric: Annotated[
        Path | None, typer.Option(help="An idle cluster from a topology dump, e.g. CSV source,target,bandwidth.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="A source with all of its fields, as JSON; --sources lists them."),
    ] = None,
    nouns: Annotated[
        str, typer.Option(help="What to improve, comma-separated: placement, power, routing, checkpoints.")
    ] = "placement,power,routing,checkpoints",
    solver: Annotated[
        Literal["qaoa", "qaoa-simulator", "rqaoa", "boltzmann", "anneal", "path-integral", "exact"],
        typer.Option(help="Proposes changes after the classical search."),
    ] = "qaoa",
    effort: Annotated[
        Literal["quick", "standard", "thorough"], typer.Option(help="Counted in moves and windows, not in seconds.")
    ] = "standard",
    seed: Annotated[int, typer.Option(min=0, help="Same input, same seed: same plan, byte for byte.")] = 0,
    migration_budget: Annotated[
        int | None, typer.Option(min=0, help="GPUs of running jobs that the plan may move. Default: the snapshot's.")
    ] = None,
    power_cap: Annotated[
        float | None, typer.Option(help="Watts that the cluster may draw. Default: the snapshot's.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    power_model: Annotated[Path | None, typer.Option(help="Folder of a trained power forecaster.")] = None,
    guard: Annotated[float, typer.Option(help="Seconds after which no further window is begun.")] = 900.0,
    topology: Annotated[Path | None, typer.Option(help="A topology dump that says better where nodes stand.")] = None,
    topology_match: Annotated[
        Literal["name", "order"], typer.Option(help="How the dump's nodes are found in the source.")
    ] = "name",
    prometheus: Annotated[str | None, typer.Option(help="Address of a Prometheus server with DCGM's metrics.")] = None,
    sources: Annotated[bool, typer.Option("--sources", help="List the kinds of sources with their fields.")] = False,
) -> None:
    """Plan for a cluster and write plan.json, report.html and renderings to a new folder of OUTPUT."""
    from pydantic import ValidationError

    from flows.cluster import optimize_cluster
    from flows.params import SOLVERS, OptimizeParams
    from flows.terminal import list_sources, run_in_terminal

    if sources:
        list_sources()
        return
    given: dict[str, object] = {
        "sample": sample and {"name": sample},
        "snapshot": snapshot and {"path": snapshot},
        "slurm": slurm and {},
        "slurm-files": slurm_files and {"squeue": slurm_files[0], "sinfo": slurm_files[1]},
        "kubernetes": kubernetes and {},
        "kubernetes-files": kubernetes_files and {"nodes": kubernetes_files[0], "pods": kubernetes_files[1]},
        "philly": philly and {"path": philly},
        "job-graph": job_graph and {"path": job_graph, "profile": profile},
        "fabric": fabric and {"path": fabric},
    }
    if profile is not None and job_graph is None:
        raise typer.BadParameter("--profile: expected --job-graph beside it, found none")
    try:
        params = OptimizeParams.model_validate(
            {
                "source": _source(given, source),
                "nouns": tuple(noun.strip() for noun in nouns.split(",") if noun.strip()),
                "solver": SOLVERS[solver],
                "effort": effort,
                "seed": seed,
                "migration_budget_gpus": migration_budget,
                "power_cap_w": power_cap,
                "output": output,
                "power_model": power_model,
                "guard_s": guard,
                "topology": topology,
                "topology_match": topology_match,
                "telemetry": None if prometheus is None else {"url": prometheus},
            }
        )
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()]
        raise typer.BadParameter("; ".join(lines)) from error
    with told():
        run_in_terminal(params, optimize_cluster)


def _source(given: dict[str, object], text: str | None) -> object:
    """Return the one source that was asked for; the small sample where none was."""
    asked = {kind: fields for kind, fields in given.items() if fields is not None and fields is not False}
    if len(asked) + (text is not None) > 1:
        raise typer.BadParameter(f"expected one source, found {', '.join([*asked, *(['--source'] if text else [])])}")
    if text is not None:
        try:
            return json.loads(text)
        except ValueError as error:
            raise typer.BadParameter(f"--source: expected JSON, found {text!r} ({error})") from error
    for kind, fields in asked.items():
        return {"kind": kind, **cast("dict[str, object]", fields)}
    return {"kind": "sample"}


@plan_app.command("show")
def show(path: PlanPath = LATEST) -> None:
    """Show what a plan changes, what it gains, and who found it."""
    from data.readers.plan import read_plan
    from flows.terminal import wide_console
    from tasks.report.text import plan_tables

    with told():
        wide_console().print(*plan_tables(read_plan(_plan_file(path))))


@plan_app.command()
def verify(
    path: PlanPath = LATEST,
    snapshot: Annotated[
        Path | None, typer.Option(help="The cluster's state. Default: the one that lies beside the plan.")
    ] = None,
) -> None:
    """Check a plan from scratch: constraints, figures, archives, and that it can be undone."""
    from data.readers.plan import check_fresh, read_plan
    from data.readers.snapshot import read_snapshot
    from flows.publish import SNAPSHOT
    from flows.terminal import verdict_table, wide_console
    from tasks.validate import validate

    with told():
        file = _plan_file(path)
        plan = read_plan(file)
        state = read_snapshot(snapshot or file.parent / SNAPSHOT).snapshot
        check_fresh(plan, state)
        verdict = validate(plan, state, file.parent)
        wide_console().print(verdict_table(verdict))
    if not verdict.passed:
        raise typer.Exit(1)


@plan_app.command()
def render(
    path: PlanPath = LATEST,
    form: Annotated[Literal["shell", "slurm", "kubernetes"], typer.Option("--as", help="Which commands.")] = "shell",
) -> None:
    """Print a plan as commands for review; nothing is run."""
    from data.readers.plan import read_plan
    from tasks.report.kubernetes import as_kubernetes
    from tasks.report.shell import as_shell
    from tasks.report.slurm import as_slurm

    with told():
        plan = read_plan(_plan_file(path))
        sys.stdout.write({"shell": as_shell, "slurm": as_slurm, "kubernetes": as_kubernetes}[form](plan))


@snapshot_app.command()
def check(path: Annotated[Path, typer.Argument(help="A snapshot file.")]) -> None:
    """List every problem of a snapshot, each with its place, what was expected and what was found."""
    from data.readers.snapshot import read_snapshot

    with told():
        reading = read_snapshot(path)
        state = reading.snapshot
        gpus = sum(node.gpus for node in state.nodes)
        typer.echo(
            f"{path}: {len(state.nodes)} nodes, {gpus} GPUs, {len(state.jobs)} jobs, "
            f"{len(state.deployments)} MoE deployment(s), {len(state.checkpoints)} checkpoint(s)"
        )
        for record in reading.set_aside:
            typer.secho(f"  {record}", fg="red", err=True)
        if reading.set_aside:
            typer.secho(f"{len(reading.set_aside)} record(s) would be set aside", fg="red", err=True)
            raise typer.Exit(1)
        typer.secho("no problems", fg="green")


@snapshot_app.command("sample")
def make_sample(
    name: Annotated[Literal["small", "fragmented", "over-cap"], typer.Argument(help="Which cluster.")],
    folder: Annotated[Path, typer.Argument(help="Where to write cluster.json and checkpoints/.")],
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives another cluster of the same kind.")] = 0,
) -> None:
    """Generate a sample cluster like those that ship with the project."""
    import numpy as np

    from data.generators.samples import write_sample

    with told():
        write_sample(name, folder, np.random.default_rng(seed))
        typer.echo(f"wrote {folder / 'cluster.json'}")


@app.command()
def train(
    snapshot: Annotated[
        Path | None, typer.Option(help="A snapshot with measured jobs. Default: the small sample.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder of the model.")] = Path("models/power"),
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Teach the power forecaster on measured jobs; `run --power-model FILE` uses what it stores."""
    import numpy as np

    from data.readers.snapshot import read_snapshot
    from data.readers.sources import Sample
    from tasks.forecasters.model_file import FILE_NAME, save_model
    from tasks.forecasters.protocol import ForecastFailed
    from tasks.predict import train_on

    with told():
        state = (read_snapshot(snapshot) if snapshot else Sample()()).snapshot
        try:
            trained = train_on(state, np.random.default_rng(seed))
        except ForecastFailed as error:
            raise BadRecord(
                str(snapshot or "small sample"), "enough measured jobs to learn from", str(error)
            ) from error
        output.mkdir(parents=True, exist_ok=True)
        save_model(trained, output / FILE_NAME)
        errors = trained.held_out
        typer.echo(
            f"{output / FILE_NAME}: {len(trained.samples.ids)} measured jobs; mean error on gangs held out: "
            f"graph network {errors.graph:.1%}, boosting {errors.boosting:.1%}, median {errors.median:.1%}"
        )


@app.command()
def schema(
    name: Annotated[Literal["snapshot", "plan"], typer.Argument(help="Which format.")],
) -> None:
    """Print the JSON schema of the snapshot or of the plan."""
    from data.jsonschema import schema_text

    sys.stdout.write(schema_text(name))


for command in (experts, tokens, links):
    app.command()(command)


@app.command("compile")
def compile_ahead() -> None:
    """Compile the arithmetic of the capabilities ahead of the first run, which then need not wait for it."""
    from flows.compiled import compile_kernels

    compile_kernels()


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 4200,
) -> None:
    """Start a Prefect server on 127.0.0.1 with every deployment served; Ctrl-C ends both."""
    from flows.serve import serve_everything

    with told():
        serve_everything(port)


def _plan_file(path: Path) -> Path:
    return path / "plan.json" if path.is_dir() else path
