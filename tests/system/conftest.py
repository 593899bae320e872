"""What several system tests start: a Slurm cluster, and the processes of Prefect; all on loopback, all ended after."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

PATIENCE_S = 60.0

SLURM_COMMANDS = ("munged", "slurmctld", "slurmd", "squeue", "sinfo", "scontrol", "sbatch", "scancel", "srun")
SEARCH = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
NODES = ("gb1", "gb2", "gb3", "gb4")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom")
"""GRES of type gpu only counts where gres.conf names a file for each, and the scheduler never opens them."""

SLURM_CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=2
PriorityType=priority/basic
TopologyPlugin=topology/tree
GresTypes=gpu
ReturnToService=2
KillWait=1
SlurmdParameters=config_overrides
{nodes}
PartitionName=batch Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True, slots=True)
class Slurm:
    """A Slurm cluster of four trays of four GPUs in two racks; its commands are those on PATH.

    Args:
        folder: with its configuration and its state.
    """

    folder: Path

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    def submit(self, *options: str) -> str:
        """Submit a job that sleeps, and return its number."""
        done = self.run("sbatch", "--parsable", "--output=/dev/null", *options, "--wrap", "exec sleep 300")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().partition(";")[0]

    def where(self) -> dict[str, tuple[str, str]]:
        """Return the state and the nodes of each job, nodes as Slurm abbreviates them."""
        lines = self.run("squeue", "--noheader", "--format=%i|%T|%N").stdout.split()
        return {number: (state, nodes) for number, state, nodes in (line.split("|") for line in lines)}

    def idle(self) -> bool:
        return self.run("sinfo", "--noheader", "--Node", "--format=%T").stdout.split() == ["idle"] * len(NODES)


@dataclass(frozen=True, slots=True)
class PrefectApi:
    """What a Prefect server on loopback tells.

    Args:
        port: where it listens, or will.
        client: of its address.
    """

    port: int
    client: httpx.Client

    def healthy(self) -> bool:
        try:
            return self.client.get("/api/health").is_success
        except httpx.TransportError:
            return False

    def deployments(self) -> dict[str, dict[str, Any]]:
        """Return the deployments by name; none while nobody answers."""
        if not self.healthy():
            return {}
        return {each["name"]: each for each in self.client.post("/api/deployments/filter", json={}).json()}

    def state(self, run: str) -> str:
        return str(self.client.get(f"/api/flow_runs/{run}").json()["state_type"])

    def ended(self, run: str) -> bool:
        return self.state(run) in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

    def of_run(self, what: str, run: str) -> list[dict[str, Any]]:
        """Return the ``logs`` or ``artifacts`` of a run."""
        answer = self.client.post(f"/api/{what}/filter", json={what: {"flow_run_id": {"any_": [run]}}})
        found: list[dict[str, Any]] = answer.json()
        return found


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _until(what: Callable[[], object], seconds: float = PATIENCE_S, log: Path | None = None) -> None:
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            told = f":\n{log.read_text()[-4000:]}" if log else ""
            pytest.fail(f"{what.__name__} was not reached within {seconds:g} s{told}")
        time.sleep(0.2)


@contextmanager
def _background(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, end: int = signal.SIGTERM
) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=Path(__file__).resolve().parents[2],
            # where pytest itself was started with `&`, children would ignore SIGINT, and with it Prefect's SIGTERM
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        yield process
    finally:
        process.send_signal(end)
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Return a function that returns a port where nobody listens."""
    return lambda: _free_ports(1)[0]


@pytest.fixture(scope="session")
def until():
    """Return a function that waits until another returns something true: ``until(what, seconds, log)``."""
    return _until


@pytest.fixture(scope="session")
def background():
    """Return a context manager of a process that runs beside the tests: ``background(command, log, environment)``."""
    return _background


@pytest.fixture(scope="module")
def prefect_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment without anyone's settings of Prefect, and with a home of its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    return {**kept, "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect"))}


@pytest.fixture(scope="module")
def prefect_api() -> Iterator[PrefectApi]:
    """The API of the server that the module starts on ``prefect_api.port``."""
    port = _free_ports(1)[0]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30.0, trust_env=False) as client:
        yield PrefectApi(port, client)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Start a Slurm cluster: key daemon, controller, and a daemon for each node."""
    if missing := [name for name in SLURM_COMMANDS if shutil.which(name, path=SEARCH) is None]:
        pytest.skip(f"not installed: {', '.join(missing)} (see .ci/install_slurm.sh)")
    cluster = Slurm(tmp_path_factory.mktemp("slurm"))
    folder = cluster.folder
    user = cluster.run("id", "-un").stdout.strip()
    _configure(cluster, user)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as daemons:
        patch.setenv("PATH", SEARCH)
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))

        def start(*command: str) -> None:
            daemons.enter_context(_background(command, folder / f"{command[0]}.{command[-1].rpartition('/')[2]}.log"))

        start(
            "munged", "--foreground", "--force", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket",
            f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed",
        )  # fmt: skip
        _until((folder / "munge.socket").exists)
        start("slurmctld", "-D")
        for name in NODES:
            start("slurmd", "-D", "-N", name)
        _until(cluster.idle)
        yield cluster
        cluster.run("scancel", f"--user={user}")
        _until(lambda: not cluster.where())


def _configure(cluster: Slurm, user: str) -> None:
    folder = cluster.folder
    ports = _free_ports(1 + len(NODES))
    nodes = "\n".join(
        f"NodeName={name} NodeAddr=127.0.0.1 NodeHostname=localhost Port={port} CPUs=16 RealMemory=1000 "
        f"Feature=gb200,nvl72 Gres=gpu:gb200:4 State=UNKNOWN"
        for name, port in zip(NODES, ports[1:], strict=True)
    )
    text = SLURM_CONFIGURATION.format(controller=ports[0], folder=folder, user=user, nodes=nodes)
    (folder / "slurm.conf").write_text(text)
    gpus = "".join(f"Name=gpu Type=gb200 File={device}\n" for device in DEVICES)
    (folder / "gres.conf").write_text(f"AutoDetect=off\n{gpus}")
    (folder / "topology.conf").write_text(
        "SwitchName=rack1 Nodes=gb[1-2]\nSwitchName=rack2 Nodes=gb[3-4]\nSwitchName=spine Switches=rack[1-2]\n"
    )
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    folder.chmod(0o755)
