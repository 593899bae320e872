"""Routing tokens on a real Prefect server: queues in a file, and errors that name what is wrong."""

import json
from pathlib import Path

import pytest

from data.errors import BadSource
from flows.tokens import TokenParams, route_tokens


def asked(folder: Path, stream: object, **form: object) -> TokenParams:
    (folder / "tokens.json").write_text(json.dumps(stream))
    (folder / "graph.json").write_text(json.dumps({"num_experts": 4}))
    files = {"tokens": folder / "tokens.json", "model_graph": folder / "graph.json", "output": folder / "out.json"}
    return TokenParams.model_validate({**files, "method": "bounded-hash", **form})


def test_every_expert_gets_a_queue(tmp_path: Path) -> None:
    stream = [{"token_id": f"t{number}"} for number in range(40)]
    path = Path(route_tokens(asked(tmp_path, stream)))
    queues = json.loads(path.read_text())["experts"]
    assert len(queues) == 4
    assert sorted(token for queue in queues.values() for token in queue) == sorted(row["token_id"] for row in stream)


def test_a_bad_stream_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text("before")
    with pytest.raises(BadSource, match=r"tokens\.json: token 0\.complexity"):
        route_tokens(asked(tmp_path, [{"token_id": "a", "complexity": -1}]))
    assert (tmp_path / "out.json").read_text() == "before"
