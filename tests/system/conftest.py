"""What several system tests start: Slurm, PostgreSQL, Redis, processes of Prefect; all on loopback, all ended after."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.asks_again import AsksAgain, create_run
from tests.prefect_database import fresh_database, prefect_home

PATIENCE_S = 180.0
"""Long enough for a machine that gets a fifth of its processors; who waits for nothing in vain waits shorter."""

SLURM_COMMANDS = ("munged", "slurmctld", "slurmd", "squeue", "sinfo", "scontrol", "sbatch", "scancel", "srun")
SEARCH = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
NODES = ("gb1", "gb2", "gb3", "gb4")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom")
"""GRES of type gpu only counts where gres.conf names a file for each, and the scheduler never opens them."""

SLURM_CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
Licenses=solver:1
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
class PostgreSql:
    """A PostgreSQL server with one database, ``quantumflow``, of the user ``quantumflow``; it can be stopped.

    Args:
        folder: with its data and its log.
        port: where it listens, on 127.0.0.1.
        binaries: folder of PostgreSQL's programs.
        user: who runs it, since it refuses root.
    """

    folder: Path
    port: int
    binaries: Path
    user: str
    password: str

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        self._program("pg_ctl", "start", "-w", "-D", f"{self.folder}/data", "-l", f"{self.folder}/log", "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``fast`` ends connections, ``immediate`` is what a power cut does."""
        self._program("pg_ctl", "stop", "-w", "-D", f"{self.folder}/data", "-m", mode)

    def query(self, sql: str, database: str = "quantumflow") -> str:
        """Return what ``sql`` selects, one row a line, columns parted by ``|``."""
        return self._program("psql", "--no-psqlrc", "-Atq", "-v", "ON_ERROR_STOP=1", "-c", sql, database)

    @property
    def settings(self) -> dict[str, str]:
        """What a Prefect server needs to be told."""
        return {
            "PREFECT_SERVER_DATABASE_HOST": "127.0.0.1",
            "PREFECT_SERVER_DATABASE_PORT": str(self.port),
            "PREFECT_SERVER_DATABASE_PASSWORD": self.password,
        }

    def create(self) -> None:
        """Make the cluster of databases, start it, and make the database."""
        secret = self.folder / "password"
        secret.write_text(self.password)
        if os.geteuid() == 0:
            owner = pwd.getpwnam(self.user)
            for path in (self.folder, secret):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        self._program(
            "initdb", "-D", f"{self.folder}/data", "--no-sync", "--username=quantumflow", f"--pwfile={secret}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C",
        )  # fmt: skip
        self.start()
        self.query("create database quantumflow", "postgres")

    def _program(self, name: str, *arguments: str) -> str:
        switch = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"]
        login = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "quantumflow", "PGPASSWORD": self.password}
        with tempfile.TemporaryFile("w+") as output:  # a pipe would stay open as long as the server lives
            done = subprocess.run(
                [*(switch if os.geteuid() == 0 else []), str(self.binaries / name), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=5 * PATIENCE_S,
                env={**os.environ, **login, "LC_ALL": "C"},
                cwd="/",
                check=False,
            )
            output.seek(0)
            text = output.read().strip()
        assert done.returncode == 0, f"{name}: {text}"
        return text


@dataclass(frozen=True, slots=True)
class Redis:
    """Where a Redis server listens on 127.0.0.1, and its password."""

    port: int
    password: str

    @property
    def settings(self) -> dict[str, str]:
        """What a Prefect server needs to be told."""
        return {
            "PREFECT_REDIS_MESSAGING_HOST": "127.0.0.1",
            "PREFECT_REDIS_MESSAGING_PORT": str(self.port),
            "PREFECT_REDIS_MESSAGING_PASSWORD": self.password,
            "PREFECT_SERVER_DOCKET_URL": f"redis://default:{self.password}@127.0.0.1:{self.port}/1",
        }

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2.0) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                with connection.makefile("rb") as answers:
                    return [answers.readline(), answers.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
        except OSError:
            return False


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
        try:
            answer = self.client.post("/api/deployments/filter", json={})
        except httpx.TransportError:  # healthy a moment ago
            return {}
        return {each["name"]: each for each in answer.json()}

    def begin(self, deployment: str, **asked: object) -> str:
        """Start a run of the deployment of that name, and return its id."""
        answer = create_run(self.client, self.deployments()[deployment]["id"], asked)
        assert answer.is_success, answer.text
        return str(answer.json()["id"])

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
def prefect_environment() -> Iterator[dict[str, str]]:
    """The environment without anyone's settings of Prefect, and with a home of its own, where a database waits."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    home = prefect_home()
    fresh_database(home / "prefect.db")
    yield {**kept, "PREFECT_HOME": str(home)}
    shutil.rmtree(home, ignore_errors=True)  # what a test killed may still be ending


class _WithToken(httpx.Auth):
    """Fetch a token and ask again where a server without a password wants one (`make serve` does)."""

    requires_response_body = True

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        answer = yield request
        if answer.status_code == httpx.codes.FORBIDDEN and "CSRF" in answer.text:
            told = yield httpx.Request("GET", request.url.join("/api/csrf-token?client=tests"))
            request.headers.update({"Prefect-Csrf-Client": "tests", "Prefect-Csrf-Token": told.json()["token"]})
            yield request


@pytest.fixture(scope="module")
def prefect_api() -> Iterator[PrefectApi]:
    """The API of the server that the module starts on ``prefect_api.port``."""
    port = _free_ports(1)[0]
    address = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=address, timeout=30.0, transport=AsksAgain(), auth=_WithToken()) as client:
        yield PrefectApi(port, client)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSql]:
    """Start PostgreSQL with an empty database; ``stop`` and ``start`` are for those who try what happens then."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("not installed: postgresql (see .ci/install_postgresql.sh)")
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    # not in pytest's own folder, which another user may not enter
    with tempfile.TemporaryDirectory(prefix="quantumflow-postgresql-") as folder:
        server = PostgreSql(Path(folder), _free_ports(1)[0], found[-1].parent, user, secrets.token_urlsafe(12))
        try:
            server.create()
            yield server
        finally:
            if (server.folder / "data" / "postmaster.pid").exists():
                server.stop("immediate")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """Start Redis with a password."""
    if shutil.which("redis-server") is None:
        pytest.skip("not installed: redis-server (see .ci/install_redis.sh)")
    folder = tmp_path_factory.mktemp("redis")
    server = Redis(_free_ports(1)[0], secrets.token_urlsafe(12))
    (folder / "redis.conf").write_text(
        f'bind 127.0.0.1\nport {server.port}\nrequirepass {server.password}\ndir {folder}\nsave ""\nappendonly no\n'
    )
    with _background(["redis-server", str(folder / "redis.conf")], folder / "log"):
        _until(server.answers, log=folder / "log")
        yield server


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
