"""The units of deployments/systemd under a real systemd: do they start, and do runs succeed with so few rights?

It runs in namespaces of its own (root is needed for that) with our units alone, laid out as deployments/SERVER.md says,
beside PostgreSQL and Redis on loopback.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from data.readers.plan import read_plan
from deployments.passwords import SERVER_FILE, WORKER_FILE, write

pytestmark = [pytest.mark.system, pytest.mark.long]

ROOT = Path(__file__).resolve().parents[2]
SYSTEMD = Path("/lib/systemd/systemd")
GROUPS = Path("/sys/fs/cgroup/systemd")
LIMIT_S = 600.0
TOLD = """\
[Service]
# the interpreter is not where it was built for
Environment=LD_LIBRARY_PATH=/opt/python/lib
# nor is the project where it was installed from
Environment=PYTHONPATH=/opt/quantumflow
# there is no journal here
StandardOutput=append:/run/%n.log
StandardError=append:/run/%n.log
"""
OF_WORKERS = """\
[Service]
# each worker would compile everything first, which takes minutes here; runs compile what they use
ExecStartPre=
ExecStartPre=/opt/quantumflow/.venv/bin/prefect server status --wait --timeout 600
Environment=PREFECT_WORKER_QUERY_SECONDS=1
"""


def lay_out(folder, port, plans, postgresql, redis):
    """Write what SERVER.md has written to /etc and /opt, with ports of this test; return user and password."""
    shutil.copytree(ROOT / "deployments/systemd", folder / "etc-systemd")
    metrics = folder / "etc-systemd/quantumflow-metrics.service"
    metrics.write_text(metrics.read_text(encoding="utf-8").replace("--port 9464", f"--port {plans}"), encoding="utf-8")
    (folder / "etc-systemd/quantumflow-.service.d/tested.conf").write_text(TOLD)
    (folder / "etc-systemd/quantumflow-worker@.service.d/tested-worker.conf").write_text(OF_WORKERS)
    settings = folder / "etc-quantumflow"
    write(settings)
    instead = {
        **postgresql.settings,
        **redis.settings,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
    }
    for name in ("server.env", "worker.env"):
        shutil.copy(ROOT / "deployments" / name, settings)
    auth = ""
    for file in sorted(settings.iterdir()):
        lines = []
        for line in file.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition("=")
            lines.append(f"{key}={instead[key]}" if key in instead else line)
            auth = value if key == "PREFECT_API_AUTH_STRING" else auth
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    programs = folder / "venv/bin"
    programs.mkdir(parents=True)
    (folder / "venv/lib/packages").mkdir(parents=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = folder / "venv/lib" / version
    library.mkdir()
    (library / "site-packages").symlink_to("/opt/quantumflow/.venv/lib/packages")
    (programs / "python").symlink_to(f"/opt/python/bin/{version}")  # ours, where other users may run it
    (folder / "venv/pyvenv.cfg").write_text("home = /opt/python/bin\n")
    (programs / "prefect").write_text("#!/opt/quantumflow/.venv/bin/python\nfrom prefect.cli import app\napp()\n")
    (programs / "prefect").chmod(0o755)
    (folder / "runs").mkdir()
    folder.chmod(0o755)
    return tuple(auth.split(":", 1))


def remove(group, until):
    """Remove a control group with those inside, as soon as their processes are gone."""

    def gone():
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        return not group.exists()

    until(gone)


@pytest.fixture(scope="module")
def machine(prefect_api, postgresql, redis, until, free_port, tmp_path_factory):
    """Run a command beside the units, in their namespaces; and the API and the folder of runs.

    PostgreSQL comes up after the units, as it may when a machine starts.
    """
    if os.geteuid() != 0 or not SYSTEMD.exists() or not GROUPS.is_dir():
        pytest.skip("needs root, systemd, and the first version of control groups")
    (ROOT / "runs").mkdir(exist_ok=True)
    folder = tmp_path_factory.mktemp("systemd")
    prefect_api.client.auth = lay_out(folder, prefect_api.port, free_port(), postgresql, redis)
    postgresql.stop()
    group = GROUPS / f"quantumflow-{os.getpid()}"
    group.mkdir()
    spaces = ["--fork", "--kill-child", "--pid", "--mount", "--cgroup", "--ipc", "--uts", "--mount-proc"]
    packages = Path(httpx.__file__).parents[1]
    script = [str(Path(__file__).with_name("own_systemd.sh")), str(folder), str(ROOT), str(packages), sys.base_prefix]
    with ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("wb"))
        process = subprocess.Popen(
            ["unshare", *spaces, *script],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())),
        )
        stack.callback(remove, group, until)
        stack.callback(process.wait)
        stack.callback(process.send_signal, signal.SIGKILL)

        def inside(*words):
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            enter = ["nsenter", f"--target={children[0]}", "--mount", "--pid", "--uts", "--ipc"]
            return subprocess.run([*enter, *words], capture_output=True, text=True, timeout=LIMIT_S, check=False)

        def refused():
            shown = inside("systemctl", "show", "--property=NRestarts", "--value", "quantumflow-migrate").stdout
            return shown.strip() not in ("", "0")

        until((folder / "console").exists)
        until(refused, LIMIT_S)
        postgresql.start()

        def ready():
            assert process.poll() is None, (folder / "log").read_text()
            return prefect_api.healthy()

        try:
            until(ready, LIMIT_S)
        except pytest.fail.Exception:
            state = inside("systemctl", "--no-pager", "--full", "list-units", "quantumflow*").stdout
            pytest.fail(state + inside("sh", "-c", "tail -n 20 /run/*.log").stdout)
        yield inside, prefect_api, folder


def test_it_migrates_then_starts_every_part(machine, until):
    inside, api, _ = machine

    def active():
        parts = ("migrate", "server", "services", "worker@1", "worker@2", "metrics")
        units = [f"quantumflow-{unit}" for unit in parts]
        return inside("systemctl", "is-active", *units).stdout.split() == ["active"] * len(units)

    until(active, LIMIT_S)
    assert api.client.get("/api/ready").status_code == 200
    assert inside("systemctl", "is-active", "quantumflow-backup.timer").stdout.strip() == "active"


def test_metrics_of_plans_are_served_without_any_password(machine, until):
    inside, *_ = machine
    unit = inside("cat", "/etc/systemd/system/quantumflow-metrics.service").stdout
    port = re.search(r"--port (\d+)", unit)[1]

    def told():
        try:
            return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60.0, trust_env=False).text
        except httpx.TransportError:
            return ""

    until(lambda: "quantumflow_runs_unreadable 0.0" in told(), LIMIT_S)
    process = inside("systemctl", "show", "--property=MainPID", "--value", "quantumflow-metrics").stdout.strip()
    assert "PREFECT_API_AUTH_STRING" not in inside("cat", f"/proc/{process}/environ").stdout


def test_the_parts_have_few_rights_and_read_no_password_file(machine):
    inside, *_ = machine
    process = inside("systemctl", "show", "--property=MainPID", "--value", "quantumflow-server").stdout.strip()
    status = inside("cat", f"/proc/{process}/status").stdout
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    assert "Seccomp:\t2" in status
    assert "Uid:\t990\t990\t990\t990" in status
    asked = (
        "runuser",
        "-u",
        "quantumflow",
        "--",
        "cat",
        f"/etc/quantumflow/{SERVER_FILE}",
        f"/etc/quantumflow/{WORKER_FILE}",
    )
    assert inside(*asked).returncode != 0


def test_a_run_with_so_few_rights_ends_in_a_plan(machine, until):
    """QAOA's child is limited in memory (a resource limit), and numba compiles in memory: both must be allowed."""
    inside, api, folder = machine
    settings = (
        "set -a; . /etc/quantumflow/worker.env; . /etc/quantumflow/worker.secrets.env; export PREFECT_HOME=/tmp/home"
        "; export LD_LIBRARY_PATH=/opt/python/lib PYTHONPATH=/opt/quantumflow"
    )
    for command in ("python -m deployments.provision", "prefect --no-prompt deploy --all"):
        done = inside("sh", "-c", f"{settings}; cd /opt/quantumflow && .venv/bin/{command}")
        assert done.returncode == 0, done.stdout + done.stderr
    params = {"source": {"kind": "sample"}, "effort": "quick", "nouns": ["placement"]}
    run = api.begin("manual", parameters={"params": params})
    until(lambda: api.ended(run), LIMIT_S)
    logs = [line["message"] for line in api.of_run("logs", run)]
    assert api.state(run) == "COMPLETED", [*logs, inside("sh", "-c", "cat /run/quantumflow-worker*.log").stdout[-4000:]]
    plan = read_plan(folder / "runs/latest/plan.json")
    assert plan.fallbacks == ()
    assert (folder / "runs/latest/plan.json").stat().st_uid == 990


def test_a_server_that_is_killed_is_started_again(machine, until):
    inside, api, _ = machine
    inside("systemctl", "kill", "--signal=KILL", "quantumflow-server")
    until(lambda: not api.healthy())
    until(api.healthy, LIMIT_S)
    assert inside("systemctl", "show", "--property=NRestarts", "--value", "quantumflow-server").stdout.strip() == "1"


def test_the_backup_unit_writes_a_file_that_its_user_alone_reads(machine):
    inside, *_ = machine
    done = inside("systemctl", "start", "quantumflow-backup")
    assert done.returncode == 0, inside("systemctl", "status", "--no-pager", "quantumflow-backup").stdout
    found = inside("find", "/var/lib/quantumflow/backups", "-type", "f", "-printf", "%m %u %f\n").stdout.split()
    assert found[:2] == ["600", "quantumflow"]
    assert found[2].startswith("quantumflow-")


def test_a_run_sees_neither_backups_nor_folders_of_the_server(machine):
    """It has the server's user, so only its own view of the file system keeps it out."""
    inside, *_ = machine
    process = inside("systemctl", "show", "--property=MainPID", "--value", "quantumflow-worker@1").stdout.strip()
    server = inside("systemctl", "show", "--property=MainPID", "--value", "quantumflow-server").stdout.strip()
    as_a_run = ("nsenter", f"--target={process}", "--user", "--mount", "--setuid=990", "--setgid=990")
    for name in ("backups", "server", "services"):
        done = inside(*as_a_run, "ls", f"/var/lib/quantumflow/{name}")
        assert (done.returncode, done.stdout) == (2, ""), name
        assert "Permission denied" in done.stderr
    assert inside(*as_a_run, "ls", "/var/lib/quantumflow/worker-1").returncode == 0
    assert inside(*as_a_run, "cat", f"/proc/{process}/environ").returncode == 0
    done = inside(*as_a_run, "cat", f"/proc/{server}/environ")
    assert (done.returncode, done.stdout) == (1, "")
    assert inside(*as_a_run, "touch", "/var/log/quantumflow/runs.jsonl").returncode == 0


def test_stopping_the_target_stops_every_part(machine, until):
    inside, api, _ = machine
    assert inside("systemctl", "stop", "quantumflow.target").returncode == 0

    def stopped():
        states = inside("systemctl", "list-units", "--plain", "--no-legend", "--state=active", "quantumflow-*.service")
        return states.stdout.strip() == ""

    until(stopped)
    time.sleep(5.0)  # what restarts or upholds would have done so by now
    assert stopped()
    assert not api.healthy()
