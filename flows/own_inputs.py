"""What can be done from a terminal without a cluster? Experts of recordings, tokens of a stream, rounds of messages."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.told import say, told


def experts(
    recordings: Annotated[list[Path], typer.Argument(help="SGLang's expert recordings, oldest first.")],
    ranks: Annotated[int, typer.Option(min=1, help="GPUs of the expert-parallel group.")],
    slots_per_rank: Annotated[int, typer.Option(min=1, help="Expert slots of each GPU and layer.")],
    current: Annotated[
        Path | None, typer.Option("--map", help="The map in force: SGLang, vLLM or TensorRT-LLM. Default: in order.")
    ] = None,
    budget: Annotated[
        int, typer.Option(min=0, help="Replicas that may move. Default: as many as there are.")
    ] = 10_000_000,
    gpus_per_domain: Annotated[int, typer.Option(min=1, help="GPUs of an NVLink domain.")] = 8,
    effort: Annotated[Literal["quick", "standard", "thorough"], typer.Option(help="How hard to try.")] = "standard",
    output: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Place the experts of a served model, and write maps that SGLang, vLLM and TensorRT-LLM load (experts/)."""
    from data.readers.sources import ExpertRecordings
    from flows.params import RoutingParams
    from flows.routing import optimize_routing
    from flows.terminal import run_in_terminal

    source = ExpertRecordings(tuple(recordings), ranks, slots_per_rank, map=current, gpus_per_domain=gpus_per_domain)
    params = RoutingParams(source=source, effort=effort, seed=seed, migration_budget_replicas=budget, output=output)
    with told():
        run_in_terminal(params, optimize_routing)


def tokens(
    stream: Annotated[Path, typer.Argument(help="JSON list, or CSV with token_id, complexity, source.")],
    graph: Annotated[Path, typer.Argument(help='Model graph: NetworkX JSON, or {"num_experts": 64}.')],
    method: Annotated[
        Literal["auto", "hash", "bounded-hash", "qaoa", "hqc"], typer.Option(help="auto goes by size and hardware.")
    ] = "auto",
    hardware: Annotated[
        Literal["online", "overloaded", "none"], typer.Option(help="For circuits; the simulator counts as online.")
    ] = "online",
    output: Annotated[Path, typer.Option(help="Where the queues of the experts go, as JSON.")] = Path(
        "runs/tokens.json"
    ),
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Send each token of a stream to an expert, and write the queue of each."""
    from flows.terminal import with_progress
    from flows.tokens import TokenParams, route_tokens

    params = TokenParams(tokens=stream, model_graph=graph, method=method, hardware=hardware, output=output, seed=seed)
    with told():
        path = Path(with_progress(route_tokens, params))
        routed = json.loads(path.read_text(encoding="utf-8"))
        say(f"{routed['tokens']:,} tokens, {routed['left_out']:,} left out: {routed['settings']['why']}")
        for name, text in (
            ("fullest", "fullest expert over its share"),
            ("crossing_share", "share of work that changes domain"),
            ("mean_way", "mean way, of the longest"),
        ):
            say(f"  {text:36}{routed['before'][name]:8.3f} -> {routed['after'][name]:.3f}")
        for row in routed["solvers"]:
            chosen = ", chosen" if row["chosen"] else ""
            say(f"  cost of {routed['window_tokens']:,} tokens, {row['method']:24}{row['cost']:12.6g}{chosen}")
        for each in routed["fallbacks"]:
            say(f"  {each['wanted']} failed, {each['used']} stood in: {each['reason']}")
        for record in routed["set_aside"]:
            say(f"  set aside: {record}", fg="red", err=True)
        say(f"queues  {path}")


def links(
    transfers: Annotated[Path, typer.Argument(help="CSV source,target,bandwidth or gigabytes; or JSON of the same.")],
    rounds: Annotated[int | None, typer.Option(min=1, help="Most rounds, of all planes. Default: the file's.")] = None,
    planes: Annotated[
        int, typer.Option(min=1, max=1024, help="Equal copies of the fabric side by side, e.g. rails with a NIC each.")
    ] = 1,
    method: Annotated[
        Literal["auto", "crossbar", "colouring"],
        typer.Option(help="auto is exact on a crossbar, and colours where rails or planes are shared."),
    ] = "auto",
    duplex: Annotated[Literal["full", "half"], typer.Option(help="Whether a GPU sends and receives at once.")] = "full",
    effort: Annotated[Literal["quick", "standard", "thorough"], typer.Option(help="Of the colouring.")] = "standard",
    output: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Schedule transfers in rounds that share no port, rail or plane, and write rounds.json."""
    from data.schemas.transfers import ROUND_SCHEDULE
    from flows.links import FILE_NAME, LinksParams, schedule_links, summary
    from flows.terminal import with_progress

    params = LinksParams(
        transfers=transfers,
        rounds=rounds,
        planes=planes,
        method=method,
        duplex=duplex,
        effort=effort,
        output=output,
        seed=seed,
    )
    with told():
        folder = Path(with_progress(schedule_links, params))
        schedule = ROUND_SCHEDULE.validate_json((folder / FILE_NAME).read_bytes())
        say(summary(schedule).replace("**", ""))
        say(f"rounds  {folder / FILE_NAME}")
