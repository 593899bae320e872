"""What did the first design claim for three sizes of tensors, and what is measured?

The design's tensors and its classical method are not known, so the claim and the measurement share the sizes and
nothing else. Measured are tensors of functions, never held as a whole: the fixed default is a tensor train in the
tensor's own order with one rank and numbers of 32 bits, ours a coded one in the best of all orders.
"""

import math

import numpy as np

from tasks.codecs.network_search.chain import Train, Trains
from tasks.codecs.network_search.choose import interleaved, prime_factors
from tasks.codecs.network_search.forms import train_form
from tasks.codecs.network_search.ledger import Ledger
from tasks.codecs.network_search.sampled import Elements, Places, sampled
from tasks.codecs.network_search.searches import Exhaustive, GreedySwaps
from tasks.codecs.network_search.spectra import Compressed, Spectra
from tasks.codecs.networks.form import Network, NetworkForm, decompose
from tasks.codecs.networks.implicit import cross, sampled_error
from tasks.codecs.networks.quantised import from_bytes, quantise, to_bytes
from tests.benchmarks.checkpoint.network_peers import archived

ERROR = 1e-3
SPLIT_ORDERS = 40
"""Orders of split modes that are priced, from the better of interleaved and natural."""

SPLIT_DIMENSIONS = 3
"""Above, interpolation over split modes takes minutes."""

CHECKED = 2_000_000
"""Random elements on which the error is measured."""


def hilbert(places: Places) -> np.ndarray:
    """Return ``1 / (i + j + k + 1)``."""
    return np.asarray(1.0 / (places.sum(axis=1) + 1.0))


def blob(places: Places) -> np.ndarray:
    """Return a density that is carried through a cube, ``(x, y, z, time)``."""
    x, t = places[:, :3] / 511.0, places[:, 3] / 63.0
    centre = np.array([0.2, 0.3, 0.4]) + t[:, None] * np.array([0.5, 0.3, 0.1])
    return np.asarray(1.0 / (1.0 + ((x - centre) ** 2).sum(axis=1) / 0.05))


def screened(places: Places) -> np.ndarray:
    """Return the potential between two places of a plane, ``(x, y, x', y', screening)``."""
    x = places[:, :4] / 255.0
    squared = (x[:, 0] - x[:, 2]) ** 2 + (x[:, 1] - x[:, 3]) ** 2 + 0.1
    return np.asarray(np.exp(-places[:, 4] / 8.0 * np.sqrt(squared)) / np.sqrt(squared))


CASES: dict[str, tuple[tuple[int, ...], Elements, float]] = {
    "Hilbert": ((1024, 1024, 256), hilbert, 20.3),
    "moving blob": ((512, 512, 512, 64), blob, 17.2),
    "screened potential": ((256, 256, 256, 256, 16), screened, 19.7),
}
"""Shape, elements, and the claimed gain in %."""


def twin() -> list[dict[str, object]]:
    """Print and return the table."""
    print(f"\nclaimed and measured gain over the fixed default, relative error {ERROR} on {CHECKED:,} random elements")
    print(f"{'size':22}{'tensor':20}{'claimed':>9}{'measured':>10}{'default, B':>12}{'ours, B':>9}{'error':>10}")
    rows: list[dict[str, object]] = []
    for number, (name, (shape, elements, claimed)) in enumerate(CASES.items()):
        rng = np.random.default_rng(number)
        small = sampled(elements, shape, 1e-3 * ERROR, rng)
        spectra = Spectra(small, tuple((length,) for length in shape), 1e-2 * ERROR)
        default = archived(np.zeros(0, np.float32)) + 4 * _one_rank(spectra)
        kept = {}
        written = {"whole": _written(small, spectra)}
        if len(shape) <= SPLIT_DIMENSIONS:
            written["split"] = _split(small, elements, rng)
        for label, octets in written.items():
            error = sampled_error(from_bytes(octets, math.prod(shape)), elements, CHECKED, rng)
            if error <= ERROR:
                kept[label] = (len(octets), octets, error)
        if not kept:
            print(f"{name}: no train within {ERROR} on the elements that were checked: left out")
            continue
        label = min(kept, key=lambda one: kept[one][0])
        _, octets, error = kept[label]
        ours = archived(np.frombuffer(octets, np.uint8))
        gain = 100.0 * (1.0 - ours / default)
        size = "x".join(map(str, shape))
        print(
            f"{size:22}{name:20}{claimed:+8.1f}%{gain:+9.1f}%{default:12,}{ours:9,}{error:10.2e}  {label} modes",
            flush=True,
        )
        rows.append({"shape": shape, "tensor": name, "claimed_percent": claimed, "measured_percent": gain,
                     "default_bytes": default, "ours_bytes": ours, "error": error, "modes": label})  # fmt: skip
    return rows


def _one_rank(spectra: Spectra) -> int:
    """Return the numbers of a train in the tensor's own order whose bonds have the least common rank."""
    modes = spectra.modes
    tails = []
    for bond in range(1, len(modes)):
        squares = spectra.squares((1 << bond) - 1)
        tails.append(np.maximum(0.0, 1.0 - np.concatenate([np.zeros(1), np.cumsum(squares)])))
    rank = next(rank for rank in range(1, 1 << 20) if sum(tail[min(rank, tail.size - 1)] for tail in tails) <= ERROR**2)
    ends = [1, *[min(rank, tail.size - 1) for tail in tails], 1]
    return sum(ends[place] * length * ends[place + 1] for place, length in enumerate(modes))


def _written(small: Compressed, spectra: Spectra) -> bytes:
    """Return the best train over whole modes, made from the compressed tensor and coded."""
    trains = Trains(spectra, ERROR)
    count = len(spectra.modes)
    ledger = Ledger(lambda order: trains.price(order).bits, math.factorial(count))
    Exhaustive()(ledger, tuple(range(count)), np.random.default_rng(0))
    train = trains.price(ledger.best)
    whole = Train(train.order, train.bits, train.error, tuple(rank or 1 for rank in train.ranks), train.tails)
    form = train_form(whole, tuple((length,) for length in small.core.shape))
    truncated = max(math.sqrt(sum(train.tails)), 1e-3 * ERROR)
    network = decompose(small.core, form, truncated, np.random.default_rng(0))
    cores = tuple(
        np.einsum("nm,rms->rns", small.factors[mode], core)
        for mode, core in zip(form.permutation, network.cores, strict=True)
    )
    shape = spectra.modes
    large = Network(cores, NetworkForm("tt", spectra.splits, form.permutation, form.groups), shape)
    return to_bytes(quantise(large, 0.97 * math.sqrt(ERROR**2 - truncated**2)))


def _split(small: Compressed, elements: Elements, rng: np.random.Generator) -> bytes:
    """Return the best train found over modes that are split into their prime factors, from elements alone, coded."""
    splits = tuple(prime_factors(factor.shape[0]) for factor in small.factors)
    trains = Trains(Spectra(small, splits, 1e-2 * ERROR), ERROR)
    ledger = Ledger(lambda order: trains.price(order).bits, SPLIT_ORDERS)
    count = len(trains.modes)
    start = min((interleaved(splits), tuple(range(count))), key=ledger.price)
    GreedySwaps()(ledger, start, rng)
    train = trains.price(ledger.best)
    crossed = cross(elements, train_form(train, splits), 0.6 * ERROR, rng)
    return to_bytes(quantise(crossed.network, 0.7 * ERROR))
