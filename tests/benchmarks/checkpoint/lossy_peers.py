"""How many bits does a weight take with the peers of a quantiser, at the same error, and what is the floor?

Every peer works on one matrix after the other, and restores it, so that its error is measured and not believed. SZ3
(Liang et al. 2023, doi 10.1109/TBDATA.2022.3201176) is given the absolute bound that has the wanted root mean square
error; zfp (Lindstrom 2014, doi 10.1109/TVCG.2014.2346458) the tolerance that comes nearest to it, since its tolerances
go by powers of two. What is left of a difference in error is put into bits, of which each halves the error.
"""

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A matrix as a peer restored it.

    Args:
        bits: of its packed form.
        restored: of the matrix's shape.
    """

    bits: float
    restored: Matrix

    def relative_rms(self, matrix: Matrix) -> float:
        """Return the error over the size of the matrix, both root mean squares."""
        return relative_rms(matrix, self.restored)


Peer = Callable[[Matrix, float, float], Coded]
"""Codes a matrix, given the step of a uniform quantiser that has the wanted error, and that relative error."""


def missing() -> str | None:
    """Return which package is missing and how to get it, or None."""
    absent = [name for name in ("pysz", "zfpy") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(absent)} missing: make peers" if absent else None


def relative_rms(matrix: Matrix, restored: Matrix) -> float:
    """Return the error over the size of the matrix, both root mean squares."""
    wide = matrix.astype(np.float64)
    return float(np.linalg.norm(wide - restored) / np.linalg.norm(wide))


def bits_at(coded: Coded, matrix: Matrix, error: float) -> float:
    """Return the bits that a matrix would take at a relative error: a bit a weight halves it."""
    return coded.bits + matrix.size * math.log2(coded.relative_rms(matrix) / error)


def sz3(algorithm: str) -> Peer:
    """Return SZ3 with one of its algorithms: NOPRED, or INTERP_LORENZO, its default."""

    def code(matrix: Matrix, step: float, _error: float) -> Coded:
        import pysz

        config = pysz.szConfig()
        config.cmprAlgo = getattr(pysz.szAlgorithm, algorithm)
        config.errorBoundMode = pysz.szErrorBoundMode.ABS
        config.absErrorBound = step / 2.0
        packed, _ = pysz.sz.compress(matrix, config)
        restored, _ = pysz.sz.decompress(packed, np.float32, matrix.shape)
        return Coded(8.0 * packed.nbytes, restored)

    return code


def zfp(matrix: Matrix, step: float, error: float) -> Coded:
    """Code with zfp at the tolerance whose measured error is nearest, from below or above."""
    import zfpy

    def at(tolerance: float) -> Coded:
        packed = zfpy.compress_numpy(matrix, tolerance=tolerance)
        return Coded(8.0 * len(packed), zfpy.decompress_numpy(packed))

    tolerance = 4.0 * step
    coded = at(tolerance)
    for _ in range(4):
        octaves = round(math.log2(error / coded.relative_rms(matrix)))
        if octaves == 0:
            break
        tolerance *= 2.0**octaves
        coded = at(tolerance)
    return coded


PEERS: dict[str, Peer] = {"SZ3 no prediction": sz3("NOPRED"), "SZ3 default": sz3("INTERP_LORENZO"), "zfp": zfp}


def int8_channel(matrix: Matrix) -> Coded:
    """Round to 8 bits with a float32 step for each row; nothing is coded further."""
    return _rounded(matrix, 127, 8, 32)


def int4_groups(matrix: Matrix) -> Coded:
    """Round to 4 bits with a float16 step for each 64 elements, the last group filled up; nothing is coded further."""
    filled = np.zeros((-(-matrix.size // 64), 64), np.float32)
    filled.reshape(-1)[: matrix.size] = matrix.reshape(-1)
    coded = _rounded(filled, 7, 4, 16)
    return Coded(coded.bits, coded.restored.reshape(-1)[: matrix.size].reshape(matrix.shape))


def _rounded(rows: Matrix, top: int, bits: int, step_bits: int) -> Coded:
    steps = np.abs(rows).max(axis=1, keepdims=True) / top
    steps = steps.astype(np.float16).astype(np.float32) if step_bits == 16 else steps
    integers = np.rint(np.divide(rows, steps, out=np.zeros_like(rows), where=steps > 0)).clip(-top, top)
    return Coded(float(bits * rows.size + step_bits * len(rows)), (integers * steps).astype(np.float32))


def order_0_bits(integers: npt.NDArray[np.int64]) -> float:
    """Return integers times their empirical entropy."""
    counts = np.unique(integers, return_counts=True)[1]
    return float(np.sum(counts * np.log2(integers.size / counts)))
