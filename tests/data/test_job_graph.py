"""The original project's jobs: a dependency graph, an energy profile, and defaults for all that they do not say."""

import json
from pathlib import Path

import pytest

from data.crosscheck import cross_check
from data.errors import BadSource, SourceUnavailable
from data.readers.job_graph import read_job_graph


def written(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_smallest_graph_becomes_a_cluster_with_room_for_every_job(tmp_path: Path):
    reading = read_job_graph(written(tmp_path, "jobs.json", {"jobs": {"B": ["A"]}}))
    jobs = {job.id: job for job in reading.snapshot.jobs}
    assert jobs["B"].depends_on == ("A",)
    assert jobs["A"].depends_on == ()
    assert {job.state for job in jobs.values()} == {"pending"}
    assert sum(node.gpus for node in reading.snapshot.nodes) >= sum(job.gpus for job in jobs.values())
    assert cross_check(reading.snapshot) == ()
    assert reading.set_aside == ()
    assert any("assumed" in note for note in reading.notes)


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("plain.json", {"A": 350, "B": {"power_w": 500.0, "duration_s": 600, "gpus": 16, "deadline_s": 900}}),
        ("table.csv", "job,power_w,duration_s,gpus,deadline_s\nA,350,,,\nB,500,600,16,900\n"),
    ],
)
def test_a_profile_says_what_jobs_draw(tmp_path: Path, name: str, profile: object):
    graph = written(tmp_path, "jobs.json", {"jobs": {"B": ["A"]}})
    jobs = {job.id: job for job in read_job_graph(graph, written(tmp_path, name, profile)).snapshot.jobs}
    assert jobs["A"].gpu_power_w == 350.0
    b = jobs["B"]
    assert (b.gpu_power_w, b.remaining_s, b.gpus, b.gpus_per_worker, b.deadline_s) == (500.0, 600.0, 16, 8, 900.0)


def test_energy_over_time_is_power_of_each_gpu(tmp_path: Path):
    graph = written(tmp_path, "jobs.json", {"jobs": {"A": []}})
    profile = written(tmp_path, "p.json", {"A": {"energy_kwh": 1.0, "duration_s": 1800, "gpus": 4}})
    assert read_job_graph(graph, profile).snapshot.jobs[0].gpu_power_w == pytest.approx(500.0)


def test_what_cannot_be_used_is_named_and_the_rest_is_kept(tmp_path: Path):
    graph = written(tmp_path, "jobs.json", {"jobs": {"A": [], "B": "A", "C d": [], "D": ["A"]}})
    profile = written(tmp_path, "p.csv", "job,power_w,colour\nA,much,blue\nZ,300,\nD,400,\n")
    reading = read_job_graph(graph, profile)
    assert {job.id: job.gpu_power_w for job in reading.snapshot.jobs} == {"A": None, "D": 400.0}
    told = "\n".join(map(str, reading.set_aside))
    for part in ("jobs.B: expected a list of names", "found C d", "line 2.power_w", "line 2.colour", "found Z"):
        assert part in told


def test_a_circle_is_broken_and_told(tmp_path: Path):
    reading = read_job_graph(written(tmp_path, "jobs.json", {"jobs": {"A": ["B"], "B": ["A"], "C": []}}))
    assert "C" in {job.id for job in reading.snapshot.jobs}
    assert any("no cycle" in str(record) for record in reading.set_aside)
    assert cross_check(reading.snapshot) == ()


@pytest.mark.parametrize("content", ["[1]", '{"jobs": ["A"]}', "{", '{"jobs": {}}', '{"tasks": {"A": []}}'])
def test_another_shape_is_refused(tmp_path: Path, content: str):
    with pytest.raises(BadSource, match=r"jobs\.json"):
        read_job_graph(written(tmp_path, "jobs.json", content))


def test_a_missing_file_is_unavailable(tmp_path: Path):
    with pytest.raises(SourceUnavailable, match=r"none\.json"):
        read_job_graph(tmp_path / "none.json")


def test_who_waits_for_a_job_that_was_set_aside_goes_with_it_and_says_for_whom(tmp_path: Path) -> None:
    graph, profile = tmp_path / "g.json", tmp_path / "p.json"
    graph.write_text(json.dumps({"jobs": {"A": [], "B": ["A"], "C": ["B"], "D": []}}))
    profile.write_text(json.dumps({"A": {"power_w": 300, "gpus": 1.5}}))
    reading = read_job_graph(graph, profile)
    assert [job.id for job in reading.snapshot.jobs] == ["D"]
    assert [(record.path.rpartition(": ")[2], record.found) for record in reading.set_aside] == [
        ("A.gpus", "1.5"),
        ("jobs.B.depends_on", "A, which was set aside"),
        ("jobs.C.depends_on", "B, which was set aside"),
    ]


@pytest.mark.parametrize("gpus", ["10" + "0" * 400, "1e9", "0", "-1"])
def test_an_absurd_number_of_gpus_is_refused_before_machines_are_made_for_it(tmp_path: Path, gpus: str) -> None:
    graph, profile = tmp_path / "g.json", tmp_path / "p.json"
    graph.write_text(json.dumps({"jobs": {"A": [], "D": []}}))
    profile.write_text(f'{{"A": {{"gpus": {gpus}}}}}')
    reading = read_job_graph(graph, profile)
    assert [job.id for job in reading.snapshot.jobs if job.id == "D" or job.gpus > 1_000_000] == ["D"]
    assert any(record.path.endswith("A.gpus") for record in reading.set_aside)
