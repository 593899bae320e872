"""Do engines get the map that the plan says? Written, read back, and compared byte by byte where a format is fixed."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from data.readers.expert_formats import read_expert_map
from data.schemas.routing import ExpertDeployment
from tasks.report.expert_formats import (
    GUIDE,
    engine_files,
    not_carried,
    sglang_map,
    tensorrt_yaml,
    vllm_ascend_map,
    vllm_map,
)

SMALL = ExpertDeployment(
    "chat",
    "serve",
    ranks=3,
    slots_per_rank=2,
    loads=(((4.0, 3.0, 2.0, 1.0), (1.0, 2.0, 3.0, 4.0)),),
    placement=((0, 1, 2, 3, 0, 1), (0, 2, 0, 1, 0, 3)),
)
WRITERS = {"map.json": sglang_map, "vllm.json": vllm_map, "ascend.json": vllm_ascend_map, "map.yaml": tensorrt_yaml}


def test_sglang_gets_one_key_and_a_row_for_each_layer_of_the_model():
    assert sglang_map(replace(SMALL, dense_layers=1)) == (
        '{"physical_to_logical_map": [\n[0, 1, 2, 3, 0, 1],\n[0, 1, 2, 3, 0, 1],\n[0, 2, 0, 1, 0, 3]\n]}\n'
    )


def test_tensorrt_gets_layers_by_their_number_in_the_model():
    assert tensorrt_yaml(replace(SMALL, dense_layers=3), layer_updates_per_iter=2) == (
        "num_slots: 6\n"
        "initial_global_assignments:\n"
        "  3: [0, 1, 2, 3, 0, 1]\n"
        "  4: [0, 2, 0, 1, 0, 3]\n"
        "layer_updates_per_iter: 2\n"
    )
    assert yaml.safe_load(tensorrt_yaml(SMALL))["initial_global_assignments"][1] == [0, 2, 0, 1, 0, 3]


def test_vllm_gets_the_array_of_its_load_balancer_and_the_counts():
    told = json.loads(vllm_map(SMALL, model="m"))
    assert told["physical_to_logical_map"] == [list(row) for row in SMALL.placement]
    names = ("model_name", "num_moe_layers", "num_logical_experts", "num_physical_experts", "num_redundant_experts")
    assert tuple(told[name] for name in names) == ("m", 2, 4, 6, 2)


def test_ascend_gets_experts_by_device():
    told = json.loads(vllm_ascend_map(SMALL))
    assert told["moe_layer_count"] == 2
    assert told["layer_list"][1]["device_list"][2] == {"device_id": 2, "device_expert": [0, 3]}


def test_layers_without_tokens_are_for_sglang_only():
    dense = replace(SMALL, loads=(((0.0,) * 4, *SMALL.loads[0]),), placement=((0, 1, 2, 3, 0, 1), *SMALL.placement))
    assert len(json.loads(sglang_map(dense))["physical_to_logical_map"]) == 3
    assert json.loads(vllm_map(dense))["num_moe_layers"] == 2
    assert json.loads(vllm_ascend_map(dense))["layer_list"][0]["layer_id"] == 0
    assert list(yaml.safe_load(tensorrt_yaml(dense))["initial_global_assignments"]) == [1, 2]


@settings(max_examples=20)
@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.sampled_from(sorted(WRITERS)), st.integers(0, 2**32 - 1)
)
def test_what_is_written_is_read_back(tmp_path_factory, layers, ranks, room, name, seed):
    rng = np.random.default_rng(seed)
    slots = ranks * room
    experts = int(rng.integers(1, slots + 1))
    rows = [rng.permutation(np.concatenate([np.arange(experts), rng.integers(experts, size=slots - experts)]))]
    rows += [rng.permutation(rows[0]) for _ in range(layers - 1)]
    loads = ((tuple(1.0 for _ in range(experts)),) * layers,)
    placement = tuple(tuple(int(expert) for expert in row) for row in rows)
    path = tmp_path_factory.mktemp("maps") / name
    path.write_text(WRITERS[name](ExpertDeployment("d", "j", ranks, room, loads, placement)))
    assert read_expert_map(path).tolist() == [list(row) for row in placement]


def test_what_no_file_can_say_is_told():
    assert not_carried(SMALL) == ()
    even = replace(SMALL, shares=((0.5, 0.5, 1.0, 1.0, 0.5, 0.5), (1 / 3, 1.0, 1 / 3, 1.0, 1 / 3, 1.0)))
    assert not_carried(even) == ()
    uneven = replace(even, shares=(even.shares[0], (0.4, 1.0, 0.3, 1.0, 0.3, 1.0)))
    assert not_carried(uneven) == (
        "chat: in the engines' maps uneven shares are missing, of layers [1]; engines split evenly",
    )
    (failed,) = not_carried(replace(SMALL, rank_speed=(1.0, 0.0, 1.0)))
    assert "failed ranks [1]" in failed
    # what a failed rank is said to take does not make the live ones uneven
    shares = ((0.5, 1.0, 0.0, 0.0, 0.5, 1.0), (0.5, 1.0, 0.0, 0.0, 0.5, 1.0))
    rows = ((0, 1, 2, 3, 0, 1), (0, 2, 0, 1, 0, 3))
    assert len(not_carried(replace(SMALL, placement=rows, shares=shares, rank_speed=(1.0, 0.0, 1.0)))) == 1


def test_layers_that_some_engines_do_not_get_are_told():
    quiet = replace(SMALL, dense_layers=3, loads=(((4.0, 3.0, 2.0, 1.0), (0.0,) * 4),))
    (note,) = not_carried(quiet)
    assert "layers [4]" in note
    assert list(yaml.safe_load(tensorrt_yaml(quiet))["initial_global_assignments"]) == [3]


def test_every_engine_gets_its_file_and_the_guide_names_them_all(tmp_path):
    failed = replace(SMALL, id="moe/2", rank_speed=(1.0, 0.0, 1.0))
    files = engine_files((SMALL, failed))
    assert len(files) == 2 * len(WRITERS) + 1
    guide = files.pop(GUIDE)
    assert guide.count("nothing of the plan is missing") == 1
    assert all(note in guide for note in not_carried(failed))
    for name, text in files.items():
        assert name in guide
        (tmp_path / name).write_text(text)
        assert read_expert_map(tmp_path / name).tolist() == [list(row) for row in SMALL.placement]
    assert engine_files(()) == {}


def test_negative_numbers_are_refused():
    with pytest.raises(ValueError, match="layer_updates_per_iter"):
        tensorrt_yaml(SMALL, layer_updates_per_iter=-1)
