"""Facts about reading a Slurm cluster from files and commands."""

import json
import os
from pathlib import Path

import pytest

from data.crosscheck import cross_check
from data.digest import SNAPSHOT
from data.errors import BadSource, SourceUnavailable
from data.readers.slurm.cluster import read_slurm_files, read_slurm_live
from data.readers.slurm.nodes import Assumptions
from data.readers.slurm.topology import parse_topology
from data.schemas.job import Worker

FIXTURES = Path(__file__).parent / "fixtures"
NEW = FIXTURES / "slurm_24_11"
OLD = FIXTURES / "slurm_22_05"
DATA = Path(os.environ.get("QUANTUMFLOW_DATA") or Path(__file__).parents[3] / "shared" / "data")
CAPTURE = DATA / "slurm_22.05.8_debian12_capture"


@pytest.fixture(scope="module")
def new():
    return read_slurm_files(NEW / "squeue.json", NEW / "nodes.json", NEW / "topology.conf", taken_at=None)


@pytest.fixture(scope="module")
def old():
    return read_slurm_files(OLD / "squeue.json", OLD / "sinfo.json", OLD / "topology.txt", taken_at=None)


def jobs(reading):
    return {job.id: job for job in reading.snapshot.jobs}


def nodes(reading):
    return {node.id: node for node in reading.snapshot.nodes}


def write(folder, squeue, sinfo):
    (folder / "squeue.json").write_text(json.dumps(squeue))
    (folder / "sinfo.json").write_text(json.dumps(sinfo))
    return folder / "squeue.json", folder / "sinfo.json"


def test_what_is_read_holds_no_contradiction_and_survives_a_round_trip(new, old):
    for reading in (new, old):
        assert cross_check(reading.snapshot) == ()
        assert SNAPSHOT.validate_json(SNAPSHOT.dump_json(reading.snapshot)) == reading.snapshot


def test_the_time_and_the_cluster_are_those_that_the_source_states(new, old):
    assert (new.snapshot.cluster, new.snapshot.taken_at) == ("atlas", "2027-01-15T08:00:00+00:00")
    assert old.snapshot.cluster == "loopback"
    assert any("latest timestamp" in note for note in old.notes)


def test_a_time_without_an_offset_is_refused():
    with pytest.raises(ValueError, match="taken_at"):
        read_slurm_files(NEW / "squeue.json", NEW / "nodes.json", None, taken_at="2027-01-15T08:00:00")


def test_blocks_are_nvlink_domains_for_trays_and_racks_for_whole_machines(new):
    found = nodes(new)
    assert (found["gb001"].nvlink_domain, found["gb001"].rack) == ("nvl-a", "nvl-a")
    assert (found["gb004"].nvlink_domain, found["gb004"].gpu_model, found["gb004"].gpus) == ("nvl-b", "GB200", 4)
    assert (found["dgx1"].nvlink_domain, found["dgx1"].rack, found["dgx1"].gpu_power_max_w) == ("dgx1", "pair", 700.0)


def test_leaf_switches_are_nvlink_domains_where_the_model_spans_nodes(old):
    assert {name: (node.nvlink_domain, node.rack) for name, node in nodes(old).items()} == {
        "gb1": ("rack1", "rack1"),
        "gb2": ("rack1", "rack1"),
        "gb3": ("rack2", "rack2"),
        "gb4": ("rack2", "rack2"),
    }


def test_without_a_topology_each_node_is_its_own_domain_and_a_note_says_so():
    reading = read_slurm_files(NEW / "squeue.json", NEW / "nodes.json", None, taken_at=None)
    assert nodes(reading)["gb001"].nvlink_domain == "gb001"
    assert nodes(reading)["gb001"].rack == "unknown"
    assert any("own NVLink domain" in note for note in reading.notes)


def test_drained_and_dead_nodes_are_told_apart(new):
    states = {name: node.state for name, node in nodes(new).items()}
    assert states["gb004"] == "up"
    assert states["gb005"] == "drained"
    assert states["gb006"] == "down"


def test_nodes_with_parts_of_gpus_are_set_aside_and_nodes_without_gpus_left_out(new):
    assert "mig1" not in nodes(new)
    assert "cpu1" not in nodes(new)
    assert any(record.path == "nodes.json: nodes[8].gres" for record in new.set_aside)


def test_sinfo_groups_say_the_same_as_scontrol_nodes(new):
    groups = read_slurm_files(NEW / "squeue.json", NEW / "sinfo.json", NEW / "topology.conf", taken_at=None)
    assert groups.snapshot == new.snapshot


def test_gpu_indexes_are_those_of_gres_detail_and_unequal_nodes_become_workers_of_the_divisor(new, old):
    assert jobs(new)["101"].placement[-1] == Worker("dgx2", (0, 3))
    assert (jobs(new)["101"].workers, jobs(new)["101"].gpus_per_worker) == (5, 2)
    assert jobs(old)["3"].placement == (Worker("gb3", (1,)), Worker("gb3", (2,)), Worker("gb4", (0,)))
    assert jobs(old)["4"].placement == (Worker("gb4", (1, 2)),)


def test_unknown_indexes_are_the_lowest_free_ones_of_those_that_the_node_reports_as_used(new):
    assert jobs(new)["103"].placement == (Worker("dgx2", (5, 6)),)
    assert any("lowest free" in note for note in new.notes)


def test_jobs_that_contradict_others_are_set_aside_and_their_gpus_are_not_used(new):
    assert not {"107", "108"} & set(jobs(new))
    assert nodes(new)["dgx2"].unavailable_gpus == (7,)
    found = {record.path: record.found for record in new.set_aside}
    assert found["squeue.json: jobs[6].placement[1].node"] == "dgx9"
    assert found["squeue.json: jobs[7].placement[0].gpus"] == "dgx2 GPU 3"


def test_a_pending_job_larger_than_the_cluster_is_set_aside(new):
    assert "207" not in jobs(new)
    assert any(record.path == "squeue.json: jobs[14].workers" for record in new.set_aside)


def test_requests_per_node_per_task_and_in_total_become_workers(new, old):
    shapes = {job.id: (job.workers, job.gpus_per_worker, job.gpu_model) for job in jobs(new).values()}
    assert shapes["201"] == (2, 8, "H100")
    assert shapes["202"] == (6, 1, None)
    assert shapes["203"] == (4, 4, "GB200")
    assert (jobs(old)["11"].workers, jobs(old)["11"].gpus_per_worker) == (2, 4)


def test_times_are_relative_to_the_snapshot(new):
    running, waiting = jobs(new)["101"], jobs(new)["201"]
    assert (running.remaining_s, running.waiting_s) == (3600.0, 400.0)
    assert (waiting.remaining_s, waiting.waiting_s, waiting.planned_start_s) == (7200.0, 4000.0, 3600.0)
    assert jobs(new)["102"].remaining_s == Assumptions().unlimited_s


def test_priorities_are_relative_to_the_median(new, old):
    assert (jobs(new)["101"].priority, jobs(new)["102"].priority, jobs(new)["201"].priority) == (1.0, 4.0, 0.25)
    assert {job.priority for job in old.snapshot.jobs} == {1.0}


def test_jobs_that_cannot_be_requeued_or_are_completing_stay(new):
    assert jobs(new)["101"].movable
    assert not jobs(new)["102"].movable
    assert not jobs(new)["104"].movable


def test_an_array_comes_as_the_tasks_that_may_run_at_once(new, old):
    assert {name for name in jobs(new) if name.startswith("205")} == {"205_3", "205_4", "205_5"}
    assert {name for name in jobs(old) if name.startswith("7")} == {"7_0"}
    assert any("1 tasks beyond" in note for note in new.notes)


def test_dependencies_are_those_on_jobs_that_are_still_there(new, old):
    found = {job.id: job.depends_on for job in new.snapshot.jobs}
    assert found["202"] == ("101",)
    assert found["203"] == ("202",)
    assert found["206"] == ("205_3", "205_4", "205_5")
    assert found["210"] == ("209",)
    assert {job.id: job.depends_on for job in old.snapshot.jobs}["6"] == ("2", "3")


def test_held_finished_and_never_starting_jobs_and_jobs_without_gpus_are_left_out(new):
    assert not {"105", "106", "204", "208"} & set(jobs(new))


@pytest.mark.parametrize(
    ("fields", "there"),
    [
        ({"eligible_time": 1}, True),
        ({"eligible_time": 4_000_000_000}, False),
        ({"eligible_time": 4_000_000_000, "admin_comment": "quantumflow_start=4000000000"}, True),
        ({"excluded_nodes": "dgx1"}, False),
        ({"required_nodes": "dgx1"}, False),
        ({"resv_name": "maintenance"}, False),
        ({"resv_name": "quantumflow_apply"}, True),
    ],
)
def test_what_a_user_chose_for_a_waiting_job_is_not_planned_over(tmp_path, fields, there):
    """The hour of ``--begin``, nodes, and reservations; those that a plan chose are told by its marks."""
    squeue = json.loads((NEW / "squeue.json").read_text())
    next(job for job in squeue["jobs"] if job["job_id"] == 201).update(fields)
    path = tmp_path / "squeue.json"
    path.write_text(json.dumps(squeue))
    reading = read_slurm_files(path, NEW / "nodes.json", None, taken_at=None)
    assert ("201" in jobs(reading)) is there
    assert there or any("pending jobs that" in note and "left" in note for note in reading.notes)


def test_a_running_job_whose_user_excluded_nodes_stays(tmp_path):
    squeue = json.loads((NEW / "squeue.json").read_text())
    next(job for job in squeue["jobs"] if job["job_id"] == 101).update(excluded_nodes="dgx9")
    path = tmp_path / "squeue.json"
    path.write_text(json.dumps(squeue))
    assert not jobs(read_slurm_files(path, NEW / "nodes.json", None, taken_at=None))["101"].movable


def test_parts_of_a_heterogeneous_job_share_a_gang(old):
    assert jobs(old)["9"].gang == jobs(old)["10"].gang == "het-9"


def test_one_partition_can_be_read_alone():
    reading = read_slurm_files(
        NEW / "squeue.json", NEW / "nodes.json", None, taken_at=None, assume=Assumptions(partition="debug")
    )
    assert set(nodes(reading)) == {"dgx2"}
    assert "201" not in jobs(reading)
    assert not jobs(reading)["103"].movable


def test_gpus_can_be_those_that_the_caller_knows_of(tmp_path):
    squeue = {"jobs": [{"job_id": 1, "job_state": "RUNNING", "nodes": "n1", "shared": "none", "requeue": True}]}
    sinfo = {"nodes": [{"name": name, "state": "idle", "cpus": 8, "gres": ""} for name in ("n1", "n2")]}
    paths = write(tmp_path, squeue, sinfo)
    with pytest.raises(BadSource, match="at least one node with GPUs"):
        read_slurm_files(*paths, None, taken_at=None)
    known = Assumptions(gpu_model="nvidia_h200", gpus_per_node=8)
    reading = read_slurm_files(*paths, None, taken_at=None, assume=known)
    assert {(node.gpu_model, node.gpus) for node in reading.snapshot.nodes} == {("H200", 8)}
    assert jobs(reading)["1"].gpus == 8
    assert any("taken from the caller" in note for note in reading.notes)


def test_gpus_are_taken_from_tres_where_gres_is_empty(tmp_path):
    sinfo = {"nodes": [{"name": "n1", "state": ["IDLE"], "gres": "", "tres": "cpu=8,gres/gpu=2,gres/gpu:a100=2"}]}
    reading = read_slurm_files(*write(tmp_path, {"jobs": []}, sinfo), None, taken_at="2026-01-01T00:00:00Z")
    assert (nodes(reading)["n1"].gpu_model, nodes(reading)["n1"].gpus) == ("A100", 2)


@pytest.mark.parametrize("broken", [b"", b'{"jobs": [', b"[]", b'{"jobs": NaN}', b'{"other": 1}', b"\xff\xfe"])
def test_files_that_are_no_answer_of_slurm_are_refused_with_their_name(tmp_path, broken):
    path = tmp_path / "squeue.json"
    path.write_bytes(broken)
    with pytest.raises(BadSource, match=r"squeue\.json"):
        read_slurm_files(path, NEW / "nodes.json", None, taken_at=None)


@pytest.mark.parametrize("entry", [None, 7, [], {}, {"job_id": 3}, {"job_id": 3, "job_state": [], "nodes": "a["}])
def test_a_malformed_job_is_set_aside_alone(tmp_path, entry):
    squeue = json.loads((OLD / "squeue.json").read_text())
    squeue["jobs"].append(entry)
    path = tmp_path / "squeue.json"
    path.write_text(json.dumps(squeue))
    reading = read_slurm_files(path, OLD / "sinfo.json", None, taken_at=None)
    assert len(reading.set_aside) == 1
    assert f"jobs[{len(squeue['jobs']) - 1}]" in reading.set_aside[0].path


@pytest.mark.parametrize(
    "field", ["nodes", "gres_detail", "time_limit", "priority", "dependency", "shared", "tres_per_node"]
)
@pytest.mark.parametrize("value", [None, 7, [], [None], {}, "?", -1, True])
def test_no_field_of_a_wrong_kind_stops_the_reading(tmp_path, field, value):
    squeue = json.loads((OLD / "squeue.json").read_text())
    for job in squeue["jobs"]:
        job[field] = value
    path = tmp_path / "squeue.json"
    path.write_text(json.dumps(squeue))
    reading = read_slurm_files(path, OLD / "sinfo.json", None, taken_at=None)
    assert cross_check(reading.snapshot) == ()


def test_a_missing_file_can_be_tried_again(tmp_path):
    with pytest.raises(SourceUnavailable, match="absent"):
        read_slurm_files(tmp_path / "absent.json", NEW / "nodes.json", None, taken_at=None)
    with pytest.raises(SourceUnavailable, match="absent"):
        read_slurm_files(NEW / "squeue.json", NEW / "nodes.json", tmp_path / "absent.conf", taken_at=None)


@pytest.mark.skipif(not CAPTURE.exists(), reason=f"no capture of Slurm at {CAPTURE}")
def test_the_real_capture_without_gres_becomes_two_nvl72_racks():
    reading = read_slurm_files(
        CAPTURE / "squeue.json", CAPTURE / "sinfo.json", CAPTURE / "scontrol_show_topology.txt", taken_at=None
    )
    assert cross_check(reading.snapshot) == ()
    assert reading.set_aside == ()
    assert len(reading.snapshot.nodes) == 36
    assert {(node.gpu_model, node.gpus) for node in reading.snapshot.nodes} == {("GB200", 4)}
    assert {node.nvlink_domain for node in reading.snapshot.nodes} == {"rack1", "rack2"}
    assert sum(node.state == "up" for node in reading.snapshot.nodes) == 8
    assert {job.id: (job.state, job.gpus) for job in reading.snapshot.jobs} == {
        "1": ("running", 8),
        "2": ("running", 16),
        "4": ("pending", 32),
    }
    assert nodes(reading)["gb003"].unavailable_gpus == (0, 1, 2, 3)
    assert any("taken from the feature gb200" in note for note in reading.notes)


@pytest.mark.skipif(not (DATA / "topologies").exists(), reason=f"no topologies at {DATA}")
@pytest.mark.parametrize("kind", ["block", "tree"])
def test_topologies_that_topograph_writes_are_read(kind):
    name = (
        "topograph_ci_expected.slinky-dra-block.conf"
        if kind == "block"
        else "topograph_ci_expected.slinky-oci-sim-tree.conf"
    )
    topology = parse_topology((DATA / "topologies" / name).read_text(), name)
    found = topology.blocks if kind == "block" else topology.leaves
    assert len(found) == 96
    assert len(set(found.values())) == 12
    assert found["srv3205"] == ("rack32" if kind == "block" else "switch.1.6")


def command(folder, name, text):
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A folder that is searched for commands before all others."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return tmp_path


def test_commands_of_the_newer_dialect_are_read_through_scontrol(commands, new):
    command(commands, "squeue", f"cat {NEW}/squeue.json")
    command(commands, "sinfo", f"cat {NEW}/sinfo.json")
    command(commands, "scontrol", f'[ "$2" = nodes ] && cat {NEW}/nodes.json || cat {NEW}/topology.conf')
    reading = read_slurm_live(timeout_s=20)
    assert reading.snapshot.nodes == new.snapshot.nodes
    assert {job.id for job in reading.snapshot.jobs} == set(jobs(new))


def test_a_cluster_without_topology_is_read_with_a_note(commands):
    command(commands, "squeue", f"cat {OLD}/squeue.json")
    command(commands, "sinfo", f"cat {OLD}/sinfo.json")
    command(commands, "scontrol", "echo no topology plugin >&2; exit 1")
    assert any("no topology plugin" in note for note in read_slurm_live(timeout_s=20).notes)


def test_a_missing_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceUnavailable, match="squeue is not installed"):
        read_slurm_live(timeout_s=5)


def test_a_failing_command_is_named_with_what_it_said(commands):
    command(commands, "squeue", "echo slurm_load_jobs: Unable to contact slurm controller >&2; exit 1")
    with pytest.raises(SourceUnavailable, match=r"squeue.*exit code 1.*Unable to contact"):
        read_slurm_live(timeout_s=5)


def test_a_command_that_hangs_is_given_up(commands):
    command(commands, "squeue", "exec sleep 30")
    with pytest.raises(SourceUnavailable, match=r"no answer within 0\.2 s"):
        read_slurm_live(timeout_s=0.2)


def test_errors_within_the_answer_count(commands):
    command(commands, "squeue", """echo '{"errors": [{"error": "slurm down"}], "jobs": []}'""")
    command(commands, "sinfo", f"cat {OLD}/sinfo.json")
    with pytest.raises(SourceUnavailable, match="slurm down"):
        read_slurm_live(timeout_s=5)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("submit_time", 1e18),
        ("start_time", 1_700_000_000_000),
        ("array_job_id", 10**400),
        ("tasks", {"set": True, "infinite": False, "number": 1e30}),
        ("tres_per_node", "gres/gpu:h100:99999999999"),
        ("tres_per_job", "gres/gpu:" + "9" * 5000),
        ("cpus", "9" * 5000),
    ],
)
def test_an_absurd_number_sets_aside_the_job_that_holds_it(tmp_path, field, value):
    squeue, nodes_told = (json.loads((NEW / name).read_text()) for name in ("squeue.json", "nodes.json"))
    index = next(i for i, job in enumerate(squeue["jobs"]) if "PENDING" in job["job_state"])
    squeue["jobs"][index][field] = value
    found = read_slurm_files(*write(tmp_path, squeue, nodes_told), None, taken_at=None)
    places = [record.path for record in found.set_aside if f"jobs[{index}]" in record.path]
    assert len(places) == 1


def test_an_absurd_number_of_gpus_sets_aside_the_node_and_an_absurd_time_of_the_files_is_not_taken(tmp_path):
    squeue, sinfo = json.loads((NEW / "squeue.json").read_text()), json.loads((NEW / "nodes.json").read_text())
    sinfo["last_update"] = squeue["last_update"] = 1e300
    (first, *others) = [node["name"] for node in sinfo["nodes"] if "gpu" in node["gres"]]
    next(node for node in sinfo["nodes"] if node["name"] == first)["gres"] = "gpu:h100:99999999999"
    found = read_slurm_files(*write(tmp_path, squeue, sinfo), None, taken_at=None)
    assert first not in [node.id for node in found.snapshot.nodes]
    assert any(record.path.endswith(".gres") and record.expected.startswith("at most") for record in found.set_aside)
    assert any("latest timestamp" in note for note in found.notes)
    assert others
