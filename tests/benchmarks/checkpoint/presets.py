"""What do the presets add on real small tensors, beside what their description claims?

Compressing: every preset on every tensor under one bound on the error, beside the classical chain and beside what its
toggles gave alone, used or not. Restoring: each preset on the input that it is meant for, with each of its toggles
alone and all together, beside the classical path, and numpy's way to do the same. Seconds are of the processor.

``python -m tests.benchmarks.checkpoint.presets`` prints the tables and writes runs/bench-checkpoint/presets.json.
"""

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.schemas.tensor import Tensor
from tasks.codecs.archive import Archive, open_archive
from tasks.codecs.arrays import tensor_of
from tasks.codecs.autoencoder import AutoencoderTrial
from tasks.codecs.denoise import Denoiser, DenoiserTraining
from tasks.codecs.index import Source
from tasks.codecs.lossy import policy
from tasks.codecs.presets import COMPRESS, RESTORE, denoised, grid_of
from tasks.codecs.residual_lstm import Pair, ResidualLstm, ResidualTraining, residual_table, with_table
from tasks.codecs.restore_toggles import Refined, Toggles, noise_threshold, restored
from tasks.codecs.transformed_trial import TransformTrial
from tasks.codecs.treatment import Policy, Treatment
from tasks.codecs.writer import write_archive
from tests.benchmarks.checkpoint import minilm

OUT = Path("runs/bench-checkpoint")
Array = np.ndarray[Any, np.dtype[np.float32]]


def main(argv: list[str] | None = None) -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bound", type=float, default=0.05, help="relative RMS error of the compressing presets")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    tensors, others = _tensors(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        compress = _compress_rows(tensors, others, options.bound, options.seed, Path(folder))
        restore = _restore_rows(tensors, others, options.seed, Path(folder))
    OUT.mkdir(parents=True, exist_ok=True)
    told = {"bound": options.bound, "compress": compress, "restore": restore}
    (OUT / "presets.json").write_text(json.dumps(told, indent=1) + "\n")


def _tensors(seed: int) -> tuple[dict[str, Array], list[Array]]:
    """Return small real tensors by what they are, and matrices that enhancers are trained on."""
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    digits = load_digits()
    seen = (digits.data / 16.0).astype(np.float32)
    model = MLPClassifier((32,), max_iter=60, tol=0.0, n_iter_no_change=1000, random_state=seed)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged is meant: a model in training has gradients
        model.fit(seen, digits.target)
    hidden = np.maximum(seen @ model.coefs_[0] + model.intercepts_[0], 0.0)
    logits = hidden @ model.coefs_[1] + model.intercepts_[1]
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    wrong = shares / shares.sum(axis=1, keepdims=True) - np.eye(10)[digits.target]
    gradient = seen[:256].T @ ((wrong[:256] @ model.coefs_[1].T) * (hidden[:256] > 0.0)) / 256
    tensors: dict[str, Array] = {
        "activations (digits, 512 x 32)": hidden[:512].astype(np.float32),
        "gradient (digits, 64 x 32)": gradient.astype(np.float32),
        "images (digits, 512 x 64)": seen[:512],
    }
    others = [seen[512:1024], hidden[512:1024].astype(np.float32)]
    absent = minilm.missing()
    if absent:
        print(f"no MiniLM tensors: {absent}")
        weights = model.coefs_[0].astype(np.float32)
        tensors["weights (digits, 64 x 32)"] = weights
        return tensors, [*others, weights.T.copy()]
    model_weights = minilm.weights()
    layer = "encoder.layer.{}.attention.self.query.weight"
    tensors["weights (MiniLM query, 128 x 128)"] = model_weights[layer.format(0)][:128, :128].numpy().copy()
    words = model_weights["embeddings.word_embeddings.weight"]
    tensors["embeddings (MiniLM words, 256 x 64)"] = words[2000:2256, :64].numpy().copy()
    others += [model_weights[layer.format(number)][:128, :128].numpy().copy() for number in (1, 2)]
    others.append(words[4000:4256, :64].numpy().copy())
    return tensors, others


def _archived(folder: Path, array: Array, packing: Policy) -> Archive:
    path = folder / f"{time.monotonic_ns()}.qfz"
    with path.open("wb") as file:
        source = Source("arrays", "0" * 64, array.nbytes)
        write_archive(file, source, b"", [tensor_of("w", array)], policy=packing)
    return open_archive(path)


def _size(tensor: Tensor, packing: Policy, nbytes: int) -> int:
    file = io.BytesIO()
    write_archive(file, Source("arrays", "0" * 64, nbytes), b"", [tensor], policy=packing)
    return len(file.getvalue())


def _relative(original: Array, found: Any) -> float:
    wide = original.astype(np.float64)
    return float(np.linalg.norm(wide - found) / np.linalg.norm(wide))


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    return work(), time.process_time() - start


def _trained_denoiser(others: list[Array], bound: float, seed: int, folder: Path) -> Denoiser:
    grids, originals = [], []
    for array in others:
        with _archived(folder, array, policy(f"rms:{bound}")) as archive:
            grid = grid_of(archive, archive.tensor("w"))
        if grid is not None:
            grids.append(grid)
            originals.append(array)
    return DenoiserTraining(steps=100)(grids, originals, np.random.default_rng(seed))


def _compress_rows(
    tensors: dict[str, Array], others: list[Array], bound: float, seed: int, folder: Path
) -> list[dict[str, Any]]:
    denoiser, training_s = _timed(lambda: _trained_denoiser(others, bound, seed, folder))
    print(f"compressing, relative RMS error at most {bound}; ratio to the raw bytes, archive and all")
    print(f"denoiser: {denoiser.parameters} parameters, {training_s:.1f} s of training, not in the ratios")
    head = ("tensor", "preset", "ratio", "classical", "circuit", "dropout", "error", "denoised", "seconds")
    print("{:37}{:18}{:>7}{:>10}{:>9}{:>9}{:>9}{:>10}{:>9}  claimed".format(*head))
    rows = []
    for label, array in tensors.items():
        tensor = tensor_of("w", array)
        classical = policy(f"rms:{bound}")
        base, base_s = _timed(lambda tensor=tensor, array=array, used=classical: _size(tensor, used, array.nbytes))
        pruning, pruning_s = _timed(
            lambda tensor=tensor, used=classical: TransformTrial(used, bound, "kept", seed=seed).tried(tensor)
        )
        circuit, circuit_s = _timed(
            lambda tensor=tensor, used=classical: AutoencoderTrial(used, bound, seed=seed).tried(tensor)
        )
        for name, preset in COMPRESS.items():
            choices = [(base, classical(tensor, None))]
            choices += [(pruning.transformed_bytes, pruning.treatment)] if preset.dropout else []
            choices += [(circuit.circuit_bytes, circuit.treatment)] if preset.circuit else []
            size, treatment = min(((size, made) for size, made in choices if size), key=lambda choice: choice[0])
            with _archived(folder, array, lambda _tensor, _base, made=treatment: made) as archive:
                stored = archive.tensor("w")
                back = restored(archive, stored, Toggles()).values
                clean = denoised(archive, stored, denoiser) if preset.denoiser else None
            row = {
                "tensor": label,
                "preset": name,
                "ratio": array.nbytes / size,
                "classical_ratio": array.nbytes / base,
                "circuit_ratio": array.nbytes / circuit.circuit_bytes
                if preset.circuit and circuit.circuit_bytes
                else None,
                "dropout_ratio": array.nbytes / pruning.transformed_bytes
                if preset.dropout and pruning.transformed_bytes
                else None,
                "error": _relative(array, back),
                "denoised_error": None if clean is None else _relative(array, clean),
                "seconds": base_s + pruning_s * preset.dropout + circuit_s * preset.circuit,
                "classical_seconds": base_s,
                "claimed": preset.claimed,
            }
            rows.append(row)
            keys = ("ratio", "classical_ratio", "circuit_ratio", "dropout_ratio")
            cells = "".join(
                f"{_cell(row[key], '.2f'):>{width}}" for key, width in zip(keys, (7, 10, 9, 9), strict=True)
            )
            errors = f"{_cell(row['error'], '.4f'):>9}{_cell(row['denoised_error'], '.4f'):>10}{row['seconds']:>9.2f}"
            print(f"{label:37}{name:18}{cells}{errors}  {preset.claimed}")
    return rows


def _cell(value: Any, form: str) -> str:
    return "-" if value is None else format(value, form)


def _restore_rows(tensors: dict[str, Array], others: list[Array], seed: int, folder: Path) -> list[dict[str, Any]]:
    weights = next(array for label, array in tensors.items() if label.startswith("weights"))
    embeddings = next((array for label, array in tensors.items() if label.startswith("embeddings")), weights)
    activations = next(array for label, array in tensors.items() if label.startswith("activations"))
    images = next(array for label, array in tensors.items() if label.startswith("images"))
    cases: list[tuple[str, str, Array, Policy]] = [
        (
            "sparse-activations",
            "activations, linear code, 0.2",
            activations[:, :16].copy(),
            _linear(activations[:, :16].copy(), 0.2),
        ),
        ("dense-weights", "weights, int4", weights, policy("int4")),
        ("quantized-embeddings", "embeddings, int8", embeddings, policy("int8")),
        ("high-noise", "images 32 x 32, rms 0.4", images[:32, 16:48].copy(), policy("rms:0.4")),
    ]
    lstm, training_s = _timed(lambda: _trained_lstm(others, seed, folder))
    print(f"\nrestoring; LSTM: {lstm[0].stored_bytes} bytes, {training_s:.1f} s of training on other tensors")
    rows = []
    for name, label, array, packing in cases:
        preset = RESTORE[name]
        with _archived(folder, array, packing) as archive:
            stored = archive.tensor("w")
            size = archive.path.stat().st_size
            variants = {"classical": Toggles()}
            variants |= {"hhl": Toggles(hhl=True)} if preset.hhl else {}
            variants |= {"qsvt": Toggles(qsvt=True)} if preset.qsvt else {}
            variants |= {"lstm": Toggles(lstm=lstm[0])} if preset.lstm else {}
            variants |= {"preset": preset.toggles(lstm[0])}
            for variant, toggles in variants.items():
                found, seconds = _restored(archive, toggles)
                rows.append(_row(name, label, variant, array, found, size, seconds, preset.claimed))
            plain = restored(archive, stored, Toggles()).values
            if stored.error is not None and preset.lstm:
                other = with_table(lstm[1], plain, stored.error.max_abs)
                rows.append(_row(name, label, "table", array, Refined(other, (), ()), size, 0.0, "yardstick"))
            if stored.error is not None and preset.qsvt:
                other = _svd(plain, stored.error.rms)
                rows.append(_row(name, label, "numpy svd", array, Refined(other, (), ()), size, 0.0, "yardstick"))
    smooth = torch.linspace(0, 1, 32).numpy()
    field = np.exp(-3.0 * (smooth[:, None] - smooth) ** 2).astype(np.float32)
    with _archived(folder, field, _transformed(field, "fourier", 0.01)) as archive:
        for variant, toggles in (("classical", Toggles()), ("qft", Toggles(qft=True))):
            found, seconds = _restored(archive, toggles)
            row = _row(
                "(no preset)", "frequency blocks", variant, field, found, archive.path.stat().st_size, seconds, "-"
            )
            rows.append(row)
    return rows


def _restored(archive: Archive, toggles: Toggles) -> tuple[Refined, float]:
    return _timed(lambda: restored(archive, archive.tensor("w"), toggles))


def _row(
    name: str, label: str, variant: str, array: Array, found: Refined, size: int, seconds: float, claimed: str
) -> dict[str, Any]:
    error = _relative(array, found.values)
    remarks = "; ".join([*found.notes, *(f"{one.wanted} -> {one.used}: {one.reason}" for one in found.fallbacks)])
    figures = f"ratio {array.nbytes / size:6.2f} error {error:.5f} {seconds:8.3f} s"
    print(f"{name:22}{label:31}{variant:10} {figures}  {remarks} [{claimed}]")
    return {
        "preset": name,
        "input": label,
        "variant": variant,
        "ratio": array.nbytes / size,
        "error": error,
        "seconds": seconds,
        "remarks": remarks,
        "claimed": claimed,
    }


def _svd(matrix: Any, noise_rms: float) -> Any:
    left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    kept = singular >= noise_threshold(matrix.shape, noise_rms)
    return (left[:, kept] * singular[kept]) @ right[kept] if kept.any() else matrix


def _linear(array: Array, bound: float) -> Policy:
    return _transformed(array, "linear", bound, length=array.shape[1])


def _transformed(array: Array, transform: Any, bound: float, length: int = 32) -> Policy:
    whole = TransformTrial(policy(f"rms:{bound}"), bound, transform, length).tried(tensor_of("w", array)).transformed
    if whole is None:
        raise ValueError(f"{transform}: expected a tensor that it takes")
    return lambda _tensor, _base: Treatment(whole, bound=("relative_rms", bound))


def _trained_lstm(others: list[Array], seed: int, folder: Path) -> tuple[ResidualLstm, Any]:
    pairs = []
    for array in others:
        for text in ("int4", "rms:0.4"):
            with _archived(folder, array, policy(text)) as archive:
                stored = archive.tensor("w")
                back = restored(archive, stored, Toggles()).values
                if stored.error is not None and stored.error.max_abs > 0.0:
                    pairs.append(Pair(array, back, stored.error.max_abs))
    return ResidualTraining(epochs=2)(pairs, np.random.default_rng(seed)), residual_table(pairs)


if __name__ == "__main__":
    main()
