"""Which inputs are tried, and what reads them? A small sound file of each kind, and what follows on the reading."""

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from data.digest import PLAN, SNAPSHOT, plan_digest, signed, snapshot_digest
from data.errors import BadRecord
from data.schemas.cluster import Snapshot
from data.schemas.fleet import Fleet
from data.schemas.plan import Plan

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "data" / "fixtures"
FLEET = ROOT / "data" / "samples" / "fleet"


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A sound input.

    Args:
        files: by name; one of them is changed, the others stay as they are.
        read: reads the folder with the files, and does what a run does next; returns nothing that matters.
    """

    files: Mapping[str, bytes]
    read: Callable[[Path], object]


@cache
def documents() -> dict[str, tuple[Document, ...]]:
    """Return the sound inputs of each kind."""
    return {
        "snapshot": _snapshots(),
        "plan": _plans(),
        "fleet": _fleets(),
        "fleet_plan": _fleet_plans(),
        "topology": _topologies(),
        "slurm": _slurm(),
        "kubernetes": _kubernetes(),
        "prometheus": _prometheus(),
        "csv": _tables(),
        "experts": _experts(),
    }


def _snapshots() -> tuple[Document, ...]:
    from data.readers.snapshot import read_snapshot

    def read(folder: Path) -> None:
        snapshot = read_snapshot(folder / "cluster.json").snapshot
        snapshot_digest(snapshot)
        _posed(snapshot)

    two_racks = (FIXTURES / "two_racks.json").read_bytes()
    every_kind = SNAPSHOT.dump_json(_every_kind())
    return tuple(Document({"cluster.json": octets}, read) for octets in (two_racks, every_kind))


def _posed(snapshot: Snapshot) -> None:
    """Pose the problems of a cluster, as a run does with what was read."""
    from tasks.problems.placement import Placement
    from tasks.problems.power import Power

    for problem in (Placement.from_snapshot(snapshot), Power.from_snapshot(snapshot)):
        problem.cost(problem.incumbent())


@cache
def _every_kind() -> Snapshot:
    """Return the fixture with experts, series, links and checkpoints beside its nodes and jobs."""
    from data.readers.snapshot import read_snapshot
    from data.schemas.checkpoint import Archive, Checkpoint
    from data.schemas.cluster import Limits, Link
    from data.schemas.routing import ExpertDeployment
    from data.schemas.telemetry import NodeSeries

    snapshot = read_snapshot(FIXTURES / "two_racks.json").snapshot
    job, node = snapshot.jobs[0].id, snapshot.nodes[0].id
    experts = ExpertDeployment("chat", job, 2, 2, loads=(((8.0, 4.0), (1.0, 2.0)),), placement=((0, 1, 1, 0),) * 2)
    checkpoint = Checkpoint("step-9", job, "checkpoints/red.pt", "torch", 9, "a" * 64, Archive("x.qfz", "b" * 64, 5))
    series = NodeSeries(node, 60.0, (1_000.0, 1_100.0))
    return replace(
        snapshot,
        deployments=(experts,),
        checkpoints=(checkpoint,),
        node_series=(series,),
        links=(Link("l0", node, snapshot.nodes[1].id, 50.0),),
        limits=Limits(power_cap_w=30_000.0, migration_budget_gpus=16, horizon_slots=24),
    )


def _plans() -> tuple[Document, ...]:
    from data.readers.plan import read_plan
    from tasks.validate import validate

    snapshot = _every_kind()
    sound = PLAN.dump_json(_plan(snapshot), indent=1)

    def follow(plan: Plan) -> None:
        validate(plan, snapshot, None)
        _rendered(plan)

    def read(folder: Path) -> None:
        follow(read_plan(folder / "plan.json"))

    def read_resigned(folder: Path) -> None:
        """Let the digest be right, as whoever wrote the plan would make it."""
        path = folder / "plan.json"
        with suppress(ValueError):
            plan = PLAN.validate_json(path.read_bytes())
            path.write_bytes(PLAN.dump_json(replace(plan, sha256=plan_digest(plan))))
        follow(read_plan(path))

    return Document({"plan.json": sound}, read), *(Document({"plan.json": sound}, read_resigned),) * 3


def _rendered(plan: Plan) -> None:
    from tasks.report.kubernetes import as_kubernetes
    from tasks.report.shell import as_shell
    from tasks.report.slurm import as_slurm
    from tasks.report.text import action_rows, plan_tables, solver_rows

    for render in (as_shell, as_slurm, as_kubernetes):
        with suppress(BadRecord):  # a plan that does not tell its time
            render(plan).encode()
    plan_tables(plan)
    json.dumps([action_rows(plan, 50), solver_rows(plan)]).encode()


def _plan(snapshot: Snapshot) -> Plan:
    """Return a plan with one action of each kind that holds for ``snapshot``."""
    from data.schemas.checkpoint import Archive
    from data.schemas.job import Worker
    from data.schemas.plan import (
        Action,
        Bound,
        Compress,
        Fallback,
        Metric,
        MoveReplicas,
        Place,
        Recap,
        SetAside,
        SolverRow,
        Start,
    )
    from data.transition import inverse

    running = next(job for job in snapshot.jobs if job.placement)
    pending = next(job for job in snapshot.jobs if not job.placement)
    made = Archive("checkpoints/step-9.qfz", "c" * 64, 600)
    before = snapshot.checkpoints[0].archive
    actions: tuple[Action, ...] = (
        Place(pending.id, (), (Worker(snapshot.nodes[-1].id, (0, 1)),), "room", 4.0),
        Recap(running.id, running.gpu_power_cap_w, 650.0, "leaves power", 0.25),
        Start(pending.id, pending.planned_start_s, 3_600.0, "waits", -1.0),
        MoveReplicas("chat", 0, (1, 2), (1, 1), (1, 0), "evens out", 0.4),
        Compress("step-9", before, made, "restored and compared", 400.0),
    )
    return signed(
        Plan(
            snapshot.cluster, snapshot_digest(snapshot), snapshot.taken_at, "0.1.0", '{"nouns":["placement"]}', 7,
            actions, inverse(actions), (), (Metric("placement.moved_gpus", "GPUs", 0.0, 8.0, "lower"),),
            (SolverRow("placement", "incumbent", 10.0, 0, 0, 0, chosen=True),), (Bound("placement", 1.0, 0.5, "lp"),),
            (Fallback("refine", "qaoa", "exact", "killed"),), (SetAside("a", "b", "c"),), ("a note",), "0" * 64,
        )
    )  # fmt: skip


def _fleets() -> tuple[Document, ...]:
    from data.readers.fleet.fleet_file import read_fleet
    from data.schemas.fleet import FLEET as FORMAT

    octets = FORMAT.dump_json(_tiny_fleet())
    return (Document({"fleet.json": octets}, lambda folder: read_fleet(folder / "fleet.json")),)


@cache
def _tiny_fleet() -> Fleet:
    from data.schemas.fleet import FleetLimits
    from tests.tasks.fleet.tiny import tiny

    return tiny(np.random.default_rng(1), FleetLimits())


def _fleet_plans() -> tuple[Document, ...]:
    from data.digest import fleet_plan_digest
    from data.readers.fleet.plan_file import read_fleet_plan
    from data.schemas.fleet_plan import FLEET_PLAN, FleetPlan
    from tasks.fleet.model import fleet_model
    from tasks.fleet.plan import diff_text
    from tasks.fleet.programme import place_fleet
    from tasks.validation.fleet import verify_fleet_plan
    from tests.tasks.fleet.plans import planned

    fleet = _tiny_fleet()
    model = fleet_model(fleet)
    placed = place_fleet(model, gap=0.02, seconds=30.0)
    octets = FLEET_PLAN.dump_json(planned(model, placed.nodes, placed.bound_usd_per_h))

    def follow(plan: FleetPlan) -> None:
        from flows.fleet_publish import renderings

        diff_text(plan)
        verify_fleet_plan(plan, fleet)
        renderings(plan, fleet)

    def read(folder: Path) -> None:
        follow(read_fleet_plan(folder / "fleet_plan.json"))

    def read_resigned(folder: Path) -> None:
        plan = read_fleet_plan(folder / "fleet_plan.json")
        follow(replace(plan, sha256=fleet_plan_digest(plan)))

    return tuple(Document({"fleet_plan.json": octets}, reader) for reader in (read, read_resigned))


def _topologies() -> tuple[Document, ...]:
    from data.readers.topology.formats import read_topology
    from data.readers.topology.merge import snapshot_of

    def document(path: Path) -> Document:
        def read(folder: Path) -> None:
            snapshot_of(read_topology(folder / path.name), gpu_model="H100", taken_at="1970-01-01T00:00:00+00:00")

        return Document({path.name: path.read_bytes()}, read)

    return tuple(document(path) for path in sorted((FIXTURES / "topology").iterdir()))


def _slurm() -> tuple[Document, ...]:
    from data.readers.slurm.cluster import read_slurm_files
    from data.readers.slurm.nodes import Assumptions

    def document(folder: Path, topology: str) -> Document:
        def read(place: Path) -> None:
            assume = Assumptions("H100", 8)
            read_slurm_files(
                place / "squeue.json", place / "sinfo.json", place / topology, taken_at=None, assume=assume
            )

        return Document({name: (folder / name).read_bytes() for name in ("squeue.json", "sinfo.json", topology)}, read)

    return document(FIXTURES / "slurm_22_05", "topology.txt"), document(FIXTURES / "slurm_24_11", "topology.conf")


def _kubernetes() -> tuple[Document, ...]:
    from data.readers.kubernetes.cluster import read_kubernetes_files

    def read(place: Path) -> None:
        read_kubernetes_files(*(place / f"{name}.json" for name in ("nodes", "pods", "budgets")), taken_at=None)

    return (Document({path.name: path.read_bytes() for path in (FIXTURES / "kubernetes").iterdir()}, read),)


def _prometheus() -> tuple[Document, ...]:
    """A server on loopback that answers queries of a range, and those of a moment, with a file each."""
    from data.readers.prometheus.series import read_series

    nodes = _every_kind().nodes
    result: list[dict[str, Any]] = [
        {"metric": {"Hostname": node.id, "instance": f"{node.id}:9400", "gpu": str(gpu), "device": f"mlx5_{gpu}"},
         "values": [[1_769_860_800 + 60 * step, str(400 + step)] for step in range(6)]}
        for node in nodes[:2] for gpu in range(2)
    ]  # fmt: skip
    newest = [{"metric": each["metric"], "value": [1_769_861_100, "400"]} for each in result]
    kinds = (("range.json", "matrix", result), ("moment.json", "vector", newest))
    answers = {
        name: json.dumps({"status": "success", "data": {"resultType": kind, "result": found}}).encode()
        for name, kind, found in kinds
    }

    def read(folder: Path) -> None:
        with _answering(folder) as url:
            read_series(url, nodes, range_s=300.0, step_s=60.0, timeout_s=5.0)

    return (Document(answers, read),)


class _answering:  # noqa: N801  # read as a verb: with _answering(folder)
    """Serves the two files to every query but that for the time, on a free port of loopback."""

    def __init__(self, folder: Path) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                asked = parse_qs(parts.query).get("query", [""])[0]
                body = (folder / f"{'range' if parts.path.endswith('query_range') else 'moment'}.json").read_bytes()
                now = b'{"status":"success","data":{"resultType":"scalar","result":[1769861100,"1769861100"]}}'
                sent = now if asked == "time()" else body
                self.send_response(200)
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_told: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=lambda: self.server.serve_forever(poll_interval=0.01), daemon=True)

    def __enter__(self) -> str:
        self.thread.start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_why: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def _tables() -> tuple[Document, ...]:
    from data.readers.fleet.outages import read_outages
    from data.readers.fleet.prices import read_prices as read_machine_prices
    from data.readers.fleet.regions import read_regions
    from data.readers.scaling.prices_csv import read_prices
    from data.readers.scaling.series_csv import read_series
    from data.readers.sensitivities import read_sensitivities
    from data.readers.topology.formats import read_topology
    from data.readers.traces.philly import read_philly
    from data.readers.transfers import read_transfers

    fleet = _tiny_fleet()
    region = fleet.regions[0].id
    scaling = b"\n".join((FLEET / "scaling.csv").read_bytes().splitlines()[:12]) + b"\n"
    made: tuple[tuple[bytes, Callable[[Path], object]], ...] = (
        (scaling, read_series),
        ((FLEET / "prices.csv").read_bytes(), read_prices),
        (b"source,target,gigabytes,uses,round\na,b,1,r0;r1,0\nb,c,2.5,r1,1\nc,a,0.5,,2\n", read_transfers),
        (b"source,target,bandwidth\na:0,s1,50\nb:0,s1,50\ns1,s2,400\n", read_topology),
        (b"tensor,drift,similarity\nw,0.3,0.01\nv,0.1,0.2\n", read_sensitivities),
        (
            b"timestamp,duration,num_gpus\n2017-10-03 00:00:00,600,8\n2017-10-03 00:05:00,60,1\n",
            lambda path: read_philly(path, jobs=4, gpus=16),
        ),
        (
            b"vendor_id,region_id,country_id,city,lon,lat,status,api_reference\n"
            b"aws,us-east-1,US,Ashburn,-77.5,39.0,ACTIVE,us-east-1\ngcp,1000,DE,Berlin,13.4,52.5,ACTIVE,eu-w10\n",
            read_regions,
        ),
        (
            b"InstanceType,AcceleratorName,AcceleratorCount,Price,SpotPrice,Region,AvailabilityZone\n"
            b"p5,H100,8,98.3,30.1,us-east-1,us-east-1a\np4,A100,8,32.7,,us-east-1,us-east-1b\n",
            lambda path: read_machine_prices(path, "aws"),
        ),
        (
            f"region,down,up,spot_only\n{region},2026-01-01T00:00:00Z,2026-01-01T03:00:00Z,no\n"
            f"{region},2026-02-01T00:00:00+00:00,2026-02-01T03:00:00+00:00,yes\n".encode(),
            lambda path: read_outages(path, fleet),
        ),
    )

    def document(octets: bytes, reader: Callable[[Path], object]) -> Document:
        return Document({"table.csv": octets}, lambda folder: reader(folder / "table.csv"))

    return tuple(document(*one) for one in made)


def _experts() -> tuple[Document, ...]:
    from data.readers.expert_formats import read_expert_counts, read_expert_map
    from data.readers.expert_graph import read_expert_graph
    from data.readers.job_graph import read_job_graph
    from data.readers.tokens import read_tokens

    graph = {"nodes": [{"id": f"e{n}", "kind": "expert", "domain": "d"} for n in range(4)],
             "edges": [{"source": "e0", "target": "e1", "bandwidth": 2.0}]}  # fmt: skip
    tensorrt = (
        b"num_slots: 4\ninitial_global_assignments:\n  3: [0, 1, 2, 1]\n  4: [2, 1, 0, 0]\nlayer_updates_per_iter: 2\n"
    )
    ascend = {"moe_layer_count": 1, "layer_list": [{"layer_id": 0, "device_count": 1, "device_list": [
        {"device_id": 0, "device_expert": [0, 1, 1]}]}]}  # fmt: skip
    tokens: list[Any] = [7, {"token_id": 8, "complexity": 2.0, "metadata": {"source": "d"}}]

    def of(name: str, octets: bytes, reader: Callable[[Path], object], **others: bytes) -> Document:
        return Document({name: octets, **others}, lambda folder: reader(folder / name))

    def streams(path: Path) -> None:
        read_tokens(path, read_expert_graph(path.with_name("graph")))

    return (
        of("map.yaml", tensorrt, read_expert_map),
        of("map.json", json.dumps({"physical_to_logical_map": [[0, 1, 2, 1], [2, 1, 0, 0]]}).encode(), read_expert_map),
        of("map.json", json.dumps(ascend).encode(), read_expert_map),
        of("counts.json", b'{"logical_count": [[[1, 2, 3]], [[3, 2, 1]]]}', lambda path: read_expert_counts([path])),
        of("graph.json", json.dumps(graph).encode(), read_expert_graph),
        of("jobs.json", b'{"jobs": {"b": ["a"], "c": ["a", "b"]}}', read_job_graph),
        of("tokens.json", json.dumps(tokens).encode(), streams, graph=json.dumps(graph).encode()),
        of("tokens.csv", b"token_id,complexity,source\n7,1,d\n8,2.5,\n", streams, graph=json.dumps(graph).encode()),
    )
