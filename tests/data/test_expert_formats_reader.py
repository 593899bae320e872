"""Are recordings and maps of serving engines read as they are meant, and is what is wrong named?"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from data.errors import BadRecord, BadSource, SourceUnavailable
from data.readers.expert_formats import counted_deployment, read_expert_counts, read_expert_map


def written(folder: Path, name: str, document: object) -> Path:
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def recording(folder: Path, name: str, counts: object) -> Path:
    return written(folder, name, {"logical_count": counts})


def test_files_become_windows_and_leading_layers_without_tokens_are_dense(tmp_path):
    first = recording(tmp_path, "a.json", [[0, 0], [1, 2], [3.0, 4.0]])
    second = recording(tmp_path, "b.json", [[0, 0], [5, 6], [0, 0]])
    counts = read_expert_counts([first, second])
    assert counts.loads.tolist() == [[[1, 2], [3, 4]], [[5, 6], [0, 0]]]
    assert counts.dense_layers == 1
    assert "first 1 layers" in counts.notes[0]


def test_steps_of_a_file_are_added_up(tmp_path):
    path = recording(tmp_path, "a.json", [[[1, 2]], [[3, 4]], [[5, 6]]])
    assert read_expert_counts([path]).loads.tolist() == [[[9, 12]]]
    pairs = read_expert_counts([path], steps_per_window=2)
    assert pairs.loads.tolist() == [[[4, 6]]]
    assert "last 1 steps" in pairs.notes[0]
    assert read_expert_counts([path], steps_per_window=9).loads.tolist() == [[[9, 12]]]


def test_the_recorders_own_file_is_read_without_calling_anything(tmp_path):
    path = tmp_path / "expert_distribution_recorder_1.pt"
    torch.save({"rank": 0, "logical_count": torch.tensor([[[1, 2], [3, 4]]], dtype=torch.int32)}, path)
    assert read_expert_counts([path]).loads.tolist() == [[[1, 2], [3, 4]]]
    torch.save({"logical_count": Path("x")}, path)
    with pytest.raises(BadSource, match="weights_only"):
        read_expert_counts([path])


@pytest.mark.parametrize(
    ("document", "field", "expected"),
    [
        ("{", "bad.json", "JSON"),
        ([1], "bad.json", "object"),
        ({"counts": []}, "bad.json", "logical_count"),
        ({"logical_count": []}, "logical_count", "list of layers"),
        ({"logical_count": 3}, "logical_count", "list of layers"),
        ({"logical_count": [[1, 2], [3]]}, r"logical_count\[1\]", "shape"),
        ({"logical_count": [[[1, 2], [3]]]}, r"logical_count\[0\]", "same length"),
        ({"logical_count": [[1, "2"]]}, r"logical_count\[0\]", "numbers"),
        ({"logical_count": [[1, -2]]}, r"logical_count\[0\]\[1\]", "tokens from 0"),
        ({"logical_count": [[1, 1e300]]}, r"logical_count\[0\]\[1\]", "tokens from 0"),
        ('{"logical_count": [[1, NaN]]}', "bad.json", "JSON"),
    ],
)
def test_a_recording_that_is_wrong_is_set_aside_by_name(tmp_path, document, field, expected):
    good, bad = recording(tmp_path, "good.json", [[1, 2]]), written(tmp_path, "bad.json", document)
    counts = read_expert_counts([bad, good])
    assert counts.loads.tolist() == [[[1, 2]]]
    (record,) = counts.set_aside
    assert record.path.startswith("bad.json")
    with pytest.raises(BadSource, match=f"{field}.*{expected}"):
        read_expert_counts([bad])


def test_a_recording_of_another_model_is_set_aside(tmp_path):
    paths = [recording(tmp_path, "a.json", [[1, 2]]), recording(tmp_path, "b.json", [[1, 2, 3]])]
    (record,) = read_expert_counts(paths).set_aside
    assert "1 layers of 2 experts" in record.expected


def test_recordings_without_tokens_or_without_files_are_refused(tmp_path):
    with pytest.raises(BadSource, match="zeros only"):
        read_expert_counts([recording(tmp_path, "a.json", [[0, 0]])])
    with pytest.raises(ValueError, match="expected files"):
        read_expert_counts([])
    with pytest.raises(SourceUnavailable):
        read_expert_counts([tmp_path / "none.json"])


def test_a_deployment_is_made_of_recordings_and_of_the_map_in_force(tmp_path):
    counts = read_expert_counts([recording(tmp_path, "a.json", [[0, 0, 0], [1, 2, 3]])])
    made = counted_deployment(counts, "chat", "serve", ranks=2, slots_per_rank=2, window_s=60.0)
    assert made.placement == ((0, 1, 2, 0),)
    assert made.loads == (((1.0, 2.0, 3.0),),)
    whole = np.array([[0, 1, 2, 0], [2, 1, 0, 2]])  # a map of the whole model, its dense layer too
    assert counted_deployment(counts, "chat", "serve", ranks=2, slots_per_rank=2, placement=whole).placement == (
        (2, 1, 0, 2),
    )


@pytest.mark.parametrize(
    ("ranks", "placement", "expected"),
    [
        (1, None, "at least 3"),
        (2, [[0, 1, 2]], "1 layers of 4 slots"),
        (2, [[0, 1, 1, 0]], "each of 3 experts"),
        (2, [[0, 1, 2, 3]], "experts from 0 to 2"),
    ],
)
def test_a_map_that_does_not_fit_the_recordings_is_refused(tmp_path, ranks, placement, expected):
    counts = read_expert_counts([recording(tmp_path, "a.json", [[1, 2, 3]])])
    held = None if placement is None else np.array(placement)
    with pytest.raises(BadRecord, match=expected):
        counted_deployment(counts, "chat", "serve", ranks=ranks, slots_per_rank=2, placement=held)


def test_an_id_that_no_plan_may_hold_is_refused(tmp_path):
    counts = read_expert_counts([recording(tmp_path, "a.json", [[1, 2]])])
    with pytest.raises(BadRecord, match=r"^two words: id"):
        counted_deployment(counts, "two words", "serve", ranks=2, slots_per_rank=1)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("m.json", "{}", "physical_to_logical_map"),
        ("m.json", '{"physical_to_logical_map": [[0, 2, 2]]}', r"none for \[1\]"),
        ("m.json", '{"physical_to_logical_map": [[0, -1]]}', "experts from 0"),
        ("m.json", '{"physical_to_logical_map": [[0, 0.5]]}', "experts from 0"),
        ("m.json", '{"physical_to_logical_map": [0, 1]}', "numbers"),
        ("m.json", '{"physical_to_logical_map": [[[0], [1]]]}', "layers x slots"),
        ("m.json", '{"layer_list": 1}', "a list"),
        ("m.json", '{"layer_list": [{"layer_id": 0}]}', r"layer_list\[0\]"),
        ("m.yaml", "- 1", "initial_global_assignments"),
        ("m.yaml", "num_slots: 2\ninitial_global_assignments: {0: [0, x]}", "whole numbers"),
        ("m.yaml", "num_slots: 3\ninitial_global_assignments: {0: [0, 1]}", "num_slots"),
        ("m.yaml", "a: [", "YAML"),
    ],
)
def test_a_map_that_is_wrong_is_refused_by_name(tmp_path, name, text, expected):
    with pytest.raises(BadSource, match=expected):
        read_expert_map(written(tmp_path, name, text))


def test_real_recordings_are_read(real_data):
    folder = real_data / "sglang_deepseek_expert_counts"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    paths = sorted(folder.glob("*.json"))
    counts = read_expert_counts(paths)
    assert counts.loads.shape == (len(paths), 58, 256)
    assert counts.dense_layers == 3
    assert counts.set_aside == ()
    # each token visits 8 of the experts, in prefill as often in each layer
    prefill = counts.loads[[path.stem.startswith("prefill") for path in paths]].sum(axis=2)
    assert (prefill == prefill[:, :1]).all()
