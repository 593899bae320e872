"""Which quantum and learned steps can take part when a tensor is restored, and what stands in where they cannot?

Four toggles, each off unless asked for. Two undo an operation of the chain in another way than numpy does:

    hhl   the inversion of a linear code's encoder (``linear``), by the circuit of Harrow, Hassidim and Lloyd
    qft   the Fourier transform of frequency blocks (``fourier``), by the quantum Fourier transform

Two work on what was restored, as long as the archive says that something was lost:

    qsvt  singular values below what the archive's noise alone would give are removed (Gavish and Donoho 2014,
          arXiv:1305.5870), by a quantum singular value transformation
    lstm  predicted residuals are added (:mod:`tasks.codecs.residual_lstm`)

Neither moves an element further than the greatest error in the index. All of them run on a simulator here; where a
tensor is too large for it, where a circuit fails, or where the chain records no such operation, the classical reversal
that the chain records is what counts, and a :class:`~data.schemas.plan.Fallback` says so.
"""

from dataclasses import dataclass, replace

import numpy as np

from data.schemas.plan import Fallback
from data.schemas.tensor import ELEMENT_TYPES
from qiskit_solvers.errors import SolverFailed, TooLarge
from tasks.codecs.archive import Archive
from tasks.codecs.index import Stored
from tasks.codecs.quantise_chunk import values_of
from tasks.codecs.residual_lstm import ResidualLstm
from tasks.codecs.transformed_blocks import Floats, Latents, TransformedBlocks, spectrum

HHL_LATENTS_MAX = 16
"""Latents of a block that the circuit inverts: 4 qubits, beside those of the clock and an ancilla."""

HHL_CLOCK_MORE = 2
"""Clock qubits beyond the recommended ones, which leave an error of some percent: each halves it or better."""

QFT_BLOCKS_MAX = 128
"""Blocks of a tensor that go through the quantum Fourier transform, some hundredths of a second each."""

STAGE = "restore"


@dataclass(frozen=True, slots=True, eq=False)
class Toggles:
    """What takes part. The default is the classical path, which is what an archive promises.

    Args:
        hhl: the encoder's inversion.
        qft: the Fourier transform.
        qsvt: the spectral refiner.
        lstm: a trained residual enhancer; None is off.
    """

    hhl: bool = False
    qft: bool = False
    qsvt: bool = False
    lstm: ResidualLstm | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """A tensor that was restored with toggles.

    Args:
        values: of the tensor's shape, not rounded to its element type.
        fallbacks: toggles that did not take part, what did instead, and why.
        notes: what each toggle that took part has to say for itself: qubits, condition, probability of success.
    """

    values: Floats
    fallbacks: tuple[Fallback, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Inverted:
    """A linear code's decoder by HHL.

    Args:
        decoder: ``(latents, length)``, transposed as of :func:`~tasks.codecs.transformed_blocks.linear_decoder`.
        condition: of the Gram matrix.
        success_probability: the smallest of any column's circuit.
        fidelity: the smallest overlap with numpy's solution.
        qubits: of the widest circuit.
    """

    decoder: Floats
    condition: float
    success_probability: float
    fidelity: float
    qubits: int


def restored(archive: Archive, stored: Stored, toggles: Toggles) -> Refined:
    """Restore a tensor of an archive, of floats, with the toggles that fit it.

    Args:
        archive: open.
        stored: what its index says of the tensor.
        toggles: what shall take part.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadRecord: a chunk is damaged, or the content is not what its recipe takes.
        ValueError: the elements are no floats.
    """
    stored = replace(archive.content_of(stored), dtype=stored.dtype, shape=stored.shape)
    fallbacks: list[Fallback] = []
    notes: list[str] = []
    values: Floats = np.asarray(values_of(archive.read(stored), stored.dtype), dtype=np.float64)  # the classical path
    if toggles.hhl or toggles.qft:
        values = _reversed(archive, stored, toggles, values, fallbacks, notes)
    shaped: Floats = np.asarray(values, dtype=np.float64).reshape(stored.shape)
    if toggles.qsvt:
        shaped = _refined(stored, shaped, fallbacks, notes)
    if toggles.lstm is not None:
        shaped = _enhanced(stored, toggles.lstm, shaped, fallbacks, notes)
    if stored.error is not None and (toggles.qsvt or toggles.lstm is not None):
        kept = values.reshape(stored.shape)
        shaped = np.asarray(np.clip(shaped, kept - stored.error.max_abs, kept + stored.error.max_abs))
    return Refined(shaped, tuple(fallbacks), tuple(notes))


def decoder_by_hhl(encoder: Floats) -> Inverted:
    """Return ``(E E')**-1 E``, the inverse column by column, one circuit for each latent.

    Args:
        encoder: ``(latents, length)``, of independent rows.

    Raises:
        TooLarge: more than :data:`HHL_LATENTS_MAX` latents.
        ValueError: the rows are not independent.
    """
    from qiskit_solvers.linear_algebra.hhl import MAX_QUBITS, recommended_clock, solved

    latents = encoder.shape[0]
    if latents > HHL_LATENTS_MAX:
        raise TooLarge(f"hhl: expected at most {HHL_LATENTS_MAX} latents of a block, got {latents}")
    gram = encoder @ encoder.T
    width = max(1, (latents - 1).bit_length())
    clock = min(recommended_clock(float(np.linalg.cond(gram))) + HHL_CLOCK_MORE, MAX_QUBITS - 1 - width)
    found = [solved(gram, column, clock=clock) for column in np.eye(latents)]
    return Inverted(
        np.array([one.solution.real for one in found]) @ encoder,
        found[0].condition,
        min(one.success_probability for one in found),
        min(one.fidelity for one in found),
        found[0].qubits,
    )


def noise_threshold(shape: tuple[int, int], noise_rms: float) -> float:
    """Return the singular value below which noise is likelier than signal: Gavish and Donoho 2014, known noise.

    Args:
        shape: of the matrix.
        noise_rms: root mean square of the noise, in the unit of the elements.
    """
    ratio = min(shape) / max(shape)
    factor = np.sqrt(2.0 * (ratio + 1.0) + 8.0 * ratio / (ratio + 1.0 + np.sqrt(ratio * ratio + 14.0 * ratio + 1.0)))
    return float(factor * np.sqrt(max(shape)) * noise_rms)


def _reversed(
    archive: Archive,
    stored: Stored,
    toggles: Toggles,
    classical: Floats,
    fallbacks: list[Fallback],
    notes: list[str],
) -> Floats:
    """Undo the recipe by circuits, where it is one that they can undo."""
    recipe = stored.recipe
    wanted = {name for name, on in (("hhl", toggles.hhl), ("qft", toggles.qft)) if on}
    able = {"linear": "hhl", "fourier": "qft"}
    which = able.get(recipe.transform) if isinstance(recipe, TransformedBlocks) else None
    fallbacks += [
        Fallback(STAGE, name, "the recorded chain", f"{stored.name}: nothing in it for {name} to undo")
        for name in sorted(wanted - {which})
    ]
    if which not in wanted or not isinstance(recipe, TransformedBlocks):
        return classical
    plain = replace(stored, recipe=None, error=None, dtype="U8", shape=(recipe.content_bytes,))
    latents = recipe.read(np.frombuffer(bytes(archive.read(plain)), dtype=np.uint8), len(classical))
    try:
        blocks = _by_hhl(latents, notes) if which == "hhl" else _by_qft(recipe, latents, notes)
    except (TooLarge, SolverFailed, ValueError) as error:
        fallbacks.append(Fallback(STAGE, which, "the recorded chain", f"{stored.name}: {error}"))
        return classical
    return np.asarray(blocks.reshape(-1)[: len(classical)])


def _by_hhl(latents: Latents, notes: list[str]) -> Floats:
    found = decoder_by_hhl(latents.encoder)
    notes.append(
        f"hhl: {found.qubits} qubits, condition {found.condition:.3g}, success at least "
        f"{found.success_probability:.2g}, fidelity at least {found.fidelity:.6f}"
    )
    return np.asarray(latents.values.T @ found.decoder)


def _by_qft(recipe: TransformedBlocks, latents: Latents, notes: list[str]) -> Floats:
    from qiskit_solvers.linear_algebra.fourier_decoding import block_of_frequencies

    if latents.values.shape[1] > QFT_BLOCKS_MAX:
        raise TooLarge(f"qft: expected at most {QFT_BLOCKS_MAX} blocks, got {latents.values.shape[1]}")
    half = spectrum(latents.values, recipe.length)
    whole = np.concatenate([half, half[-2:0:-1].conj()])
    blocks = np.array([block_of_frequencies(column).real for column in whole.T])
    notes.append(f"qft: {recipe.length.bit_length() - 1} qubits, {len(blocks)} blocks")
    return blocks


def _refined(stored: Stored, values: Floats, fallbacks: list[Fallback], notes: list[str]) -> Floats:
    """Remove the singular values that noise of the measured size explains."""

    def unused(reason: str) -> Floats:
        fallbacks.append(Fallback(STAGE, "qsvt", "the recorded chain", f"{stored.name}: {reason}"))
        return values

    if stored.error is None:
        return unused("nothing was lost")
    if values.ndim < 2 or min(values.shape[0], values.size) == 0 or not np.isfinite(values).all():
        return unused("no matrix of finite numbers")
    matrix = values.reshape(values.shape[0], -1).astype(np.float64)
    singular = np.linalg.svd(matrix, compute_uv=False)
    threshold = noise_threshold((matrix.shape[0], matrix.shape[1]), stored.error.rms)
    if not 0.0 < threshold < 0.95 * singular[0]:
        return unused("no singular value stands out of the noise")
    if singular[-1] >= threshold:
        return unused("every singular value stands out of the noise")
    try:
        from qiskit_solvers.linear_algebra.qsvt import thresholded

        gap = min(0.05, 0.5 * threshold / float(singular[0]), 0.9 * (1.0 - threshold / float(singular[0])))
        found = thresholded(matrix, threshold, gap=gap)
    except (TooLarge, SolverFailed, ValueError) as error:
        left, singular, right = np.linalg.svd(matrix, full_matrices=False)
        kept = singular >= threshold
        fallbacks.append(Fallback(STAGE, "qsvt", "singular values by numpy", f"{stored.name}: {error}"))
        return np.asarray((left[:, kept] * singular[kept]) @ right[kept]).reshape(values.shape)
    notes.append(f"qsvt: {found.qubits} qubits, degree {found.calls}, success {found.success_probability:.2g}")
    return found.matrix.real.reshape(values.shape)


def _enhanced(
    stored: Stored,
    lstm: ResidualLstm,
    values: Floats,
    fallbacks: list[Fallback],
    notes: list[str],
) -> Floats:
    """Add predicted residuals."""
    if stored.error is None or stored.error.max_abs == 0.0:
        fallbacks.append(Fallback(STAGE, "lstm", "the recorded chain", f"{stored.name}: nothing was lost"))
        return values
    if not np.isfinite(values).all() or not ELEMENT_TYPES[stored.dtype].signed_float:
        fallbacks.append(Fallback(STAGE, "lstm", "the recorded chain", f"{stored.name}: no finite floats"))
        return values
    notes.append(f"lstm: {lstm.stored_bytes} bytes of weights")
    return lstm(values, stored.error.max_abs)
