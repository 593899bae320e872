"""Facts about reading a Slurm cluster that really runs: controller, daemons and jobs on loopback.

``.ci/install_slurm.sh`` installs what is needed. GPUs are device files that exist everywhere: GRES of type gpu
only counts where gres.conf names a file for each, and the scheduler never opens them.
"""

import os
import shutil
import socket
import subprocess
import time

import pytest

from data.crosscheck import cross_check
from data.errors import BadSource, SourceUnavailable
from data.readers.slurm import read_slurm_live
from data.readers.slurm_nodes import Assumptions

COMMANDS = ("munged", "slurmctld", "slurmd", "squeue", "sinfo", "scontrol", "sbatch", "scancel")
SEARCH = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
MISSING = [name for name in COMMANDS if shutil.which(name, path=SEARCH) is None]
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom")
NODES = ("gb1", "gb2", "gb3", "gb4")

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (see .ci/install_slurm.sh)"),
]

CONFIGURATION = """\
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


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def until(what, seconds=30.0):
    """Wait until ``what`` returns something true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.2)
    pytest.fail(f"{what.__name__} was not reached within {seconds:g} s")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - fixed commands


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Four trays of four GPUs in two racks."""
    folder = tmp_path_factory.mktemp("slurm")
    ports = free_ports(1 + len(NODES))
    user = run("id", "-un").stdout.strip()
    nodes = "\n".join(
        f"NodeName={name} NodeAddr=127.0.0.1 NodeHostname=localhost Port={port} CPUs=16 RealMemory=1000 "
        f"Feature=gb200,nvl72 Gres=gpu:gb200:4 State=UNKNOWN"
        for name, port in zip(NODES, ports[1:], strict=True)
    )
    (folder / "slurm.conf").write_text(CONFIGURATION.format(controller=ports[0], folder=folder, user=user, nodes=nodes))
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
    daemons = []

    def start(*command):
        with (folder / f"{command[0]}.{len(daemons)}.log").open("wb") as log:
            daemon = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603 - fixed commands
        daemons.append(daemon)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", SEARCH)
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        try:
            start(
                "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket",
                f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed",
            )  # fmt: skip
            until((folder / "munge.socket").exists)
            start("slurmctld", "-D")
            for name in NODES:
                start("slurmd", "-D", "-N", name)
            until(all_idle)
            yield folder
        finally:
            run("scancel", f"--user={user}")
            end = time.monotonic() + 20
            while time.monotonic() < end and run("squeue", "--noheader").stdout.strip():
                time.sleep(0.2)
            for daemon in reversed(daemons):
                daemon.terminate()
            for daemon in daemons:
                try:
                    daemon.wait(timeout=15)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()


def all_idle():
    return run("sinfo", "--noheader", "--Node", "--format=%T").stdout.split() == ["idle"] * len(NODES)


def submit(*options):
    """Submit a job that sleeps, and return its number."""
    done = run("sbatch", "--parsable", "--output=/dev/null", *options, "--wrap", "exec sleep 120")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().partition(";")[0]


def test_a_running_cluster_is_read_with_its_gpus_jobs_and_racks(cluster):
    whole = submit("--nodes=2", "--gres=gpu:gb200:4", "--time=60", "--nodelist=gb[1-2]")
    one = submit("--nodes=1", "--gres=gpu:1", "--time=30", "--no-requeue")
    uneven = submit("--nodes=2", "--ntasks=3", "--ntasks-per-node=2", "--gpus=3", "--time=30")
    plain = submit("--nodes=1", "--time=30")

    def running():
        found = run("squeue", "--noheader", "--states=RUNNING", "--format=%i").stdout.split()
        return set(found) == {whole, one, uneven, plain}

    until(running)
    after = submit("--nodes=2", "--gpus-per-node=4", "--time=10", f"--dependency=afterok:{whole}")
    array = submit("--nodes=1", "--gpus=4", "--time=10", "--array=0-3%2", f"--dependency=afterany:{whole}:{one}")
    held = submit("--nodes=1", "--gres=gpu:1", "--hold")

    reading = read_slurm_live(timeout_s=20)

    assert cross_check(reading.snapshot) == ()
    assert reading.set_aside == ()
    assert reading.snapshot.cluster == "loopback"
    nodes = {node.id: node for node in reading.snapshot.nodes}
    assert set(nodes) == set(NODES)
    assert {(node.gpu_model, node.gpus, node.state) for node in nodes.values()} == {("GB200", 4, "up")}
    assert [nodes[name].nvlink_domain for name in NODES] == ["rack1", "rack1", "rack2", "rack2"]

    jobs = {job.id: job for job in reading.snapshot.jobs}
    assert set(jobs) == {whole, one, uneven, after, f"{array}_0", f"{array}_1"}
    assert [worker.gpus for worker in jobs[whole].placement] == [(0, 1, 2, 3)] * 2
    assert [worker.node for worker in jobs[whole].placement] == ["gb1", "gb2"]
    assert not jobs[whole].movable, "it asked for its nodes by name"
    assert (jobs[one].gpus, jobs[one].movable) == (1, False)
    assert (jobs[uneven].workers, jobs[uneven].gpus_per_worker) == (3, 1)
    assert 3500 <= jobs[whole].remaining_s <= 3600
    assert jobs[after].depends_on == (whole,)
    assert (jobs[after].workers, jobs[after].gpus_per_worker) == (2, 4)
    assert jobs[f"{array}_1"].depends_on == (whole, one)
    assert held not in jobs


def test_a_drained_node_is_not_used(cluster):
    assert run("scontrol", "update", "nodename=gb4", "state=drain", "reason=test").returncode == 0
    states = {node.id: node.state for node in read_slurm_live(timeout_s=20).snapshot.nodes}
    assert (states["gb3"], states["gb4"]) == ("up", "drained")
    run("scontrol", "update", "nodename=gb4", "state=resume")


def test_a_partition_that_does_not_exist_has_no_nodes(cluster):
    with pytest.raises(BadSource, match="at least one node"):
        read_slurm_live(timeout_s=20, assume=Assumptions(partition="absent"))


def test_a_controller_that_does_not_answer_can_be_tried_again(cluster, tmp_path, monkeypatch):
    text = (cluster / "slurm.conf").read_text()
    port = next(line for line in text.splitlines() if line.startswith("SlurmctldPort="))
    (tmp_path / "slurm.conf").write_text(text.replace(port, f"SlurmctldPort={free_ports(1)[0]}\nMessageTimeout=1"))
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    with pytest.raises(SourceUnavailable, match="squeue"):
        read_slurm_live(timeout_s=5)
