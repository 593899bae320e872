"""Our own snapshot file: every problem named at once, bad records set aside, nobody's GPUs given away."""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.crosscheck import cross_check
from data.digest import SNAPSHOT, snapshot_digest
from data.errors import BadSource, SourceUnavailable
from data.jsonschema import FOLDER, schema_text
from data.readers.snapshot import read_snapshot, write_snapshot
from data.schemas.cluster import Snapshot


@pytest.fixture
def raw(cluster: Snapshot) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(SNAPSHOT.dump_json(cluster))
    return loaded


def written(folder: Path, raw: object) -> Path:
    path = folder / "cluster.json"
    path.write_text(raw if isinstance(raw, str) else json.dumps(raw))
    return path


def test_writing_and_reading_gives_the_same_snapshot(cluster: Snapshot, tmp_path: Path) -> None:
    write_snapshot(cluster, tmp_path / "cluster.json")
    reading = read_snapshot(tmp_path / "cluster.json")
    assert reading.snapshot == cluster
    assert reading.set_aside == ()
    assert snapshot_digest(reading.snapshot) == snapshot_digest(cluster)


def test_the_published_schema_is_the_current_one_and_accepts_what_we_write(raw: dict[str, Any]) -> None:
    text = (FOLDER / "snapshot.json").read_text()
    assert text == schema_text("snapshot"), "run: python -m data.jsonschema"
    jsonschema.validate(raw, json.loads(text))
    raw["nodes"][0]["gpus"] = "four"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(raw, json.loads(text))


def broken(raw: dict[str, Any]) -> dict[str, Any]:
    raw["nodes"][7]["gpu_power_max_w"] = 1.2  # kilowatts
    raw["jobs"][0]["placement"][0]["node"] = "nowhere"
    raw["jobs"][1]["placement"][0] = {"node": "east-2", "gpus": [0, 1, 2, 3]}  # pinned holds it, later in the file
    raw["jobs"][3]["gpu_power_w"] = float("nan")
    raw["jobs"][4]["workers"] = 1000
    raw["jobs"].append({"id": "x", "workers": 1, "gpus_per_worker": 1, "state": "pending", "colour": "red"})
    raw["jobs"].append({"id": "y", "workers": 1, "gpus_per_worker": 1, "state": "asleep"})
    return raw


def test_every_problem_is_named_with_place_expected_and_found(raw: dict[str, Any], tmp_path: Path) -> None:
    told = {str(record) for record in read_snapshot(written(tmp_path, broken(raw))).set_aside}
    for piece in (
        "cluster.json: nodes[7].gpu_power_max_w: expected greater than or equal to 20, found 1.2",
        "cluster.json: jobs[0].placement[0].node: expected the id of a node of the snapshot, found nowhere",
        "cluster.json: jobs[2].placement[0].gpus: expected a GPU that no other job holds (blue holds it)",
        "cluster.json: jobs[3].gpu_power_w: expected a finite number, found nan",
        "cluster.json: jobs[4].workers: expected at most the",
        "cluster.json: jobs[5].colour: expected a field of the schema, found 'red'",
        "cluster.json: jobs[6].state: expected 'running' or 'pending', found 'asleep'",
    ):
        assert any(text.startswith(piece) for text in told), (piece, told)


def test_what_is_left_is_sound_and_gpus_of_lost_jobs_stay_taken(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["jobs"][0]["priority"] = -1.0  # "red" runs on east-0 and west-0
    snapshot = read_snapshot(written(tmp_path, raw)).snapshot
    assert cross_check(snapshot) == ()
    nodes = {node.id: node for node in snapshot.nodes}
    assert "red" not in {job.id for job in snapshot.jobs}
    assert nodes["east-0"].unavailable_gpus == nodes["west-0"].unavailable_gpus == (0, 1, 2, 3)
    assert nodes["east-1"].unavailable_gpus == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"cluster": "c", "nodes": [', "expected JSON"),
        ("[1, 2]", "expected a JSON object"),
        ("{}", "expected a value, found nothing"),
        ('{"cluster": "c", "taken_at": "2026-01-31T12:00:00Z", "nodes": []}', "expected at least one usable node"),
        ('{"cluster": "c", "taken_at": "yesterday", "nodes": []}', "pattern"),
        ('{"cluster": "c d", "taken_at": "2026-01-31T12:00:00Z", "nodes": []}', "pattern"),
        ("\x00\x01", "expected JSON"),
        ("[" * 100_000, "expected JSON"),
    ],
)
def test_a_file_of_which_nothing_can_be_used_is_refused(text: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(BadSource, match=expected):
        read_snapshot(written(tmp_path, text))


def test_a_cap_in_kilowatts_is_refused(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["limits"]["power_cap_w"] = 200.0
    with pytest.raises(BadSource, match="kilowatts"):
        read_snapshot(written(tmp_path, raw))


def test_a_missing_file_is_an_unavailable_source(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="No such file"):
        read_snapshot(tmp_path / "none.json")


def test_a_cluster_without_jobs_is_read(raw: dict[str, Any], tmp_path: Path) -> None:
    del raw["jobs"]
    assert read_snapshot(written(tmp_path, raw)).snapshot.jobs == ()


def test_dependency_cycles_are_cut_and_named(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["jobs"][3]["depends_on"] = ["later"]
    raw["jobs"][4]["depends_on"] = ["waiting"]
    told = [str(record) for record in read_snapshot(written(tmp_path, raw)).set_aside]
    assert any("expected no cycle" in text for text in told)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(data=st.data())
def test_whatever_stands_in_a_field_the_reader_answers_with_its_own_errors(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    raw = json.loads((Path(__file__).parent / "fixtures" / "two_racks.json").read_text())
    collection = data.draw(st.sampled_from(["nodes", "jobs", "limits", "cluster", "schema_version"]))
    value = data.draw(JSON)
    if collection in ("nodes", "jobs") and data.draw(st.booleans()):
        record = data.draw(st.sampled_from(raw[collection]))
        record[data.draw(st.sampled_from(sorted(record)))] = value
    else:
        raw[collection] = value
    path = written(tmp_path_factory.mktemp("fuzz"), raw)
    with contextlib.suppress(BadSource):  # any other error fails the test
        assert cross_check(read_snapshot(path).snapshot) == ()


@pytest.mark.slow
def test_a_hundred_thousand_gpus_are_read_in_ten_seconds(tmp_path: Path) -> None:
    nodes = [
        {"id": f"n{i}", "gpu_model": "H100", "gpus": 8, "nvlink_domain": f"n{i}", "rack": f"r{i // 4}"}
        for i in range(12_500)
    ]
    jobs = [
        {
            "id": f"j{i}", "workers": 1, "gpus_per_worker": 4, "state": "running",
            "placement": [{"node": f"n{i // 2}", "gpus": [4 * (i % 2) + k for k in range(4)]}],
        }
        for i in range(20_000)
    ]  # fmt: skip
    raw = {"cluster": "big", "taken_at": "2026-01-31T12:00:00Z", "nodes": nodes, "jobs": jobs}
    path = written(tmp_path, raw)
    began = time.perf_counter()
    snapshot = read_snapshot(path).snapshot
    assert time.perf_counter() - began < 10
    assert sum(node.gpus for node in snapshot.nodes) == 100_000
