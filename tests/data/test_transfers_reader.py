"""Is a file of transfers read as it stands, and is every bad row named?"""

import json
from pathlib import Path

import jsonschema
import networkx as nx
import pytest

from data.errors import BadSource, SourceUnavailable
from data.jsonschema import FOLDER, schema_text
from data.readers.transfers import read_transfers
from data.schemas.transfers import ROUND_SCHEDULE, Part, Round, RoundSchedule


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_an_edge_list_with_bandwidths_is_one_unit_message_on_each_link(tmp_path: Path) -> None:
    read = read_transfers(written(tmp_path, "links.csv", "source,target,bandwidth\ng0,g1,900\ng1,g0,450\n"))
    assert [(t.source, t.target, t.seconds) for t in read.transfers] == [("g0", "g1", 1 / 900), ("g1", "g0", 1 / 450)]
    assert read.notes == ("sizes are not in the file: 1 GB on each link",)


def test_an_edge_list_with_sizes_uses_and_rounds(tmp_path: Path) -> None:
    text = "source,target,gigabytes,uses,round\ng0,g1,5,nic0;rail1,3\ng1,g2,2.5,,\n"
    first, second = read_transfers(written(tmp_path, "a2a.csv", text), bandwidth_gb_per_s=25.0).transfers
    assert (first.seconds, first.uses, first.given_round) == (0.2, ("nic0", "rail1"), 3)
    assert (second.seconds, second.uses, second.given_round) == (0.1, (), None)


def test_json_of_ours_and_of_networkx(tmp_path: Path) -> None:
    ours = {"rounds": 4, "transfers": [{"source": "a", "target": "b", "gigabytes": 1, "uses": ["rail0"]}]}
    read = read_transfers(written(tmp_path, "ours.json", json.dumps(ours)))
    assert (read.rounds, read.transfers[0].uses) == (4, ("rail0",))
    graph = nx.DiGraph()
    graph.add_edge(0, 1, bandwidth=100)
    node_link = nx.node_link_data(graph, edges="links")
    assert read_transfers(written(tmp_path, "graph.json", json.dumps(node_link))).transfers[0].seconds == 0.01


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ("g0,g1,fast", "line 3.bandwidth"),
        ("g0,g1,-3", "line 3.bandwidth"),
        ("g0,g1,nan", "line 3.bandwidth"),
        ("g0,g0,3", "line 3.target"),
        (",g1,3", "line 3.source"),
        ("g0,g 1,3", "line 3.target"),
        ("g0,g1,3,4", "line 3"),
        ("g0", "line 3"),
    ],
)
def test_a_bad_row_is_named_by_file_row_and_field(tmp_path: Path, row: str, place: str) -> None:
    path = written(tmp_path, "links.csv", f"source,target,bandwidth\ng0,g1,900\n{row}\n")
    with pytest.raises(BadSource) as refused:
        read_transfers(path)
    assert [record.path for record in refused.value.records] == [f"links.csv: {place}"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.csv", "source,target\na,b\n", "gigabytes or bandwidth"),
        ("a.csv", "source,target,gigabytes,colour\na,b,1,2\n", "no other columns"),
        ("a.csv", "", "no source, target"),
        ("a.csv", "source,target,gigabytes\n", "at least one transfer"),
        ("a.json", "{", "JSON"),
        ("a.json", "{}", "a list in one of"),
        ("a.json", '{"transfers": []}', "at least one transfer"),
        ("a.json", '{"transfers": [3]}', r"transfers\[0\]"),
        ("a.json", '{"rounds": 0, "transfers": [{"source": "a", "target": "b"}]}', "rounds"),
        ("a.json", '{"transfers": [{"source": "a", "target": "b", "round": 0.5}]}', r"transfers\[0\].round"),
        ("a.json", '{"transfers": [{"source": "a", "target": "b", "uses": [1]}]}', r"transfers\[0\].uses"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str, text: str, expected: str) -> None:
    with pytest.raises(BadSource, match=expected):
        read_transfers(written(tmp_path, name, text))


def test_a_missing_file_may_come_later(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable):
        read_transfers(tmp_path / "none.csv")


def test_the_published_schema_of_rounds_is_the_current_one_and_accepts_what_we_write() -> None:
    text = (FOLDER / "rounds.json").read_text(encoding="utf-8")
    assert text == schema_text("rounds"), "run: python -m data.jsonschema"
    part = Part(0, "a", "b", 1.0, 0.02)
    schedule = RoundSchedule("a.csv", "edge colouring", 0.02, 0.02, True, 0, 0.0, False, 0.02, (Round(0.02, (part,)),))
    raw = json.loads(ROUND_SCHEDULE.dump_json(schedule))
    jsonschema.validate(raw, json.loads(text))
    raw["rounds"][0]["parts"][0]["gigabytes"] = 0
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(raw, json.loads(text))
