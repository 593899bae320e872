"""Which sources are there? Each a frozen dataclass of its options, tagged by kind; calling it reads.

``live`` tells whether it is a service, so that a retry may help; ``folder`` is where the paths of
checkpoints start.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, with_config

from data.readers.expert_recordings import read_expert_recordings
from data.readers.job_graph import read_job_graph
from data.readers.kubernetes.cluster import read_kubernetes_files
from data.readers.prometheus.series import read_series, with_series
from data.readers.reading import Reading
from data.readers.slurm.cluster import read_slurm_files, read_slurm_live
from data.readers.slurm.nodes import Assumptions
from data.readers.snapshot import read_snapshot
from data.readers.topology.formats import read_topology
from data.readers.topology.merge import snapshot_of
from data.readers.traces.philly import read_philly

FORM = ConfigDict(extra="forbid")
SAMPLES = Path(__file__).resolve().parent.parent / "samples"

GpuModelName = Annotated[str | None, Field(title="GPU model", description="Where the source does not name one")]
GpusPerNode = Annotated[int | None, Field(ge=1, title="GPUs per node", description="Where the source counts none")]


@with_config(FORM)
@dataclass(frozen=True, slots=True)
class Sample:
    """A sample cluster that ships with the project."""

    kind: Literal["sample"] = "sample"
    name: Annotated[Literal["small", "fragmented", "over-cap"], Field(title="Sample")] = "small"
    live: ClassVar[bool] = False

    @property
    def folder(self) -> Path:
        """Where the sample ships."""
        return SAMPLES / self.name

    def __call__(self) -> Reading:
        """Read the sample; see :func:`data.readers.snapshot.read_snapshot`."""
        return read_snapshot(self.folder / "cluster.json")


@with_config(FORM)
@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A snapshot in our own JSON format (data/schemas/snapshot.json)."""

    path: Annotated[Path, Field(title="Snapshot file")]
    kind: Literal["snapshot"] = "snapshot"
    live: ClassVar[bool] = False

    @property
    def folder(self) -> Path:
        """The folder of the file."""
        return self.path.parent

    def __call__(self) -> Reading:
        """Read the file; see :func:`data.readers.snapshot.read_snapshot`."""
        return read_snapshot(self.path)


@with_config(FORM)
@dataclass(frozen=True, slots=True)
class SlurmFiles:
    """Files with the output of ``squeue --json`` and ``sinfo --json``, and the topology."""

    squeue: Annotated[Path, Field(title="squeue --json")]
    sinfo: Annotated[Path, Field(title="sinfo --json")]
    topology: Annotated[Path | None, Field(title="topology.conf, or scontrol show topology")] = None
    gpu_model: GpuModelName = None
    gpus_per_node: GpusPerNode = None
    partition: Annotated[str | None, Field(title="Partition", description="Only this one")] = None
    kind: Literal["slurm-files"] = "slurm-files"
    live: ClassVar[bool] = False

    @property
    def folder(self) -> Path:
        """The folder of the job list."""
        return self.squeue.parent

    def __call__(self) -> Reading:
        """Read the files; see :func:`data.readers.slurm.cluster.read_slurm_files`."""
        assume = Assumptions(self.gpu_model, self.gpus_per_node, partition=self.partition)
        return read_slurm_files(self.squeue, self.sinfo, self.topology, taken_at=None, assume=assume)


@with_config(FORM)
@dataclass(frozen=True, slots=True)
class Slurm:
    """The Slurm that this machine's ``squeue``, ``sinfo`` and ``scontrol`` talk to."""

    timeout_s: Annotated[float, Field(gt=0, title="Seconds per command")] = 60.0
    gpu_model: GpuModelName = None
    gpus_per_node: GpusPerNode = None
    partition: Annotated[str | None, Field(title="Partition", description="Only this one")] = None
    kind: Literal["slurm"] = "slurm"
    live: ClassVar[bool] = True

    @property
    def folder(self) -> Path:
        """The working folder; Slurm knows no checkpoints."""
        return Path()

    def __call__(self) -> Reading:
        """Run the commands; see :func:`data.readers.slurm.cluster.read_slurm_live`."""
        assume = Assumptions(self.gpu_model, self.gpus_per_node, partition=self.partition)
        return read_slurm_live(timeout_s=self.timeout_s, assume=assume)


@with_config(FORM)
@dataclass(frozen=True, slots=True)
class KubernetesFiles:
    """Files with the output of ``kubectl get nodes -o json`` and ``kubectl get pods -A -o json``."""

    nodes: Annotated[Path, Field(title="kubectl get nodes -o json")]
    pods: Annotated[Path, Field(title="kubectl get pods -A -o json")]
    budgets: Annotated[Path | None, Field(title="kubectl get poddisruptionbudgets -A -o json")] = None
    kind: Literal["kubernetes-files"] = "kubernetes-files"
    live: ClassVar[bool] = False

    @property
    def folder(self) -> Path:
        """The folder of the pod list."""
        return self.pods.parent

    def __call__(self) -> Reading:
        """Read the files; see :func:`data.readers.kubernetes.cluster.read_kubernetes_files`."""
        return read_kubernetes_files(self.nodes, self.pods, self.budgets, taken_at=None)


@with_config(FORM)
@dataclass(frozen=True, slots=True)
class Kubernetes:
    """The Kubernetes cluster of a kubeconfig context, or the one that this runs in."""

    context: Annotated[str | None, Field(title="Context", description="Of the kubeconfig; empty: the current")] = None
    timeout_s: Annotated[float, Field(gt=0, title="Seconds per answer")] = 30.0
    kind: Literal["kubernetes"] = "kubernetes"
    live: ClassVar[bool] = True

    @property
    def folder(self) -> Path:
        """The working folder; Kubernetes knows no checkpoints."""
        return Path()

    def __call__(self) -> Reading:
        """Ask the API server; see :func:`data.readers.kubernetes.live.read_kubernetes_live`."""
        from data.readers.kubernetes.live import read_kubernetes_live  # its client takes a second to import

        return read_kubernetes_live(context=self.context, timeout_s=self.timeout_s)


@with_config(FORM)
@dataclass(frozen=True, slots=True)
class PhillyTrace:
    """Jobs of the Philly trace, as a first-fit scheduler would have placed them at one moment."""

    path: Annotated[Path, Field(title="CSV: timestamp, duration, num_gpus, gpu_time, cluster")]
    jobs: Annotated[int, Field(ge=1, le=100_000, title="Jobs")] = 500
    gpus: Annotated[int, Field(ge=8, le=100_000, title="GPUs of the cluster")] = 1024
    kind: Literal["philly"] = "philly"
    live: ClassVar[bool] = False

    @property
    def folder(self) -> Path:
        """The folder of the trace."""
        return self.path.parent

    def __call__(self) -> Reading:
        """Read the trace; see :func:`data.readers.traces.philly.read_philly`."""
        return read_philly(self.path, jobs=self.jobs, gpus=self.gpus)


@with_config(FORM)
@dataclass(frozen=True, slots=True)
class JobGraph:
    """Jobs that wait for one another, ``{"jobs": {"B": ["A"]}}``, with what they draw."""

    path: Annotated[Path, Field(title="Dependencies", description='JSON: {"jobs": {"B": ["A"]}}')]
    profile: Annotated[
        Path | None, Field(title="Energy profile", description="JSON {job: watts}, or CSV job,power_w,duration_s,gpus")
    ] = None
    kind: Literal["job-graph"] = "job-graph"
    live: ClassVar[bool] = False

    @property
    def folder(self) -> Path:
        """The folder of the graph."""
        return self.path.parent

    def __call__(self) -> Reading:
        """Read the files; see :func:`data.readers.job_graph.read_job_graph`."""
        return read_job_graph(self.path, self.profile)


@with_config(FORM)
@dataclass(frozen=True, slots=True)
class Fabric:
    """An idle cluster from a topology dump alone: an edge list ``source,target,bandwidth`` or any other."""

    path: Annotated[Path, Field(title="Dump")]
    gpu_model: Annotated[str, Field(title="GPU model")] = "H100"
    kind: Literal["fabric"] = "fabric"
    live: ClassVar[bool] = False

    @property
    def folder(self) -> Path:
        """The folder of the dump."""
        return self.path.parent

    def __call__(self) -> Reading:
        """Read the file; see :func:`data.readers.topology.formats.read_topology`."""
        return snapshot_of(read_topology(self.path), gpu_model=self.gpu_model, taken_at="1970-01-01T00:00:00+00:00")


@with_config(FORM)
@dataclass(frozen=True, slots=True)
class ExpertRecordings:
    """Expert counts that SGLang recorded, and the map in force: a served model by itself, on nodes of its own."""

    paths: Annotated[tuple[Path, ...], Field(min_length=1, title="Recordings", description="Oldest first")]
    ranks: Annotated[int, Field(ge=1, le=100_000, title="GPUs of the expert-parallel group")]
    slots_per_rank: Annotated[int, Field(ge=1, le=10_000, title="Expert slots of each GPU and layer")]
    map: Annotated[
        Path | None, Field(title="Map in force", description="SGLang, vLLM or TensorRT-LLM; empty: in order")
    ] = None
    steps_per_window: Annotated[int, Field(ge=0, title="Steps per window", description="0: a file is a window")] = 0
    gpus_per_domain: Annotated[int, Field(ge=1, le=1_024, title="GPUs of an NVLink domain")] = 8
    kind: Literal["expert-recordings"] = "expert-recordings"
    live: ClassVar[bool] = False

    @property
    def folder(self) -> Path:
        """The folder of the first recording."""
        return self.paths[0].parent

    def __call__(self) -> Reading:
        """Read the files; see :func:`data.readers.expert_recordings.read_expert_recordings`."""
        return read_expert_recordings(
            self.paths,
            ranks=self.ranks,
            slots_per_rank=self.slots_per_rank,
            expert_map=self.map,
            steps_per_window=self.steps_per_window,
            gpus_per_domain=self.gpus_per_domain,
        )


KINDS: tuple[type[Any], ...] = (
    Sample,
    SnapshotFile,
    SlurmFiles,
    Slurm,
    KubernetesFiles,
    Kubernetes,
    PhillyTrace,
    JobGraph,
    Fabric,
    ExpertRecordings,
)

Source = Annotated[
    Sample
    | SnapshotFile
    | SlurmFiles
    | Slurm
    | KubernetesFiles
    | Kubernetes
    | PhillyTrace
    | JobGraph
    | Fabric
    | ExpertRecordings,
    Field(discriminator="kind"),
]
"""Any of them, told apart by ``kind``."""


@with_config(FORM)
@dataclass(frozen=True, slots=True)
class Prometheus:
    """Measured series from a Prometheus server with DCGM's metrics, laid over any source."""

    url: Annotated[
        # nothing before an @: forms are kept in a database and shown, so a password must not get there
        str, Field(pattern=r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$", title="Address", description="http://host:9090")
    ]
    range_s: Annotated[float, Field(gt=0, title="Seconds back")] = 3600.0
    step_s: Annotated[float, Field(gt=0, title="Seconds between samples")] = 60.0
    token_variable: Annotated[
        str | None,
        Field(
            title="Token variable",
            description="Environment variable that holds a bearer token; in a deployment, one of QUANTUMFLOW_TOKENS",
        ),
    ] = None
    timeout_s: Annotated[float, Field(gt=0, title="Seconds per answer")] = 30.0

    def __call__(self, reading: Reading) -> Reading:
        """Return ``reading`` with the measured series; see :func:`data.readers.prometheus.series.read_series`."""
        telemetry = read_series(
            self.url,
            reading.snapshot.nodes,
            range_s=self.range_s,
            step_s=self.step_s,
            links=reading.snapshot.links,
            token_variable=self.token_variable,
            timeout_s=self.timeout_s,
        )
        return Reading(
            with_series(reading.snapshot, telemetry),
            (*reading.set_aside, *telemetry.set_aside),
            (*reading.notes, *telemetry.notes),
        )
