"""How much of a block is lost by a quantum autoencoder, beside principal directions, a perceptron, and quantisation?

Blocks of 16 elements go through 2, 4 or 8 numbers. What is learnt is learnt on some tensors and judged on others.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qiskit_solvers.variational.autoencoder import Training, decode, encode

BLOCK, QUBITS = 16, 4
LATENTS = (8, 4, 2)
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Row:
    """One way to write blocks.

    Args:
        data: what the blocks are of.
        method: how they are written.
        numbers: real numbers that are kept of each block.
        bits: of each element, numbers as fp32 but for quantisation.
        error: root of the lost share of energy, on blocks that nothing was learnt from.
        parameters: that the decoder needs, beside the numbers.
    """

    data: str
    method: str
    numbers: float
    bits: float
    error: float
    parameters: int


def rows(data: str, learnt: Floats, judged: Floats, rng: np.random.Generator) -> Iterator[Row]:
    """Yield every method at every number of latents.

    Args:
        data: name.
        learnt: blocks to learn from, ``(blocks, 16)``.
        judged: other blocks.
        rng: of every start.
    """
    directions = np.linalg.eigh(learnt.T @ learnt)[1][:, ::-1]
    for latents in LATENTS:
        bits = 32.0 * latents / BLOCK
        kept = latents.bit_length() - 1
        yield Row(data, "white noise, theory", latents, bits, float(np.sqrt(1.0 - latents / BLOCK)), 0)
        basis = directions[:, :latents]
        yield Row(data, "block PCA", latents, bits, _error(judged, judged @ basis @ basis.T), BLOCK * latents)
        yield Row(data, *_circuit("VQC, real turns", "real", learnt, judged, kept, latents, rng))
        # complex amplitudes are two numbers each, so one qubit less is kept for the same numbers
        yield Row(data, *_circuit("VQC, all turns", "all", learnt, judged, kept - 1, latents, rng))
        if latents == 4:
            yield Row(data, *_perceptron(learnt, judged, latents, rng))
        yield Row(data, "quantisation", BLOCK, bits, _quantised(judged, bits), 0)


def _circuit(
    name: str, rotations: str, learnt: Floats, judged: Floats, kept: int, latents: int, rng: np.random.Generator
) -> tuple[str, float, float, float, int]:
    training = Training(layers=6, rotations="real" if rotations == "real" else "all", starts=2, evaluations=300)
    angles = training(learnt, kept, rng).angles
    latent = encode(angles, judged, range(kept))
    # the real part is the nearest real vector
    restored = decode(angles, latent.amplitudes, latent.norms, range(kept)).real
    parameters = angles.size // (3 if rotations == "real" else 1)
    return name, latents, 32.0 * latents / BLOCK, _error(judged, restored), parameters


def _perceptron(
    learnt: Floats, judged: Floats, latents: int, rng: np.random.Generator
) -> tuple[str, float, float, float, int]:
    """An autoencoder of two hidden layers, 16-64-4-64-16, by Adam."""
    import torch

    scale = float(np.sqrt((learnt**2).mean()))
    widths = (BLOCK, 64, latents, 64, BLOCK)
    weights = [
        torch.tensor(rng.normal(0.0, np.sqrt(1.0 / a), (a, b)).astype(np.float32), requires_grad=True)
        for a, b in itertools.pairwise(widths)
    ]
    biases = [torch.zeros(b, requires_grad=True) for b in widths[1:]]

    def through(x: torch.Tensor) -> torch.Tensor:
        for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            x = x @ weight + bias
            x = torch.nn.functional.gelu(x) if number in (0, 2) else x
        return x

    optimizer = torch.optim.Adam([*weights, *biases], lr=3e-3)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1500)
    inputs = torch.from_numpy((learnt / scale).astype(np.float32))
    for _step in range(1500):
        batch = inputs[torch.from_numpy(rng.integers(len(inputs), size=512))]
        loss = ((through(batch) - batch) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
    with torch.inference_mode():
        restored = through(torch.from_numpy((judged / scale).astype(np.float32))).double().numpy() * scale
    parameters = sum(one.numel() for one in weights) + sum(one.numel() for one in biases)
    return "perceptron", latents, 32.0 * latents / BLOCK, _error(judged, restored), parameters


def _quantised(values: Floats, bits: float) -> float:
    """Return the error of a uniform quantiser whose entropy is ``bits``; above 6 bits a bit halves it."""
    size = float(np.sqrt((values**2).mean()))
    low, high = 1e-3 * size, 8.0 * size
    for _halving in range(30):
        step = float(np.sqrt(low * high))
        _levels, counts = np.unique(np.rint(values / step), return_counts=True)
        shares = counts / values.size
        low, high = (step, high) if -(shares @ np.log2(shares)) > min(bits, 6.0) else (low, step)
    return _error(values, step * np.rint(values / step)) * 2.0 ** (min(bits, 6.0) - bits)


def _error(values: Floats, restored: Floats) -> float:
    return float(np.sqrt(((values - restored) ** 2).sum() / (values**2).sum()))
