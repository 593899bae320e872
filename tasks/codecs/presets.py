"""Which settings go by which name? Those that the project's first description recommends, and what it claims of them.

Four ways to compress and four to restore, each a set of toggles. A toggle that compresses races the classical chain
under the same bound on the error and is used only where the archive is smaller, so no preset is larger than the
classical chain; a toggle that restores never moves an element further than the archive's own greatest error. What each
one added on real tensors is measured by ``python -m tests.benchmarks.checkpoint.presets``: the claims are the words of
that description, not results. No preset is on by default.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from tasks.codecs.archive import Archive
from tasks.codecs.autoencoder import AutoencoderTrial
from tasks.codecs.denoise import Denoiser, Grid
from tasks.codecs.index import Stored
from tasks.codecs.lossy import policy
from tasks.codecs.quantise import Quantised
from tasks.codecs.quantise_chunk import values_of
from tasks.codecs.residual_lstm import ResidualLstm
from tasks.codecs.restore_toggles import Toggles
from tasks.codecs.transformed_blocks import Floats
from tasks.codecs.transformed_trial import TransformTrial
from tasks.codecs.treatment import Policy


@dataclass(frozen=True, slots=True)
class CompressPreset:
    """What takes part when a checkpoint is compressed.

    Args:
        scenario: what it is meant for.
        circuit: try the quantum autoencoder.
        dropout: try to leave out the channels that a dropout simulation finds insensitive.
        denoiser: a trained network goes over the restored tensor.
        claimed: outcome, in the words of the description.
    """

    scenario: str
    circuit: bool
    dropout: bool
    denoiser: bool
    claimed: str

    def policy(self, bound: float, *, seed: int) -> Policy:
        """Return the policy of an archive: the smallest of the classical chain and what takes part.

        Args:
            bound: greatest RMS of the error over the RMS of a tensor, between 0 and 1.
            seed: of the circuit's training and of the dropout.

        Raises:
            ValueError: the bound is out of range.
        """
        smallest = policy(f"rms:{bound}")
        if self.dropout:
            smallest = TransformTrial(smallest, bound, "kept", seed=seed)
        if self.circuit:
            smallest = AutoencoderTrial(smallest, bound, seed=seed)
        return smallest


@dataclass(frozen=True, slots=True)
class RestorePreset:
    """What takes part when a tensor is restored.

    Args:
        scenario: what it is meant for.
        hhl: the inversion of a linear code's encoder by a quantum circuit.
        qsvt: the spectral refiner.
        lstm: the residual enhancer.
        claimed: outcome, in the words of the description.
    """

    scenario: str
    hhl: bool
    qsvt: bool
    lstm: bool
    claimed: str

    def toggles(self, lstm: ResidualLstm | None) -> Toggles:
        """Return the toggles.

        Args:
            lstm: a trained enhancer, which this preset may need.

        Raises:
            ValueError: it needs one and there is none.
        """
        if self.lstm and lstm is None:
            raise ValueError(f"lstm: expected a trained enhancer for {self.scenario}, got none")
        return Toggles(hhl=self.hhl, qsvt=self.qsvt, lstm=lstm if self.lstm else None)


COMPRESS: Mapping[str, CompressPreset] = MappingProxyType(
    {
        "weight-archiving": CompressPreset(
            "Weight checkpoint archiving",
            circuit=True,
            dropout=False,
            denoiser=True,
            claimed="Highest ratio, more training time",
        ),
        "gradient-sync": CompressPreset(
            "Real-time gradient sync",
            circuit=False,
            dropout=True,
            denoiser=False,
            claimed="Fast but moderate compression",
        ),
        "mixed-precision": CompressPreset(
            "Mixed precision inference",
            circuit=True,
            dropout=True,
            denoiser=False,
            claimed="Good space savings with stable quality",
        ),
        "cpu-only": CompressPreset(
            "CPU-only environment",
            circuit=False,
            dropout=False,
            denoiser=True,
            claimed="Lightweight, purely classical",
        ),
    }
)
"""Presets for compressing, by name."""

RESTORE: Mapping[str, RestorePreset] = MappingProxyType(
    {
        "sparse-activations": RestorePreset(
            "Sparse activations",
            hhl=True,
            qsvt=True,
            lstm=False,
            claimed="Best accuracy for ill-conditioned systems",
        ),
        "dense-weights": RestorePreset(
            "Dense weight matrices",
            hhl=False,
            qsvt=False,
            lstm=True,
            claimed="Handles subtle patterns missed by pure quantum decoders",
        ),
        "quantized-embeddings": RestorePreset(
            "Quantized embeddings",
            hhl=False,
            qsvt=False,
            lstm=False,
            claimed="Basic decompression is sufficient",
        ),
        "high-noise": RestorePreset(
            "High-noise data",
            hhl=False,
            qsvt=True,
            lstm=True,
            claimed="Mitigates reconstruction errors",
        ),
    }
)
"""Presets for restoring, by name."""


def grid_of(archive: Archive, stored: Stored) -> Grid | None:
    """Return a restored matrix as multiples of its step, which is what the denoiser takes.

    Args:
        archive: open.
        stored: what its index says of the tensor.

    Returns:
        The matrix, the last dimension being its columns; None where it is stored in another form, or is no matrix.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadRecord: a chunk is damaged.
    """
    stored = archive.content_of(stored)
    chains = {archive.index.chains[number] for number in stored.chains}
    if len(chains) != 1 or len(stored.shape) < 2 or stored.recipe is not None:
        return None
    (chain,) = chains
    if len(chain) != 1 or not isinstance(chain[0], Quantised):
        return None
    matrix = np.asarray(values_of(archive.read(stored), stored.dtype), dtype=np.float64).reshape(-1, stored.shape[-1])
    levels = np.rint(matrix / chain[0].step)
    if not np.isfinite(levels).all() or np.abs(levels).max(initial=0.0) >= 2**31:
        return None
    return Grid(levels.astype(np.int32), np.full((1, 1), chain[0].step))


def denoised(archive: Archive, stored: Stored, denoiser: Denoiser) -> Floats | None:
    """Return a matrix after the denoiser, within its cells; None where :func:`grid_of` gives none."""
    grid = grid_of(archive, stored)
    return None if grid is None else denoiser(grid).reshape(stored.shape)
