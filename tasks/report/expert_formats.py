"""How does a serving engine load an expert map? SGLang's, vLLM's, vLLM Ascend's and TensorRT-LLM's files.

All of them hold the expert in each physical slot of each layer, slots rank by rank, and differ in which layers they
count and how they wrap them:

- SGLang, ``--init-expert-location map.json``: every layer of the model, those without experts too, and one key only,
  since it takes each key for an argument;
- vLLM: mixture-of-experts layers only. Its releases up to 0.32 read no map when they start (the change that would,
  vllm-project/vllm#41141, is open); this is the array that its ``EplbState.physical_to_logical_map`` holds, in the
  wrapping that builds with an ``expert_map_path`` in ``--eplb-config`` read;
- vLLM Ascend, ``expert_map_path``: the same layers as lists of experts by device;
- TensorRT-LLM, ``moe_config.load_balancer: map.yaml``: layers by their number in the model.

Layers of the deployment that had no tokens in any window hold no experts that are used (the first layers of DeepSeek
models are dense). None of the files can say that replicas share an expert's tokens unevenly; what is missing is said
in a text beside them.
"""

import json
from collections.abc import Callable, Sequence

import yaml

from data.file_stem import file_stem
from data.schemas.routing import ExpertDeployment

Rows = list[list[int]]

GUIDE = "README.txt"
"""Name of the text that says what each file is and what is missing in it."""

LOADED_BY = {
    "sglang.json": "SGLang: --init-expert-location",
    "vllm.json": "vLLM: expert_map_path in --eplb-config, in builds that read one",
    "ascend.json": "vLLM Ascend: expert_map_path",
    "tensorrt.yaml": "TensorRT-LLM: moe_config.load_balancer",
}
"""How each file ends, and what takes it."""

SAME = 1e-9
"""Shares that differ by less are even."""


def engine_files(deployments: Sequence[ExpertDeployment]) -> dict[str, str]:
    """Return every engine's map of each deployment by file name, and a guide to them; none without a deployment."""
    texts: dict[str, str] = {}
    # annotated, since the writers' signatures differ and mypy joins them now to a callable, now to an object
    maps: tuple[Callable[[ExpertDeployment], str], ...] = (sglang_map, vllm_map, vllm_ascend_map, tensorrt_yaml)
    guide = ["Expert maps of the planned state, as serving engines load them."]
    for deployment in deployments:
        stem = file_stem(deployment.id)
        texts |= {f"{stem}.{end}": write(deployment) for end, write in zip(LOADED_BY, maps, strict=True)}
        guide += ["", *(f"{stem}.{end}  {taken_by}" for end, taken_by in LOADED_BY.items())]
        guide += [f"! {note}" for note in not_carried(deployment)] or ["nothing of the plan is missing in them"]
    return texts | {GUIDE: "\n".join(guide) + "\n"} if texts else {}


def sglang_map(deployment: ExpertDeployment) -> str:
    """Return the map as SGLang's ``--init-expert-location`` reads it; dense layers get the engine's trivial map."""
    trivial = [slot % deployment.experts for slot in range(deployment.slots)]
    rows = [trivial] * deployment.dense_layers + [list(row) for row in deployment.placement]
    return f'{{"physical_to_logical_map": [\n{_lines(rows)}\n]}}\n'


def vllm_map(deployment: ExpertDeployment, *, model: str = "") -> str:
    """Return the map as vLLM's load balancer holds it.

    Args:
        deployment: whose placement it is.
        model: name of the model; empty takes the deployment's id.
    """
    rows = [row for _, row in _used(deployment)]
    head = {
        "version": 1,
        "format": "vllm_offline_eplb_physical_to_logical",
        "model_name": model or deployment.id,
        "num_moe_layers": len(rows),
        "num_logical_experts": deployment.experts,
        "num_physical_experts": deployment.slots,
        "num_redundant_experts": deployment.slots - deployment.experts,
    }
    opening = json.dumps(head)[:-1]
    return f'{opening}, "physical_to_logical_map": [\n{_lines(rows)}\n]}}\n'


def vllm_ascend_map(deployment: ExpertDeployment) -> str:
    """Return the map as vLLM Ascend's ``expert_map_path`` reads it."""
    room = deployment.slots_per_rank
    layers = [
        {
            "layer_id": number,
            "device_count": deployment.ranks,
            "device_list": [
                {"device_id": rank, "device_expert": row[rank * room : (rank + 1) * room]}
                for rank in range(deployment.ranks)
            ],
        }
        for number, (_, row) in enumerate(_used(deployment))
    ]
    return json.dumps({"moe_layer_count": len(layers), "layer_list": layers}) + "\n"


def tensorrt_yaml(deployment: ExpertDeployment, *, layer_updates_per_iter: int = 0) -> str:
    """Return the map as TensorRT-LLM's ``load_balancer`` reads it.

    Args:
        deployment: whose placement it is.
        layer_updates_per_iter: layers that the engine may rebalance in each iteration; 0 keeps the map as it is.

    Raises:
        ValueError: a number is below 0.
    """
    if layer_updates_per_iter < 0:
        raise ValueError(f"layer_updates_per_iter: expected at least 0, got {layer_updates_per_iter}")
    document = {
        "num_slots": deployment.slots,
        "initial_global_assignments": {deployment.dense_layers + layer: row for layer, row in _used(deployment)},
        "layer_updates_per_iter": layer_updates_per_iter,
    }
    # leaves in one line, as the engine's own generator writes them
    return yaml.safe_dump(document, default_flow_style=None, sort_keys=False, width=float("inf"))


def not_carried(deployment: ExpertDeployment) -> tuple[str, ...]:
    """Return what of ``deployment`` the engines' files cannot say, in plain words."""
    name, notes = deployment.id, []
    uneven = [layer for layer, row in enumerate(deployment.shares) if _uneven(deployment, layer, row)]
    if uneven:
        notes.append(
            f"{name}: in the engines' maps uneven shares are missing, of layers {uneven}; engines split evenly"
        )
    used = {layer for layer, _ in _used(deployment)}
    idle = [deployment.dense_layers + layer for layer in range(deployment.layers) if layer not in used]
    if idle:
        notes.append(f"{name}: in the maps for vLLM, vLLM Ascend and TensorRT-LLM layers {idle} are missing: no tokens")
    failed = [rank for rank, speed in enumerate(deployment.rank_speed) if speed == 0.0]
    if failed:
        notes.append(f"{name}: the engines' maps have slots for failed ranks {failed}; start the engine without them")
    return tuple(notes)


def _uneven(deployment: ExpertDeployment, layer: int, shares: Sequence[float]) -> bool:
    """Return whether the live slots of some expert take different shares, ``(slots,)``, of its tokens."""
    speed = deployment.rank_speed or (1.0,) * deployment.ranks
    taken: dict[int, list[float]] = {}
    for slot, (expert, share) in enumerate(zip(deployment.placement[layer], shares, strict=True)):
        if speed[slot // deployment.slots_per_rank] > 0.0:
            taken.setdefault(expert, []).append(share)
    return any(max(each) - min(each) > SAME for each in taken.values())


def _used(deployment: ExpertDeployment) -> list[tuple[int, list[int]]]:
    """Return the number and the slots of each layer that routed tokens in some window; all where none did."""
    layers = range(deployment.layers)
    used = [layer for layer in layers if any(sum(window[layer]) > 0.0 for window in deployment.loads)]
    return [(layer, list(deployment.placement[layer])) for layer in used or layers]


def _lines(rows: Rows) -> str:
    return ",\n".join(json.dumps(row) for row in rows)
