"""What keeps a GPU busy? Roofline features of a served model: time for arithmetic, for memory and for links.

A step of a model takes as long as the slower of its arithmetic and its reads from memory (Williams, Waterman and
Patterson 2009, doi 10.1145/1498765.1498785), and draws power for both. All of it follows from what is known before a
run. Widths, depths and contexts that the table does not state are rough guesses, the same for all models: what counts
is how the features order the rows, not their seconds.
"""

from dataclasses import dataclass, replace

import numpy as np

from data.schemas.power import Floats, PowerSamples

ROOFLINE = "roofline-1"

NAMES = (
    "log2_experts_idle",
    "log2_tokens_per_gpu",
    "log2_tokens",
    "log2_flops",
    "log2_arithmetic_s",
    "log2_memory_s",
    "log2_intensity",
    "arithmetic_share",
    "memory_share",
    "link_share",
    "log2_step_s",
    "log2_weights_share",
)

BYTES = {"weight_precision=bfloat16": 2.0, "weight_precision=fp8": 1.0, "weight_precision=mxfp4": 0.53}
"""Of a weight; 4 bits and a shared exponent of 8 bits for each 32 (OCP Microscaling Formats 1.0)."""

CONTEXT = {
    "task=gpqa": 5_000.0,
    "task=lm-arena-chat": 600.0,
    "task=image-chat": 1_200.0,
    "task=video-chat": 3_000.0,
    "task=sourcegraph-fim": 1_500.0,
}
"""Tokens that a request holds in its cache, roughly."""

LLM_DEPTH, LLM_KV_BYTES = 40, 2 * 2 * 1_024
"""Layers, and bytes of keys and values of one token in one of them: a guess for want of the model's configuration."""

DIFFUSION_DEPTH = 30
PATCH = 16
"""Pixels that become one token, each way: an autoencoder by 8 and patches of 2."""

OVERHEAD_S = {"language": 2e-3, "diffusion": 5e-3}
"""Of a step, in which the GPU waits for the host."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """Peaks of one GPU, from the vendor's data sheet: dense arithmetic, memory, and links in one direction."""

    bf16_flops: float
    fp8_flops: float
    memory_bytes_per_s: float
    link_bytes_per_s: float
    memory_bytes: float


SPEEDS = {
    "A100": Speeds(312e12, 312e12, 2.04e12, 300e9, 80e9),
    "H100": Speeds(989e12, 1_979e12, 3.35e12, 450e9, 80e9),
    "H200": Speeds(989e12, 1_979e12, 4.8e12, 450e9, 141e9),
    "B200": Speeds(2_250e12, 4_500e12, 8e12, 900e9, 180e9),
}


def with_roofline(samples: PowerSamples) -> PowerSamples:
    """Return ``samples`` of served models with roofline features beside their own; NaN where a GPU is not known.

    Raises:
        ValueError: the rows do not state GPUs, parameters and batch.
    """
    column = dict(zip(samples.names, samples.features.T, strict=True))
    missing = [name for name in ("log2_gpus", "log2_parameters", "log2_batch") if name not in column]
    if missing:
        raise ValueError(f"features: expected {missing} among the names, got {samples.names}")
    return replace(
        samples,
        feature_set=f"{samples.feature_set}+{ROOFLINE}",
        names=(*samples.names, *NAMES),
        after_start=(*samples.after_start, *(False,) * len(NAMES)),
        features=np.column_stack([samples.features, _roofline(samples, column)]),
    )


def _roofline(samples: PowerSamples, column: dict[str, Floats]) -> Floats:
    """Return the features of ``NAMES``, ``(samples, features)``."""
    rows = len(samples.ids)
    speeds = [SPEEDS.get(model) for model in samples.gpu_models]

    def of_gpu(field: str) -> Floats:
        return np.array([np.nan if one is None else getattr(one, field) for one in speeds], dtype=np.float64)

    def known(name: str) -> Floats:
        return column.get(name, np.full(rows, np.nan))

    gpus, batch = 2.0 ** known("log2_gpus"), 2.0 ** known("log2_batch")
    parameters = 1e9 * 2.0 ** known("log2_parameters")
    active = np.where(
        np.isfinite(known("log2_active_parameters")), 1e9 * 2.0 ** known("log2_active_parameters"), parameters
    )
    weight_bytes = np.sum([size * np.nan_to_num(known(name)) for name, size in BYTES.items()], axis=0)
    weight_bytes = np.where(weight_bytes > 0, weight_bytes, 2.0)
    flops_per_s = np.where(weight_bytes < 2.0, of_gpu("fp8_flops"), of_gpu("bf16_flops"))
    memory_s, link_s = of_gpu("memory_bytes_per_s"), of_gpu("link_bytes_per_s")
    several = gpus > 1

    # language: one token of each request in a step
    width = np.sqrt(active / (12 * LLM_DEPTH))
    context = np.sum([tokens * np.nan_to_num(known(name)) for name, tokens in CONTEXT.items()], axis=0)
    share = np.clip(active / parameters, 1e-6, 1.0)
    touched = np.where(share < 1.0, 1.0 - (1.0 - share) ** batch, 1.0) * parameters
    read = (touched * weight_bytes + batch * context * LLM_DEPTH * LLM_KV_BYTES) / gpus
    language = (batch / gpus, np.ones(rows), 2 * active * batch / gpus, read, 2 * LLM_DEPTH * batch * width * 2)

    # diffusion: all tokens of all pictures in a step, and attention between those of one picture
    frames = np.where(np.isfinite(known("log2_frames")), 1.0 + (2.0 ** known("log2_frames") - 1.0) / 4.0, 1.0)
    tokens = 2.0 ** (known("log2_height") + known("log2_width")) / PATCH**2 * frames
    width = np.sqrt(parameters / (12 * DIFFUSION_DEPTH))
    each = tokens * batch / gpus
    work = 2 * parameters * each + 4 * DIFFUSION_DEPTH * tokens * each * width
    read = parameters * weight_bytes + 10 * DIFFUSION_DEPTH * width * 2 * each
    diffusion = (each, tokens, work, read, 4 * DIFFUSION_DEPTH * each * width * 2)

    pictures = np.isfinite(tokens)
    each, tokens, work, read, sent = (
        np.where(pictures, two, one) for one, two in zip(language, diffusion, strict=True)
    )
    arithmetic, memory, links = work / flops_per_s, read / memory_s, several * sent / link_s
    overhead = np.where(pictures, OVERHEAD_S["diffusion"], OVERHEAD_S["language"])
    step = np.maximum(arithmetic, memory) + links + overhead
    held = parameters * weight_bytes / gpus / of_gpu("memory_bytes")
    return np.column_stack(
        [
            -np.log2(share),
            np.log2(each),
            np.log2(tokens),
            np.log2(work),
            np.log2(arithmetic),
            np.log2(memory),
            np.log2(arithmetic / memory),
            arithmetic / step,
            memory / step,
            links / step,
            np.log2(step),
            np.log2(held),
        ]
    )
