"""Which real checkpoints ship with a sample? Two small networks, trained on scikit-learn's digits with AdamW.

The digits are the 1,797 images of 8 x 8 of the UCI test set (Alpaydin and Kaynak 1998, doi 10.24432/C50P49), which
scikit-learn carries. Every fifth is held out. Training the same seed again gives the same figures on the same
machine; the last bits of the weights may differ elsewhere.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import save
from sklearn.datasets import load_digits
from torch import nn

from data.whole_file import whole_file

Network = Literal["mlp", "cnn"]

HELD_OUT_EVERY = 5
BATCH = 32
EPOCHS = 10
STEPS = EPOCHS * -(-(1797 - 1797 // HELD_OUT_EVERY) // BATCH)
"""Optimizer steps of a whole training."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A network in the middle of its training: weights and what AdamW remembers of them.

    Args:
        weights: by parameter name.
        optimizer: AdamW's state dict, by parameter number.
        step: optimizer steps done.
        accuracy: share of the held-out digits that it names right.
    """

    network: Network
    weights: dict[str, torch.Tensor]
    optimizer: dict[str, object]
    moments: dict[str, dict[str, torch.Tensor]]
    step: int
    accuracy: float


def network_of(network: Network) -> nn.Sequential:
    """Return an untrained network that takes images ``(batch, 1, 8, 8)`` to scores ``(batch, 10)``."""
    if network == "mlp":
        return nn.Sequential(
            nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
        )
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def accuracy(network: Network, weights: Mapping[str, torch.Tensor]) -> float:
    """Return the share of held-out digits that a network with ``weights`` names right."""
    with torch.device("meta"):  # no chance is spent on weights that are replaced at once
        model = network_of(network)
    model.load_state_dict(dict(weights), assign=True)
    images, labels = _digits(held_out=True)
    with torch.no_grad():
        scores: torch.Tensor = model(images)
    return float((scores.argmax(dim=1) == labels).double().mean())


def train(network: Network, rng: np.random.Generator, *, epochs: int = EPOCHS) -> Trained:
    """Train a network; torch's own source of chance is left as it was."""
    images, labels = _digits(held_out=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**62)))
        model = network_of(network)
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
        step = 0
        for _ in range(epochs):
            for batch in torch.split(torch.randperm(len(labels)), BATCH):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                step += 1
    weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
    moments = {name: dict(optimizer.state[parameter]) for name, parameter in model.named_parameters()}
    return Trained(network, weights, optimizer.state_dict(), moments, step, accuracy(network, weights))


def write_safetensors(trained: Trained, path: Path) -> None:
    """Write weights as ``model.<name>`` and AdamW's state as ``optimizer.<name>.<what>``."""
    tensors = {f"model.{name}": value.contiguous() for name, value in trained.weights.items()}
    for name, state in trained.moments.items():
        tensors |= {f"optimizer.{name}.{what}": value.contiguous() for what, value in state.items()}
    about = {"format": "pt", "network": trained.network, "step": str(trained.step)}
    _write(path, save(tensors, metadata=about))


def write_torch(trained: Trained, path: Path) -> None:
    """Write a torch state dict that ``torch.load(..., weights_only=True)`` reads: model, optimizer, network, step."""
    buffer = io.BytesIO()
    state = {
        "model": trained.weights,
        "optimizer": trained.optimizer,
        "network": trained.network,
        "step": trained.step,
    }
    torch.save(state, buffer)
    _write(path, buffer.getvalue())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(content)


def _digits(*, held_out: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images scaled to 0 .. 1, ``(digits, 1, 8, 8)``, and labels, ``(digits,)``."""
    digits = load_digits()
    rows = (np.arange(len(digits.target)) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1) == held_out
    images = torch.tensor(np.asarray(digits.images)[rows] / 16.0, dtype=torch.float32)[:, None]
    return images, torch.tensor(np.asarray(digits.target)[rows], dtype=torch.int64)
