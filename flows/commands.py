"""What can be done from a terminal? The same flow as in the Prefect UI, and looks at its plans."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from data.errors import BadRecord
from flows import options
from flows.apply_commands import apply
from flows.archive_commands import archive_app
from flows.budget_command import budget
from flows.doctor_command import doctor
from flows.fleet_commands import fleet_app, run_fleet
from flows.history_command import history
from flows.http_commands import http
from flows.metrics_command import metrics
from flows.own_inputs import experts, links, tokens
from flows.scaling_command import scaling
from flows.tidy_command import tidy
from flows.told import told

if TYPE_CHECKING:
    from flows.params import OptimizeParams

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
run_app = typer.Typer(invoke_without_command=True)
snapshot_app = typer.Typer(no_args_is_help=True, help="Check a snapshot of a cluster, or make a sample.")
app.add_typer(run_app, name="run")
app.add_typer(plan_app, name="plan")
app.add_typer(snapshot_app, name="snapshot")
app.add_typer(archive_app, name="archive")
app.add_typer(fleet_app, name="fleet")
run_app.command("fleet")(run_fleet)

PlanPath = Annotated[Path, typer.Argument(help="plan.json, or the folder of a run")]
LATEST = Path("runs/latest")


@run_app.callback()
def run(  # each option is one field of the form
    context: typer.Context,
    sample: options.Sample = None,
    snapshot: options.Snapshot = None,
    slurm: options.Slurm = False,
    slurm_files: options.SlurmFiles = None,
    kubernetes: options.Kubernetes = False,
    kubernetes_files: options.KubernetesFiles = None,
    philly: options.Philly = None,
    job_graph: options.JobGraph = None,
    profile: options.Profile = None,
    fabric: options.Fabric = None,
    source: options.Source = None,
    nouns: options.Nouns = "placement,power,routing,checkpoints",
    solver: options.Solver = "qaoa",
    effort: options.Effort = "standard",
    seed: options.Seed = 0,
    migration_budget: options.MigrationBudget = None,
    power_cap: options.PowerCap = None,
    energy_budget: options.EnergyBudget = None,
    frontier: options.Frontier = 0,
    output: options.Output = Path("runs"),
    previous_plan: options.PreviousPlan = None,
    stability: options.Stability = 0.01,
    power_model: options.PowerModel = None,
    guard: options.Guard = 900.0,
    workers: options.Workers = "1",
    topology: options.Topology = None,
    topology_match: options.TopologyMatch = "name",
    prometheus: options.Prometheus = None,
    sources: options.Sources = False,
) -> None:
    """Plan for a cluster and write plan.json, report.html and renderings to a new folder of OUTPUT."""
    if context.invoked_subcommand is not None:
        _nothing_before(context)
        return
    if sources:
        from flows.console import list_sources

        list_sources()
        return
    from flows.cluster import optimize_cluster
    from flows.params import SOLVERS
    from flows.terminal import run_in_terminal

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
    params = _form(
        {
            "source": _source(given, source),
            "nouns": tuple(noun.strip() for noun in nouns.split(",") if noun.strip()),
            "solver": SOLVERS[solver],
            "effort": effort,
            "seed": seed,
            "migration_budget_gpus": migration_budget,
            "power_cap_w": power_cap,
            "energy_budget_kwh": energy_budget,
            "energy_frontier": frontier,
            "output": output,
            "previous_plan": previous_plan,
            "stability": stability,
            "power_model": power_model,
            "guard_s": guard,
            "workers": options.workers_of(workers),
            "topology": topology,
            "topology_match": topology_match,
            "telemetry": None if prometheus is None else {"url": prometheus},
        }
    )
    with told():
        run_in_terminal(params, optimize_cluster)


def _nothing_before(context: typer.Context) -> None:
    """Refuse options of the cluster's run before the name of another."""
    found = [
        name for name in context.params if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]
    if found:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in found)
        raise typer.BadParameter(f"expected no option before {context.invoked_subcommand}, found {names}")


def _form(fields: dict[str, object]) -> "OptimizeParams":
    """Return the form with these fields filled in; what is wrong with them is wrong usage."""
    from pydantic import ValidationError

    from flows.params import OptimizeParams

    try:
        return OptimizeParams.model_validate(fields)
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()]
        raise typer.BadParameter("; ".join(lines)) from error


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
    from flows.console import wide_console
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
    from flows.console import verdict_table, wide_console
    from flows.run_folder import SNAPSHOT
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
    seed: Annotated[
        int | None, typer.Option(min=0, help="Gives another cluster, of other sizes. Default: the one that ships.")
    ] = None,
) -> None:
    """Generate a sample cluster: one that ships with the project, or another by its seed."""
    import numpy as np

    from data.generators.samples import SAMPLES, write_sample

    with told():
        write_sample(name, folder, np.random.default_rng(SAMPLES[name] if seed is None else seed))
        typer.echo(f"wrote {folder / 'cluster.json'}")


@app.command()
def train(
    snapshot: Annotated[
        Path | None, typer.Option(help="A snapshot with measured jobs. Default: the small sample.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder of the model.")] = Path("runs/models/power"),
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
    name: Annotated[Literal["snapshot", "plan", "rounds", "fleet", "fleet_plan"], typer.Argument(help="Which format.")],
) -> None:
    """Print the JSON schema of one of our formats."""
    from data.jsonschema import schema_text

    sys.stdout.write(schema_text(name))


for command in (apply, experts, tokens, links, scaling, budget):
    app.command()(command)
app.command()(doctor)
app.command()(history)
app.command()(metrics)
app.command()(tidy)
app.command()(http)


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
