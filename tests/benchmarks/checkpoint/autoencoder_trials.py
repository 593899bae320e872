"""Whose archive is smaller under the same bound: the classical chain's, a trained circuit's, or that of its rivals?

Rivals of the circuit are the other linear transforms (principal components of blocks, frequencies) with the same
quantiser and coder, and SZ3, which predicts. Bytes are of finished archives; of SZ3 of its output alone.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.codecs.arrays import ArrayTensor
from tasks.codecs.autoencoder import AutoencoderTrial
from tasks.codecs.lossy import policy
from tasks.codecs.transformed_trial import TransformTrial

Singles = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Row:
    """A tensor at a bound, in bytes; 0 where a method has no answer.

    Args:
        data: what the tensor is.
        bound: greatest RMS of the error over that of the tensor.
        raw: its own bytes.
        classical: quantised and coded as it is.
        circuit: after the trained circuit.
        retained: qubits of four that were retained.
        components: as principal components of blocks of 16.
        frequencies: as frequencies of blocks of 64.
        sz3: packed by SZ3.
        smallest: whose bytes are the fewest.
        train_s: process seconds of the trial.
        chosen: what the policy keeps.
    """

    data: str
    bound: float
    raw: int
    classical: int
    circuit: int
    retained: int
    components: int
    frequencies: int
    sz3: int
    smallest: str
    train_s: float
    chosen: str


def row(data: str, array: Singles, bound: float) -> Row:
    """Write a tensor every way."""
    tensor = ArrayTensor("tensor", "F32", array.shape, array)
    classical = policy(f"rms:{bound}")
    start = time.process_time()
    trial = AutoencoderTrial(classical, bound).tried(tensor)
    seconds = time.process_time() - start
    retained = len(getattr(trial.circuit.whole.recipe, "retained", ())) if trial.circuit else 0
    linear = TransformTrial(classical, bound, "linear", 16).tried(tensor).transformed_bytes
    fourier = TransformTrial(classical, bound, "fourier", 64).tried(tensor).transformed_bytes
    sizes = (trial.classical_bytes, trial.circuit_bytes, linear, fourier, _sz3(array, bound))
    names = ("classical", "circuit", "components", "frequencies", "sz3")
    smallest = min((size, name) for size, name in zip(sizes, names, strict=True) if size)[1]
    ours = (*sizes[:2], retained, *sizes[2:])
    chosen = "circuit" if trial.circuit_wins else "classical"
    return Row(data, bound, array.nbytes, *ours, smallest, seconds, chosen)


def structured(rng: np.random.Generator) -> Iterator[tuple[str, Singles]]:
    """Yield tensors in which blocks are alike."""
    from qiskit_solvers.variational.entangling_layers import applied, of_real_turns

    latent = np.zeros((16, 1024))
    latent[:2] = rng.normal(size=(2, 1024))
    hidden = applied(of_real_turns(rng.normal(size=(3, 4))), latent, inverse=True).real.T
    yield "hidden circuit", (hidden + 0.002 * rng.normal(size=hidden.shape)).astype(np.float32)
    rows, columns = np.mgrid[:256, :256] / 256.0
    waves = [a * np.sin(b * rows + c * columns) for a, b, c in rng.normal(0.0, (1.0, 20.0, 20.0), (12, 3))]
    yield "smooth field", np.sum(waves, axis=0).astype(np.float32)


def _sz3(array: Singles, bound: float) -> int:
    """Return the bytes of SZ3 with the greatest absolute bound found whose RMS error is within ``bound``."""
    try:
        from pysz import sz, szConfig, szErrorBoundMode
    except ImportError:
        return 0
    size = float(np.sqrt((array.astype(np.float64) ** 2).mean()))
    tolerance, best = bound * size * np.sqrt(3.0), 0
    for _correction in range(8):
        config = szConfig()
        config.errorBoundMode = szErrorBoundMode.ABS
        config.absErrorBound = tolerance
        packed, _ratio = sz.compress(array, config)
        back, _config = sz.decompress(packed, array.dtype, array.shape)
        found = float(np.sqrt(((array.astype(np.float64) - back) ** 2).mean())) / size
        if found <= bound:
            best = min(best or packed.nbytes, packed.nbytes)
        tolerance *= min(2.0, 0.999 * bound / found) if found else 2.0
    return best
