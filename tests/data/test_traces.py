"""Published traces become snapshots: of synthetic files always, of the real ones where these are at hand."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from data.crosscheck import cross_check
from data.errors import BadSource, SourceUnavailable
from data.generators.fit_marginals import PHILLY, folder_of_traces
from data.readers.traces.openb import read_openb
from data.readers.traces.philly import read_philly

OPENB = "alibaba_gpu_v2023"


def philly(folder: Path, rows: Sequence[str], head: str = "timestamp,duration,num_gpus,gpu_time,cluster") -> Path:
    path = folder / "philly.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def at(second: int, duration: str, gpus: str) -> str:
    return f"2017-10-10 06:00:{second:02d},{duration},{gpus},0,vc"


@pytest.fixture(scope="module")
def traces() -> Path:
    folder = folder_of_traces()
    if not (folder / PHILLY).exists():
        pytest.skip(f"no traces in {folder}: set QUANTUMFLOW_DATA")
    return folder


def test_the_moment_is_when_the_asked_number_of_jobs_is_present(tmp_path: Path):
    path = philly(
        tmp_path, [at(0, "5", "1"), at(3, "100", "4"), at(7, "100", "8"), at(9, "100", "1"), at(30, "9", "1")]
    )
    reading = read_philly(path, jobs=3, gpus=16)
    assert reading.snapshot.taken_at == "2017-10-10T06:00:09+00:00"
    assert [(job.id, job.gpus, job.remaining_s) for job in reading.snapshot.jobs] == [
        ("philly-2", 4, 94.0),
        ("philly-3", 8, 98.0),
        ("philly-4", 1, 100.0),
    ]
    assert any(note.startswith("1 jobs of the trace had finished") for note in reading.notes)


def test_who_does_not_fit_waits(tmp_path: Path):
    path = philly(tmp_path, [at(0, "100", "8"), at(1, "100", "8"), at(2, "100", "2")])
    jobs = read_philly(path, jobs=3, gpus=16).snapshot.jobs
    assert [job.state for job in jobs] == ["running", "running", "pending"]
    assert jobs[2].placement == ()


def test_speedup_squeezes_arrivals_and_not_durations(tmp_path: Path):
    rows = [at(0, "20", "1"), at(40, "20", "1")]
    assert len(read_philly(philly(tmp_path, rows), jobs=2, gpus=8).snapshot.jobs) == 1
    faster = read_philly(philly(tmp_path, rows), jobs=2, gpus=8, speedup=4.0)
    assert [job.remaining_s for job in faster.snapshot.jobs] == [10.0, 20.0]
    assert any("4 times as fast" in note for note in faster.notes)


def test_a_trace_that_ends_early_says_so(tmp_path: Path):
    reading = read_philly(philly(tmp_path, [at(0, "20", "1")]), jobs=9, gpus=8)
    assert any("fewer than the 9" in note for note in reading.notes)


@pytest.mark.parametrize(
    ("row", "where"),
    [
        (at(1, "0", "1"), "line 3.duration"),
        (at(1, "nan", "1"), "line 3.duration"),
        (at(1, "-5", "1"), "line 3.duration"),
        (at(1, "5", "0"), "line 3.num_gpus"),
        (at(1, "5", "1.5"), "line 3.num_gpus"),
        (at(1, "5", ""), "line 3.num_gpus"),
        (at(1, "5", "64"), "line 3.num_gpus"),
        ("yesterday,5,1,0,vc", "line 3.timestamp"),
        ("2017-10-10 06:00:01", "line 3"),
    ],
)
def test_a_row_that_cannot_be_used_is_set_aside_with_its_place(tmp_path: Path, row: str, where: str):
    reading = read_philly(philly(tmp_path, [at(0, "50", "1"), row, at(2, "50", "1")]), jobs=2, gpus=16)
    assert [record.path for record in reading.set_aside] == [f"philly.csv: {where}"]
    assert len(reading.snapshot.jobs) == 2


def test_a_file_without_usable_rows_or_columns_is_refused_with_every_problem(tmp_path: Path):
    with pytest.raises(BadSource) as refused:
        read_philly(philly(tmp_path, [at(0, "x", "1"), at(1, "5", "x")]))
    assert len(refused.value.records) == 2
    with pytest.raises(BadSource, match="no duration, num_gpus"):
        read_philly(philly(tmp_path, ["1"], head="timestamp"))
    with pytest.raises(BadSource, match="at least one row"):
        read_philly(philly(tmp_path, []))
    with pytest.raises(SourceUnavailable, match=r"absent\.csv"):
        read_philly(tmp_path / "absent.csv")
    with pytest.raises(ValueError, match="speedup"):
        read_philly(philly(tmp_path, [at(0, "5", "1")]), speedup=0.0)


def test_binary_rubbish_is_refused_not_crashed_on(tmp_path: Path):
    path = tmp_path / "philly.csv"
    path.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(BadSource):
        read_philly(path)


def test_gangs_are_split_over_nodes_of_the_shape(tmp_path: Path):
    path = philly(tmp_path, [at(0, "50", "16"), at(1, "50", "6"), at(2, "50", "7")])
    dgx = read_philly(path, jobs=3, gpus=64).snapshot
    assert [(job.workers, job.gpus_per_worker) for job in dgx.jobs] == [(2, 8), (1, 6), (1, 7)]
    nvl = read_philly(path, jobs=3, gpus=288, shape="nvl72").snapshot
    assert [(job.workers, job.gpus_per_worker) for job in nvl.jobs] == [(4, 4), (2, 3), (7, 1)]
    assert len({node.nvlink_domain for node in nvl.nodes}) == 4
    assert all(job.traffic_gb_per_s > 0.0 for job in nvl.jobs)


def test_openb_pods_that_share_a_gpu_are_set_aside_and_those_without_are_left_out(tmp_path: Path):
    nodes, pods = tmp_path / "nodes.csv", tmp_path / "pods.csv"
    nodes.write_text("sn,cpu_milli,memory_mib,gpu,model\nn1,1,1,2,T4\nn2,1,1,8,G2\nn3,1,1,zero,T4\n")
    pods.write_text(
        "name,num_gpu,gpu_milli,creation_time,deletion_time,scheduled_time\n"
        "whole,1,1000,0,900,10\nshared,1,460,5,900,5\nnone,0,0,6,900,6\nlate,8,1000,20,900,\nback,1,1000,30,20,30\n"
    )
    reading = read_openb(nodes, pods, jobs=2, speedup=1.0)
    assert [job.id for job in reading.snapshot.jobs] == ["whole", "late"]
    assert [record.path for record in reading.set_aside] == [
        "nodes.csv: line 4.gpu",
        "pods.csv: line 3.gpu_milli",
        "pods.csv: line 6.deletion_time",
    ]
    assert reading.snapshot.nodes[0].gpu_power_max_w == 70.0
    assert any("watts of G2 are not known" in note for note in reading.notes)
    assert any(note.startswith("1 pods without GPUs") for note in reading.notes)


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["dgx", "nvl72"])
def test_five_hundred_philly_jobs_make_a_sound_cluster_of_1024_gpus(traces: Path, shape: str):
    reading = read_philly(traces / PHILLY, shape="dgx" if shape == "dgx" else "nvl72")
    assert len(reading.snapshot.jobs) == 500
    assert sum(node.gpus for node in reading.snapshot.nodes) == 1024
    assert cross_check(reading.snapshot) == ()
    assert reading.set_aside == ()
    assert read_philly(traces / PHILLY, shape="dgx" if shape == "dgx" else "nvl72").snapshot == reading.snapshot


def test_the_real_openb_trace_makes_a_sound_cluster(traces: Path):
    folder = traces / OPENB
    reading = read_openb(folder / "openb_node_list_gpu_node.csv", folder / "openb_pod_list_default.csv")
    assert len(reading.snapshot.nodes) == 1213
    assert len(reading.snapshot.jobs) == 500
    assert cross_check(reading.snapshot) == ()
    assert len(reading.set_aside) > 3000
