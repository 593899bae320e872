"""Commands that need no cluster: experts of recordings, tokens of a stream, rounds of messages."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data.readers.expert_formats import read_expert_map
from flows.commands import app


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    assert done.exit_code == code, done.output
    return done.output


def written(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_recordings_give_maps_that_engines_load(tmp_path: Path) -> None:
    recording = written(tmp_path, "r.json", {"logical_count": [[0, 0, 0, 0], [80, 5, 5, 5], [5, 80, 5, 5]]})
    options = ("--slots-per-rank", 3, "--effort", "quick", "--output", tmp_path / "runs")
    run("experts", recording, "--ranks", 2, *options)
    maps = tmp_path / "runs" / "latest" / "experts"
    planned = read_expert_map(maps / "model.sglang.json")
    assert planned.shape == (3, 6)  # the dense layer too, as SGLang counts
    # the busiest expert is on both ranks
    assert 0 in planned[1, :3]
    assert 0 in planned[1, 3:]
    assert read_expert_map(maps / "model.tensorrt.yaml").tolist() == planned[1:].tolist()
    assert read_expert_map(maps / "model.ascend.json").tolist() == planned[1:].tolist()
    assert "nothing of the plan is missing in them" in (maps / "README.txt").read_text()


def test_tokens_get_queues(tmp_path: Path) -> None:
    stream = written(tmp_path, "t.csv", "token_id,complexity\na,1\nb,1\nc,1\nd,-1\n")
    graph = written(tmp_path, "g.json", {"num_experts": 2})
    told = run("tokens", stream, graph, "--method", "hash", "--output", tmp_path / "q.json")
    assert "3 tokens, 1 left out" in told
    assert "set aside: t.csv: line 5.complexity: expected a number above 0" in told
    queues = json.loads((tmp_path / "q.json").read_text())["experts"].values()
    assert sorted(token for queue in queues for token in queue) == ["a", "b", "c"]


def test_messages_get_rounds(tmp_path: Path) -> None:
    transfers = written(tmp_path, "l.csv", "source,target,gigabytes\na,b,1\nb,c,1\nc,a,1\na,c,1\n")
    told = run("links", transfers, "--effort", "quick", "--output", tmp_path / "runs")
    assert "2 rounds" in told


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("experts", "none.json", "--ranks", 2, "--slots-per-rank", 2), "none.json"),
        (("tokens", "none.csv", "none.json"), "none.json"),
        (("links", "none.csv"), "none.csv"),
    ],
)
def test_a_missing_file_is_one_line_and_an_exit_code(
    arguments: tuple[object, ...], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = run(*arguments, code=1)
    assert "SourceUnavailable" in told
    assert named in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    "arguments",
    [("snapshot", "sample", "over-cap"), ("tokens", "tokens.csv", "graph.json", "--output")],
)
def test_a_place_that_cannot_be_written_is_one_line_and_an_exit_code(
    arguments: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = written(tmp_path, "file", "")
    told = run(*arguments, file / "below", code=1)
    assert "file/below" in told
    assert "Traceback" not in told


def test_the_sample_that_ships_is_made_again_without_a_seed(tmp_path: Path) -> None:
    run("snapshot", "sample", "over-cap", tmp_path)
    shipped = Path(__file__).resolve().parents[2] / "data" / "samples" / "over-cap" / "cluster.json"
    made, before = (json.loads(path.read_text()) for path in (tmp_path / "cluster.json", shipped))
    assert [job["id"] for job in made["jobs"]] == [job["id"] for job in before["jobs"]]


def test_planes_share_the_rounds_among_them(tmp_path: Path) -> None:
    transfers = written(tmp_path, "l.csv", "source,target,gigabytes\na,b,100\na,c,100\n")
    told = run("links", transfers, "--planes", 2, "--output", tmp_path / "runs")
    assert "2 rounds on 2 planes, 2 s (the least possible; no change)" in told
