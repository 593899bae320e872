"""Tokens onto experts: from a stream and a model graph to a queue for each expert."""

from pathlib import Path
from typing import Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, ConfigDict, Field

from data.errors import BadRecord
from data.readers.expert_graph import read_expert_graph
from data.readers.tokens import read_tokens
from flows.params import EFFORTS, EffortName
from flows.permitted import require_permitted
from flows.watch import Watch, artifact_progress
from tasks.problems.tokens import TokenWeights
from tasks.report.markdown_text import escaped
from tasks.route_tokens import route_stream, write_routing
from tasks.token_routing.settings import Hardware, Method, recommended, settings_of


class TokenParams(BaseModel):
    """One routing: the stream, the experts, and who decides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: Path = Field(title="Tokens", description="JSON list, or CSV with token_id, complexity, source")
    model_graph: Path = Field(title="Model graph", description='NetworkX JSON, or {"num_experts": 64}')
    method: Method | Literal["auto"] = Field(
        default="auto", title="Method", description="auto chooses by the number of tokens and the hardware"
    )
    hardware: Hardware = Field(
        default="online", title="Device for circuits", description="online counts the simulator; for auto"
    )
    weights: TokenWeights = Field(default=TokenWeights(), title="What ways and contention weigh against congestion")
    effort: EffortName = Field(default="quick", title="Effort of the refinement")
    output: Path = Field(default=Path("runs/tokens.json"), title="Output file")
    seed: int = Field(default=0, ge=0, lt=2**63, title="Seed")
    guard_s: float = Field(default=300.0, gt=0, title="Time guard (s)")


@flow(name="route-tokens", flow_run_name="tokens-{params.method}")
def route_tokens(params: TokenParams) -> str:
    """Send each token to an expert, and write the queue of each.

    Args:
        params: the stream, the experts, and who decides.

    Returns:
        The file with the queues and the account.

    Raises:
        SourceUnavailable: a file cannot be read.
        BadSource: a file is no stream, or no graph.
        BadRecord: the output cannot be written.
    """
    require_permitted(params)
    _make_room(params.output)
    watch = Watch(params.guard_s, artifact_progress("ingest", key="route-tokens-progress"))
    graph = read_expert_graph(params.model_graph)
    reading = read_tokens(params.tokens, graph)
    tokens = reading.tokens
    auto = params.method == "auto"
    settings = recommended(len(tokens), params.hardware) if auto else settings_of(params.method)  # type: ignore[arg-type]  # not auto
    watch.enter("route", 0.3)
    routed = route_stream(
        tokens,
        graph,
        settings,
        effort=EFFORTS[params.effort],
        weights=params.weights,
        seed=params.seed,
        expired=watch.expired,
    )
    set_aside = [str(record) for record in reading.set_aside]
    write_routing(params.output, tokens, graph, routed, left_out=reading.left_out, set_aside=set_aside)
    lines = [
        f"{len(tokens):,} tokens on {len(graph.experts):,} experts: {settings.start}, {settings.why}.",
        f"Fullest expert {routed.before.fullest:.3f} -> {routed.after.fullest:.3f} x its share, "
        f"work that changes domain {routed.before.crossing_share:.1%} -> {routed.after.crossing_share:.1%}.",
        *(f"Set aside: {escaped(record)}" for record in set_aside),
        *(
            escaped(f"{fallback.stage}: {fallback.wanted} -> {fallback.used}: {fallback.reason}")
            for fallback in routed.fallbacks
        ),
    ]
    create_markdown_artifact("\n\n".join(lines), key="route-tokens-summary", description="Where the tokens go")
    return str(params.output)


def _make_room(output: Path) -> None:
    """Make the folder of the output before anything is computed for it."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRecord(f"output {output}", "a file that can be written", f"{error.strerror}") from error
    if output.is_dir():
        raise BadRecord(f"output {output}", "the name of a file", "a folder")
