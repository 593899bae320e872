"""A served model from its recordings: a cluster of its own, with the loads and the map in force."""

import json
from pathlib import Path

import pytest

from data.crosscheck import cross_check
from data.errors import BadSource
from data.readers.expert_recordings import read_expert_recordings


def recorded(folder: Path, name: str, counts: list[list[int]]) -> Path:
    path = folder / name
    path.write_text(json.dumps({"logical_count": counts}))
    return path


def test_recordings_become_a_cluster_that_serves_the_model(tmp_path: Path):
    dense = [0, 0, 0, 0]
    paths = [
        recorded(tmp_path, "1.json", [dense, [5, 1, 1, 1], [2, 2, 2, 2]]),
        recorded(tmp_path, "2.json", [dense, [1, 5, 1, 1], [2, 2, 2, 2]]),
    ]
    reading = read_expert_recordings(paths, ranks=6, slots_per_rank=1, gpus_per_domain=4)
    snapshot = reading.snapshot
    (served,) = snapshot.deployments
    assert served.loads == (((5.0, 1.0, 1.0, 1.0), (2.0,) * 4), ((1.0, 5.0, 1.0, 1.0), (2.0,) * 4))
    assert served.dense_layers == 1
    assert served.placement == ((0, 1, 2, 3, 0, 1),) * 2
    assert cross_check(snapshot) == ()
    domains = [node.nvlink_domain for node in snapshot.nodes for _ in range(node.gpus)]
    assert [domains.count(name) for name in sorted(set(domains))] == [4, 2]


def test_a_map_that_does_not_fit_is_named(tmp_path: Path):
    recording = recorded(tmp_path, "1.json", [[5, 1, 1, 1]])
    current = tmp_path / "map.json"
    current.write_text(json.dumps({"physical_to_logical_map": [[0, 1, 2]]}))
    with pytest.raises(BadSource, match=r"map\.json(.|\n)*1 layers of 4 slots"):
        read_expert_recordings([recording], ranks=4, slots_per_rank=1, expert_map=current)
