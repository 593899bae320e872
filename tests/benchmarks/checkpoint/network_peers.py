"""What else keeps a tensor within an error? Fixed networks, quantisation, and the codecs SZ3 and zfp, all archived.

Every method's output goes into an archive of its own, so that all carry the same metadata; errors are those of what
the archive gives back.
"""

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.codecs import qfz
from tasks.codecs.keeping import Packing
from tasks.codecs.network_search.choose import NetworkSearch
from tasks.codecs.network_search.forms import built, plain
from tasks.codecs.networks.form import NetworkForm, reconstruct
from tasks.codecs.networks.quantised import from_bytes

HALVINGS = 9
CODEC_MODES = 4
"""Dimensions that SZ3 and zfp take at most."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a method made of a tensor.

    Args:
        archive_bytes: of the finished archive.
        error: relative Frobenius error of what it restores, measured.
        note: what was chosen.
    """

    archive_bytes: int
    error: float
    note: str = ""


Method = Callable[[np.ndarray, float, np.random.Generator], Kept | None]


def missing() -> str | None:
    """Return which packages are missing and how to get them, or None."""
    absent = [name for name in ("pysz", "zfpy") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(absent)} missing: make peers" if absent else None


def distance(back: np.ndarray, tensor: np.ndarray) -> float:
    """Return the relative Frobenius error."""
    exact = tensor.astype(np.float64)
    return float(np.linalg.norm(back - exact) / np.linalg.norm(exact))


def archived(values: np.ndarray) -> int:
    """Return the bytes of an archive of an array, without loss."""
    return len(qfz.save({"t": values}, packing=Packing(effort="small")))


def natural(tensor: np.ndarray, kind: str) -> NetworkForm:
    """Return the form of a kind whose modes are the tensor's, in their own order, with equal budgets."""
    modes = tensor.ndim
    return NetworkForm(kind, tuple((n,) for n in tensor.shape), tuple(range(modes)), (1,) * modes)  # type: ignore[arg-type]


def uniform_rank(tensor: np.ndarray, error: float, rng: np.random.Generator) -> Kept | None:
    """Tensor train with one rank for all bonds, the least that keeps the error: what a rank as an option gives."""
    exact = tensor.astype(np.float64)
    low, high = 0, max(math.prod(tensor.shape[:place]) for place in range(1, tensor.ndim))
    high = min(high, max(math.prod(tensor.shape[place:]) for place in range(1, tensor.ndim)))
    best: Kept | None = None
    rank = 1
    while low + 1 < high or best is None:
        cores = _train_of_rank(exact, rank)
        back = cores[0]
        for core in cores[1:]:
            back = np.tensordot(back, core, axes=1)
        lost = distance(back.reshape(exact.shape), exact)
        if lost <= error:
            high = rank
            flat = np.concatenate([core.ravel() for core in cores])
            best = Kept(archived(flat), lost, f"rank {rank}")
        else:
            low = rank
        if best is None and rank >= high:
            return None
        rank = min(2 * rank, high) if best is None else (low + high) // 2
    return best


def _train_of_rank(tensor: np.ndarray, rank: int) -> list[np.ndarray]:
    cores, left, rest = [], 1, tensor.reshape(1, -1)
    for mode in tensor.shape[:-1]:
        matrix = rest.reshape(left * mode, -1)
        if matrix.shape[0] <= matrix.shape[1]:
            _, vectors = np.linalg.eigh(matrix @ matrix.T)
            basis = vectors[:, ::-1][:, :rank]
        else:
            _, vectors = np.linalg.eigh(matrix.T @ matrix)
            basis = np.linalg.qr(matrix @ vectors[:, ::-1][:, :rank])[0]
        cores.append(basis.reshape(left, mode, -1).astype(np.float32))
        rest, left = basis.T @ matrix, basis.shape[1]
    return [*cores, rest.reshape(left, tensor.shape[-1], 1).astype(np.float32)]


def fixed(kind: str) -> Method:
    """Return the method that writes a form in the tensor's own modes, in 32-bit numbers."""

    def method(tensor: np.ndarray, error: float, rng: np.random.Generator) -> Kept:
        network = plain(tensor.astype(np.float64), natural(tensor, kind), error, rng)
        return Kept(archived(np.frombuffer(network.octets, np.float32)), network.error)

    return method


def quantised_fixed(kind: str) -> Method:
    """Return the method that writes a form in the tensor's own modes, quantised and coded."""

    def method(tensor: np.ndarray, error: float, rng: np.random.Generator) -> Kept:
        exact = tensor.astype(np.float64)
        network = built(exact, natural(tensor, kind), 0.7 * error, error, rng)
        return Kept(archived(np.frombuffer(network.octets, np.uint8)), network.error)

    return method


def searched(search: NetworkSearch) -> Method:
    """Return our method."""

    def method(tensor: np.ndarray, error: float, rng: np.random.Generator) -> Kept | None:
        chosen = search(tensor.astype(np.float64), error, rng)
        if chosen is None:
            return None
        octets = chosen.built.octets
        lost = chosen.built.error
        if search.quantised:  # once more from the bytes alone
            lost = distance(reconstruct(from_bytes(octets, tensor.size)), tensor)
        values = np.frombuffer(octets, np.uint8 if search.quantised else np.float32)
        return Kept(archived(values), lost, f"{chosen.family} {chosen.built.form.permutation}")

    return method


def plain_quantisation(tensor: np.ndarray, error: float, rng: np.random.Generator) -> Kept:
    """One step for the whole tensor, entropy coded: our own lossy archive."""
    octets = qfz.save({"t": tensor.astype(np.float32)}, packing=Packing(keep=f"rms:{error}", effort="small"))
    return Kept(len(octets), distance(np.asarray(qfz.load(octets)["t"]), tensor))


def sz3(tensor: np.ndarray, error: float, rng: np.random.Generator) -> Kept | None:
    """SZ3 (Liang et al. 2023, doi 10.1109/TBDATA.2022.3201176), the better of its predictors and of none."""
    from pysz import sz, szAlgorithm, szConfig, szErrorBoundMode

    def coded(shaped: np.ndarray, bound: float, algorithm: Any) -> tuple[np.ndarray, np.ndarray]:
        config = szConfig()
        config.errorBoundMode, config.absErrorBound, config.cmprAlgo = szErrorBoundMode.ABS, bound, algorithm
        octets, _ = sz.compress(shaped, config)
        return octets, sz.decompress(octets, np.float32, shaped.shape)[0]

    return _bounded(
        tensor,
        error,
        [
            lambda shaped, bound, algorithm=algorithm: coded(shaped, bound, algorithm)
            for algorithm in (szAlgorithm.INTERP_LORENZO, szAlgorithm.NOPRED)
        ],
    )


def zfp(tensor: np.ndarray, error: float, rng: np.random.Generator) -> Kept | None:
    """Zfp (Lindstrom 2014, doi 10.1109/TVCG.2014.2346458) with a tolerance."""
    import zfpy

    def coded(shaped: np.ndarray, bound: float) -> tuple[np.ndarray, np.ndarray]:
        octets = zfpy.compress_numpy(shaped, tolerance=bound)
        return np.frombuffer(octets, np.uint8), zfpy.decompress_numpy(octets)

    return _bounded(tensor, error, [coded])


def _bounded(
    tensor: np.ndarray, error: float, coders: list[Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]]]
) -> Kept | None:
    """Return the smallest archive over coders and shapes; each bound is the loosest that keeps the error."""
    best: Kept | None = None
    scale = float(np.linalg.norm(tensor.astype(np.float64))) / math.sqrt(tensor.size)
    for shaped in _shapes(np.ascontiguousarray(tensor, dtype=np.float32)):
        for coder in coders:
            low, high = math.log(error * scale), math.log(error * scale * 64.0)
            kept: Kept | None = None
            for halving in range(HALVINGS):
                middle = low if halving == 0 else 0.5 * (low + high)
                octets, back = coder(shaped, math.exp(middle))
                lost = distance(back, shaped)
                if lost > error:
                    high = middle
                    continue
                low = middle
                kept = Kept(archived(octets), lost)
            if kept is not None and (best is None or kept.archive_bytes < best.archive_bytes):
                best = kept
    return best


def _shapes(tensor: np.ndarray) -> list[np.ndarray]:
    """Return the tensor in shapes that SZ3 and zfp take: its own, or with modes merged."""
    if tensor.ndim <= CODEC_MODES:
        return [tensor]
    shape = tensor.shape
    return [
        tensor.reshape(math.prod(shape[: tensor.ndim - CODEC_MODES + 1]), *shape[tensor.ndim - CODEC_MODES + 1 :]),
        tensor.reshape(*shape[: CODEC_MODES - 1], math.prod(shape[CODEC_MODES - 1 :])),
    ]
