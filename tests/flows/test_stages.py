"""Facts about the finished steps of a run that is tried again."""

import inspect
import math
import os
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from data.errors import BadRecord
from data.readers.reading import Reading
from data.readers.sources import ExpertRecordings, Sample, SnapshotFile
from data.schemas.job import Worker
from data.schemas.plan import Bound, Place, SolverRow
from flows.capabilities import improve
from flows.leftovers import TRIED_AGAIN_S, leftovers, remove
from flows.params import OptimizeParams
from flows.pipeline import plan_cluster
from flows.stages import DECIDING, NONE_KEPT, READING_S, Stages, _code, _states_of_files
from flows.watch import Watch
from qiskit_solvers.exact import Exact
from tasks.earlier_plan import EarlierPlan
from tasks.plan import Part
from tasks.predict import predict_cluster
from tasks.refine import Effort

EFFORT = Effort(evaluations=2_000, rounds=1, window=8, patience=1)
PART = Part(
    actions=(Place("job-1", (), (Worker("node-1", (0, 1)),), "room", 0.1 + 0.2),),
    rows=(SolverRow("placement", "incumbent", 1e300, 3, 0, 0, chosen=True),),
    bounds=(Bound("placement", -1.0 / 3.0, None, "none"),),
    notes=("a note",),
)


class Made:
    """Makes a value, and counts how often."""

    def __init__(self, value):
        self.value, self.times = value, 0

    def __call__(self):
        self.times += 1
        return self.value


@pytest.fixture
def stages(tmp_path):
    return Stages.of_run(tmp_path, "0190-run")


def test_a_part_is_made_once_and_comes_back_the_same(stages):
    make = Made(PART)
    assert [stages.part("placement", ("same", 1.5, PART), make) for _ in range(3)] == [PART] * 3
    assert make.times == 1


def test_a_retry_begins_at_the_same_plan_though_its_first_try_left_one(stages, cluster):
    before, own = EarlierPlan(PART.actions, ("begun at the last plan",)), EarlierPlan((), ("its own",))
    assert stages.earlier(("options", cluster), lambda: before) == before
    assert stages.earlier(("options", cluster), lambda: own) == before
    assert stages.earlier(("options", replace(cluster, taken_at="2030-01-01T00:00:00+00:00")), lambda: own) == own


def test_steps_are_kept_until_the_run_is_published():
    body = inspect.getsource(plan_cluster)
    assert body.index("publish_artifacts(") < body.index("tell_plan_ready(") < body.index("stages.done()")


def test_other_inputs_are_another_part(stages):
    make = Made(PART)
    for inputs in (("one",), ("other",), ("one",)):
        stages.part("placement", inputs, make)
    assert make.times == 3, "only the last is kept"


def test_a_reading_comes_back_with_what_was_set_aside(stages, cluster):
    read = Made(Reading(cluster, (BadRecord("x.json: jobs[3]", "an id", {"id": math.pi}),), ("a note",)))
    first, again = (stages.reading(("slurm",), (), read) for _ in range(2))
    assert read.times == 1
    for found in (first, again):
        assert (found.snapshot, found.notes) == (cluster, ("a note",))
        assert [str(each) for each in found.set_aside] == [str(each) for each in read.value.set_aside]


def test_an_old_reading_is_asked_for_again(stages, cluster):
    read = Made(Reading(cluster))
    stages.reading(("slurm",), (), read)
    (file,) = stages.folder.iterdir()
    old_s = time.time() - READING_S - 60.0
    os.utime(file, (old_s, old_s))
    stages.reading(("slurm",), (), read)
    assert read.times == 2


def test_a_file_that_was_mended_is_read_again(stages, cluster, tmp_path):
    source, topology = SnapshotFile(tmp_path / "cluster.json"), tmp_path / "dumps"
    read = Made(Reading(cluster))

    def reading():
        return stages.reading((), (source, topology), read)

    changes = (
        lambda: None,
        lambda: source.path.write_text("first"),
        lambda: source.path.write_text("other"),  # as long as before
        topology.mkdir,
        (topology / "a.txt").touch,
        lambda: (topology / "a.txt").write_text("a"),
    )
    for times, change in enumerate(changes, 1):
        time.sleep(0.01)  # a file system's clock is no finer
        change()
        for _ in range(2):
            reading()
        assert read.times == times


def test_files_are_found_wherever_a_source_names_them(tmp_path):
    one, two = (tmp_path / name for name in ("one", "two"))
    assert [each[0] for each in _states_of_files(ExpertRecordings((one, two), 8, 2), None)] == [str(one), str(two)]
    assert _states_of_files(Sample(), None) == (), "samples ship with the code"


def test_steps_are_of_one_version_of_what_decides(monkeypatch):
    known = _code.__wrapped__()
    assert known == _code.__wrapped__()
    assert all(version(name) for name in DECIDING)
    monkeypatch.setattr("flows.stages.version", lambda _name: "0")
    assert known != _code.__wrapped__()


def test_steps_are_of_one_version_of_the_data_that_ships(monkeypatch):
    known, read = _code.__wrapped__(), Path.read_bytes
    for name in ("qiskit_solvers/costs.json", "tasks/planner/weights.json", "data/samples/small/cluster.json"):
        monkeypatch.setattr(Path, "read_bytes", lambda path, name=name: read(path) + str(path).endswith(name) * b" ")
        assert known != _code.__wrapped__(), name


@pytest.mark.parametrize("damage", [b"", b"\n", b"null\n{}", b'{"key": 3}\n[]', b"\xff\xfe"])
def test_a_damaged_step_is_done_again(stages, damage):
    make = Made(PART)
    stages.part("placement", ("same", 1.5, PART), make)
    (file,) = stages.folder.iterdir()
    file.write_bytes(damage)
    assert stages.part("placement", ("same", 1.5, PART), make) == PART
    assert make.times == 2


def test_a_step_that_was_cut_short_is_done_again(stages):
    make = Made(PART)
    stages.part("placement", ("same", 1.5, PART), make)
    (file,) = stages.folder.iterdir()
    whole = file.read_bytes()
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        assert stages.part("placement", ("same", 1.5, PART), make) == PART


def test_a_hostile_name_stays_in_the_folder(stages, tmp_path):
    stages.part("../../../etc/passwd\0", ("same",), Made(PART))
    assert [path.parent for path in tmp_path.rglob("*.json")] == [stages.folder]


def test_success_forgets_the_steps(stages, tmp_path):
    stages.part("placement", ("same",), Made(PART))
    stages.done()
    assert list(tmp_path.iterdir()) == []


def test_without_a_run_nothing_is_kept(tmp_path):
    stages, make = Stages.of_run(tmp_path, None), Made(PART)
    assert [stages.part("placement", ("same", 1.5, PART), make) for _ in range(2)] == [PART] * 2
    stages.done()
    assert make.times == 2
    assert list(tmp_path.iterdir()) == []


def test_what_a_run_left_that_was_not_tried_again_can_be_removed(stages, tmp_path):
    stages.part("placement", ("same",), Made(PART))
    (young,) = leftovers(tmp_path)
    assert not young.removable
    (old,) = leftovers(tmp_path, time.time() + TRIED_AGAIN_S + 60.0)
    assert old.removable
    remove(old)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_second_try_takes_up_what_the_first_one_found(stages, power_model):
    snapshot = Sample(name="over-cap")().snapshot
    params = OptimizeParams(source=Sample(name="over-cap"), solver=Exact(), custom_effort=EFFORT)
    forecast = predict_cluster.fn(snapshot, power_model, seed=params.seed)

    def parts(kept):
        watch = Watch(600.0, lambda _phase, _share: None)
        return improve(forecast.assumed(snapshot), forecast, params, watch, (), kept)

    first = parts(stages)
    files = {path: path.stat().st_mtime_ns for path in stages.folder.iterdir()}
    assert len(files) == len(first) == 2, "placement and power; there are no experts"
    assert parts(stages) == first
    assert {path: path.stat().st_mtime_ns for path in stages.folder.iterdir()} == files
    assert parts(NONE_KEPT) == first, "it is what a run that was not cut short finds"
