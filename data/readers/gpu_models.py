"""Which GPU is meant, and what are its limits? Names as schedulers, drivers and labels spell them, and a table."""

import re
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class GpuModel:
    """What is known of a GPU model.

    Args:
        name: the name that snapshots use.
        memory_gb: memory of one GPU.
        power_min_w: lowest power limit that the driver accepts.
        power_max_w: highest, which is also the default unless stated.
        idle_w: draw of an idle GPU; typical, since it varies with memory clocks and cooling.
        gpus_per_node: GPUs of the usual node.
        gpus_per_domain: GPUs that reach one another over NVLink or its like; 1 where there is none.
        source: where the power range is from.
    """

    name: str
    memory_gb: float
    power_min_w: float
    power_max_w: float
    idle_w: float
    gpus_per_node: int
    gpus_per_domain: int
    source: str


_CAPTURE = (
    "nvidia-smi -q -x captures of real nodes, NVIDIA/k8s-test-infra, testdata/hardware (minimum, maximum, idle draw)"
)
_ZEUS = "lowest and highest limit of the Zeus sweeps (You et al. 2023, NSDI)"
_SHEET = "vendor's data sheet for the maximum; the minimum is that of its generation"

GPU_MODELS: tuple[GpuModel, ...] = (
    GpuModel("GB300", 288, 200, 1400, 170, 4, 72, _SHEET),
    GpuModel("GB200", 192, 200, 1200, 166, 4, 72, _CAPTURE),
    GpuModel("B300", 288, 200, 1100, 190, 8, 8, _SHEET),
    GpuModel("B200", 192, 200, 1000, 196, 8, 8, _CAPTURE),
    GpuModel("GH200", 96, 200, 900, 90, 1, 1, _SHEET),
    GpuModel("H200", 141, 200, 700, 75, 8, 8, "NVIDIA DGX H100/H200 user guide, power capping: 200-700 W"),
    GpuModel("H100", 80, 200, 700, 70, 8, 8, "NVIDIA DGX H100/H200 user guide, power capping: 200-700 W"),
    GpuModel("H100-PCIe", 80, 200, 350, 50, 8, 2, _SHEET),
    GpuModel("H100-NVL", 94, 200, 400, 60, 8, 2, _SHEET),
    GpuModel("H200-NVL", 141, 200, 600, 70, 8, 4, _SHEET),
    GpuModel("H800", 80, 200, 700, 70, 8, 8, _SHEET),
    GpuModel("H20", 96, 200, 500, 70, 8, 8, _SHEET),
    GpuModel(
        "A100",
        80,
        100,
        400,
        60,
        8,
        8,
        "NVIDIA/k8s-test-infra, A100-SXM4 profile (100-400 W); idle: Acme trace, p10 63 W",
    ),
    GpuModel("A100-PCIe", 80, 150, 300, 45, 8, 2, _SHEET),
    GpuModel("A800", 80, 100, 400, 60, 8, 8, _SHEET),
    GpuModel("V100", 32, 150, 300, 45, 8, 8, _SHEET),
    GpuModel("V100-PCIe", 32, 100, 250, 30, 8, 1, _ZEUS),
    GpuModel("P100", 16, 125, 250, 30, 4, 4, _ZEUS),
    GpuModel("A40", 48, 100, 300, 30, 8, 2, _ZEUS),
    GpuModel("A10", 24, 100, 150, 20, 8, 1, _SHEET),
    GpuModel("A30", 24, 100, 165, 30, 8, 2, _SHEET),
    GpuModel("L40S", 48, 100, 350, 35, 8, 1, _SHEET),
    GpuModel("L40", 48, 100, 300, 35, 8, 1, _SHEET),
    GpuModel("L4", 24, 40, 72, 20, 8, 1, _SHEET),
    GpuModel("T4", 16, 60, 70, 20, 4, 1, _SHEET),
    GpuModel("RTX6000", 24, 100, 260, 20, 8, 1, _ZEUS),
    GpuModel("RTX6000-Ada", 48, 100, 300, 20, 8, 1, _SHEET),
    GpuModel("MI300X", 192, 200, 750, 140, 8, 8, _SHEET),
    GpuModel("MI250X", 128, 100, 560, 90, 4, 4, _SHEET),
)
"""GPUs of ML clusters. A site's own limits differ (air cooling, a power profile): a snapshot may state others."""

_BY_NAME = {model.name: model for model in GPU_MODELS}
_FAMILIES = {model.name.upper(): model.name for model in GPU_MODELS} | {"A10G": "A10"}
_VARIANTS = {"PCIE": "PCIe", "NVL": "NVL", "ADA": "Ada"}
_MIG = re.compile(r"\d+g\.\d+gb|^mig-", re.IGNORECASE)


def find_gpu_model(text: str) -> GpuModel | None:
    """Return the model that ``text`` names, or None.

    Understands GRES types (``h100``, ``nvidia_h100_80gb_hbm3``), device names (``NVIDIA A100-SXM4-80GB``,
    ``Tesla V100-PCIE-32GB``) and the label ``nvidia.com/gpu.product``.
    """
    tokens = [token for token in re.split(r"[^A-Z0-9.]+", text.upper()) if token]
    tokens = [*tokens, *(first + second for first, second in pairwise(tokens))]
    for token in tokens:
        name = _FAMILIES.get(token)
        if name is not None:
            variants = (f"{name}-{_VARIANTS[other]}" for other in tokens if other in _VARIANTS)
            return _BY_NAME[next((variant for variant in variants if variant in _BY_NAME), name)]
    return None


def gpu_model_name(text: str) -> str:
    """Return the canonical name of what ``text`` names, or ``text`` itself where the table does not know it."""
    model = find_gpu_model(text)
    return model.name if model else text


def is_gpu_slice(text: str) -> bool:
    """Tell whether ``text`` names a part of a GPU (a MIG instance), not a whole one."""
    return _MIG.search(text) is not None
