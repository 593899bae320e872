"""What do the quantum and learned codecs gain on real tensors, beside their floors?

Run ``python -m tests.benchmarks.checkpoint.learned``. Five tables: autoencoders of blocks (what is lost at equal
numbers and at equal bits), trials of whole tensors against the classical chain under one bound, dropout (which
channels and qubits can go), denoisers, and one circuit on Aer with shots and noise. Weights and activations are
MiniLM's.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qiskit_solvers.backends.aer import Aer
from qiskit_solvers.backends.noise import GateNoise
from qiskit_solvers.variational.autoencoder import Training, pruned, qubit_variances
from qiskit_solvers.variational.entangling_layers import expectation
from qiskit_solvers.variational.trash_fidelity import MeasuredTrash
from tasks.codecs import channel_dropout
from tests.benchmarks.checkpoint import autoencoder_floors, autoencoder_trials, denoisers, minilm

FOLDER = Path("runs/bench-checkpoint")
BOUNDS = (0.1, 0.01, 0.001)
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DropoutRow:
    """Channels that may go without more than a given error.

    Args:
        data: whose channels.
        channels: how many there are.
        allowed: error that may be gained, squares over squares.
        by_dropout: channels that the intervals let go.
        realised: error without them.
        by_variance: channels that go, least first, while the exact error allows: qubits by variance, inputs of a
            matrix by their share of the outputs' energy.
        explained: share of the error that adds up channel by channel.
        evaluations: of the error.
    """

    data: str
    channels: int
    allowed: float
    by_dropout: int
    realised: float
    by_variance: int
    explained: float
    evaluations: int


@dataclass(frozen=True, slots=True)
class AerRow:
    """One circuit of 3 qubits and 2 layers on Aer.

    Args:
        machine: exact state, shots, or shots with noise.
        loss: of the autoencoder after training.
        slope_error: greatest difference of a parameter-shift slope from the exact one, at the start of training.
        seconds: for loss and slopes.
    """

    machine: str
    loss: float
    slope_error: float
    seconds: float


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables, and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args(argv).seed
    if missing := minilm.missing():
        print(missing)
        return
    rng = np.random.default_rng(seed)
    weights = minilm.weights()
    activations = minilm.embed(weights, minilm.texts()[0])
    feed_forward = [weights[f"encoder.layer.{layer}.intermediate.dense.weight"].double().numpy() for layer in range(6)]
    positions = weights["embeddings.position_embeddings.weight"].double().numpy()

    print(
        "\nautoencoders of 16 elements: root of the share of energy that is lost, on blocks that were not learnt from"
    )
    floors = [
        *autoencoder_floors.rows("weights", _blocks(np.concatenate(feed_forward[:5])), _blocks(feed_forward[5]), rng),
        *autoencoder_floors.rows("position columns", _blocks(positions.T[::2]), _blocks(positions.T[1::2]), rng),
        *autoencoder_floors.rows("sentence vectors", _blocks(activations[::2]), _blocks(activations[1::2]), rng),
    ]
    _print(floors)

    print("\ntrials: bytes under the same relative RMS bound")
    tensors = {
        "feed-forward weights": feed_forward[5].astype(np.float32),
        "position columns": np.ascontiguousarray(positions.T, dtype=np.float32),
        "sentence vectors": activations.astype(np.float32),
        **dict(autoencoder_trials.structured(np.random.default_rng([seed, 1]))),
    }
    autoencoder_trials.row("compiling", tensors["hidden circuit"], 0.1)
    trials = [autoencoder_trials.row(name, array, bound) for name, array in tensors.items() for bound in BOUNDS]
    _print(trials)
    wins = sum(row.smallest == "circuit" for row in trials)
    kept = sum(row.chosen == "circuit" for row in trials)
    print(f"the circuit beats the classical chain by its margin in {kept} of {len(trials)}, every rival in {wins}")

    print("\ndropout: channels that may go, by intervals that hold for all at once")
    dropout = [*_qubits(tensors, rng), *_inputs(feed_forward[0], weights, rng)]
    _print(dropout)

    print("\ndenoisers: mean squared error of the middles over that of the method, on layer 5")
    denoised = list(denoisers.rows(weights, seed))
    _print(denoised)

    print("\none circuit on Aer")
    machines = list(_machines(tensors["hidden circuit"], seed))
    _print(machines)

    tables = {"floors": floors, "trials": trials, "dropout": dropout, "denoisers": denoised, "aer": machines}
    FOLDER.mkdir(parents=True, exist_ok=True)
    written = {name: [asdict(row) for row in table] for name, table in tables.items()}
    _plot(floors)
    (FOLDER / "learned.json").write_text(json.dumps({"seed": seed, **written}, indent=1) + "\n", encoding="utf-8")


def _qubits(tensors: dict[str, npt.NDArray[np.float32]], rng: np.random.Generator) -> list[DropoutRow]:
    rows = []
    for name, allowed in (("feed-forward weights", 0.01), ("smooth field", 0.01), ("hidden circuit", 0.01)):
        blocks = _blocks(tensors[name].astype(np.float64))
        angles = Training(layers=6)(blocks, None, rng).angles
        error = channel_dropout.qubit_error(angles, blocks)
        sensitivity = channel_dropout.Dropout(rate=0.5, samples=200)(error, 4, rng)
        off = channel_dropout.pruned(sensitivity, allowed)
        kept = [pruned(angles, blocks, threshold) for threshold in (0.0, *np.sort(qubit_variances(angles, blocks)))]
        fitting = [4 - len(few) for few in kept if error(~np.isin(np.arange(4), few)) <= allowed]
        realised = error(np.isin(np.arange(4), off))
        counts = (len(off), realised, max(fitting, default=0), sensitivity.explained, sensitivity.evaluations)
        rows.append(DropoutRow(f"qubits, {name}", 4, allowed, *counts))
    return rows


def _inputs(matrix: Floats, weights: dict[str, object], rng: np.random.Generator) -> list[DropoutRow]:
    """Prune inputs of the first feed-forward matrix, calibrated on half of the word vectors, judged on the others."""
    words = weights["embeddings.word_embeddings.weight"].double().numpy()[2000:6000]  # type: ignore[attr-defined]
    words = (words - words.mean(axis=1, keepdims=True)) / words.std(axis=1, keepdims=True)  # as a LayerNorm before it
    error, judge = (channel_dropout.matrix_error(matrix, half) for half in (words[::2], words[1::2]))
    rows = []
    sensitivity = channel_dropout.Dropout(rate=0.1, samples=6000)(error, matrix.shape[1], rng)
    shares = (words[::2] ** 2).sum(axis=0) * (matrix**2).sum(axis=0)
    order = np.argsort(shares)
    for allowed in (0.02, 0.1):
        off = np.isin(np.arange(matrix.shape[1]), channel_dropout.pruned(sensitivity, allowed))
        least = [error(np.isin(np.arange(matrix.shape[1]), order[:count])) <= allowed for count in range(len(order))]
        by_energy = int(np.argmin(least)) - 1 if not all(least) else len(order)
        counts = (int(off.sum()), judge(off), by_energy, sensitivity.explained, sensitivity.evaluations)
        rows.append(DropoutRow("inputs of a feed-forward matrix", matrix.shape[1], allowed, *counts))
    return rows


def _machines(array: npt.NDArray[np.float32], seed: int) -> list[AerRow]:
    vectors = array.astype(np.float64).reshape(-1, 8)[:4]
    rng = np.random.default_rng([seed, 2])
    trained = Training(layers=2)(vectors, 1, rng)
    start = rng.normal(size=trained.angles.shape)
    roots = vectors.T / np.linalg.norm(vectors)
    exact = -expectation(start, roots, np.arange(8) < 2)[1]
    machines = {
        "4000 shots": Aer(),
        "4000 shots, 0.1 % and 1 % gate errors": Aer(
            method="automatic", noise=GateNoise(one_qubit=0.001, two_qubit=0.01, read_1_for_0=0.01, read_0_for_1=0.01)
        ),
    }
    rows = [AerRow("exact state", trained.loss, 0.0, 0.0)]
    for name, machine in machines.items():
        began = time.process_time()
        measured = MeasuredTrash(vectors, (1, 2), machine, 4000, seed)
        loss = float(measured.loss(trained.angles[None])[0])
        difference = float(np.abs(measured.slopes(start) - exact).max())
        rows.append(AerRow(name, loss, difference, time.process_time() - began))
    return rows


def _plot(rows: Sequence[autoencoder_floors.Row]) -> None:
    """Draw what is lost over the bits, a panel for each kind of data."""
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(row.data for row in rows))
    figure = Figure(figsize=(4 * len(kinds), 3.5), layout="constrained")
    for panel, kind in zip(figure.subplots(1, len(kinds), sharey=True), kinds, strict=True):
        for method in dict.fromkeys(row.method for row in rows):
            points = [(row.bits, row.error) for row in rows if (row.data, row.method) == (kind, method)]
            panel.semilogy(*zip(*points, strict=True), marker="o", label=method)
        panel.set(title=kind, xlabel="bits of an element")
    figure.axes[0].set_ylabel("relative error")
    figure.axes[0].legend(fontsize="small")
    figure.savefig(FOLDER / "learned.png", dpi=120)


def _blocks(matrix: Floats) -> Floats:
    flat = matrix.reshape(-1)
    return flat[: flat.size // 16 * 16].reshape(-1, 16)


def _print(rows: Sequence[object]) -> None:
    """Print frozen values as a table."""
    records = [asdict(row) for row in rows]  # type: ignore[call-overload]  # all are dataclasses
    cells = [list(records[0])] + [[_cell(value) for value in record.values()] for record in records]
    widths = [max(len(line[place]) for line in cells) for place in range(len(cells[0]))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
