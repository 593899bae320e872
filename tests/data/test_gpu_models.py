"""Facts about the table of GPU models."""

import pytest

from data.readers.gpu_models import GPU_MODELS, find_gpu_model, gpu_model_name, is_gpu_slice


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("h100", "H100"),
        ("nvidia_h100_80gb_hbm3", "H100"),
        ("NVIDIA-H100-NVL", "H100-NVL"),
        ("NVIDIA H100 PCIe", "H100-PCIe"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("Tesla V100-PCIE-32GB", "V100-PCIe"),
        ("Tesla V100-SXM2-32GB", "V100"),
        ("NVIDIA-GB200", "GB200"),
        ("Quadro RTX 6000", "RTX6000"),
        ("NVIDIA-RTX-6000-Ada-Generation", "RTX6000-Ada"),
        ("AMD Instinct MI300X", "MI300X"),
    ],
)
def test_a_model_is_known_by_the_names_that_schedulers_and_drivers_give_it(text, name):
    assert gpu_model_name(text) == name


@pytest.mark.parametrize("text", ["", "nvl72", "NVIDIA-RTX-A6000", "h1000", "rtx_3090"])
def test_a_name_that_is_not_in_the_table_is_kept(text):
    assert find_gpu_model(text) is None
    assert gpu_model_name(text) == text


def test_every_model_finds_itself_and_its_range_is_in_order():
    for model in GPU_MODELS:
        assert find_gpu_model(model.name) == model
        assert 20 <= model.idle_w < model.power_max_w
        assert 20 <= model.power_min_w < model.power_max_w
        assert model.source


def test_parts_of_a_gpu_are_told_from_whole_ones():
    assert is_gpu_slice("a100_1g.5gb")
    assert is_gpu_slice("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb")
    assert not is_gpu_slice("NVIDIA-H100-80GB-HBM3")
