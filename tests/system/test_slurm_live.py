"""Facts about reading a Slurm cluster that really runs: controller, daemons and jobs on loopback."""

import pytest

from data.crosscheck import cross_check
from data.errors import BadSource, SourceUnavailable
from data.readers.slurm.cluster import read_slurm_live
from data.readers.slurm.nodes import Assumptions

pytestmark = pytest.mark.system

NODES = ("gb1", "gb2", "gb3", "gb4")


def test_a_running_cluster_is_read_with_its_gpus_jobs_and_racks(slurm, until):
    whole = slurm.submit("--nodes=2", "--gres=gpu:gb200:4", "--time=60", "--nodelist=gb[1-2]")
    one = slurm.submit("--nodes=1", "--gres=gpu:1", "--time=30", "--no-requeue")
    uneven = slurm.submit("--nodes=2", "--ntasks=3", "--ntasks-per-node=2", "--gpus=3", "--time=30")
    plain = slurm.submit("--nodes=1", "--time=30")

    def running():
        found = slurm.run("squeue", "--noheader", "--states=RUNNING", "--format=%i").stdout.split()
        return set(found) == {whole, one, uneven, plain}

    until(running)
    after = slurm.submit("--nodes=2", "--gpus-per-node=4", "--time=10", f"--dependency=afterok:{whole}")
    array = slurm.submit("--nodes=1", "--gpus=4", "--time=10", "--array=0-3%2", f"--dependency=afterany:{whole}:{one}")
    held = slurm.submit("--nodes=1", "--gres=gpu:1", "--hold")

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


def test_a_drained_node_is_not_used(slurm):
    assert slurm.run("scontrol", "update", "nodename=gb4", "state=drain", "reason=test").returncode == 0
    states = {node.id: node.state for node in read_slurm_live(timeout_s=20).snapshot.nodes}
    assert (states["gb3"], states["gb4"]) == ("up", "drained")
    slurm.run("scontrol", "update", "nodename=gb4", "state=resume")


def test_a_partition_that_does_not_exist_has_no_nodes(slurm):
    with pytest.raises(BadSource, match="at least one node"):
        read_slurm_live(timeout_s=20, assume=Assumptions(partition="absent"))


def test_a_controller_that_does_not_answer_can_be_tried_again(slurm, free_port, tmp_path, monkeypatch):
    text = (slurm.folder / "slurm.conf").read_text()
    port = next(line for line in text.splitlines() if line.startswith("SlurmctldPort="))
    (tmp_path / "slurm.conf").write_text(text.replace(port, f"SlurmctldPort={free_port()}\nMessageTimeout=1"))
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    with pytest.raises(SourceUnavailable, match="squeue"):
        read_slurm_live(timeout_s=5)
