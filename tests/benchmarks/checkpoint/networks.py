"""How small are tensors as networks, beside fixed networks and other codecs, and what do searches over orders find?

``python -m tests.benchmarks.checkpoint.networks`` prints four tables and writes them as JSON, with a plot, to
runs/bench-checkpoint: bytes of finished archives at equal measured error, searches at equal evaluations, what noise
does to the quantum search, and the sizes and gains that the first design claimed beside what was measured. The first
table has eight tensors at two errors, with ``--all`` all thirteen at three. Tables that are not asked for stay in the
JSON as they were.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from data.generators import fields
from tasks.codecs.network_search.choose import NetworkSearch
from tests.benchmarks.checkpoint import network_orders, network_peers, network_twin
from tests.benchmarks.checkpoint.goals import FIXED, FUNCTIONS
from tests.benchmarks.checkpoint.network_peers import Kept, Method

FOLDER = Path("runs/bench-checkpoint")
ERRORS, ALL_ERRORS = (1e-2, 1e-3), (1e-1, 1e-2, 1e-3)
TABLES = ("cells", "orders", "noise", "twin")
EVALUATIONS = 60
SEED = 20

DEFAULT, TRAIN, TUCKER = FIXED
PLAIN, OURS = "ours, 32 bit", "ours"
METHODS: dict[str, Method] = {
    DEFAULT: network_peers.uniform_rank,
    TRAIN: network_peers.fixed("tt"),
    TUCKER: network_peers.fixed("tucker"),
    "TT, coded": network_peers.quantised_fixed("tt"),
    "Tucker, coded": network_peers.quantised_fixed("tucker"),
    "one step": network_peers.plain_quantisation,
    "SZ3": network_peers.sz3,
    "zfp": network_peers.zfp,
    PLAIN: network_peers.searched(NetworkSearch(evaluations=EVALUATIONS, quantised=False)),
    OURS: network_peers.searched(NetworkSearch(evaluations=EVALUATIONS)),
}
CODECS = tuple(name for name in METHODS if name not in (PLAIN, OURS))

TABLED = ("Hilbert", "Coulomb", "pulse", "heat", "Vlasov", "hidden order", "turbulence", "MiniLM Q")
"""Tensors of the table unless all or others are asked for: five functions, one with an order to find, two without."""

TENSORS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "Hilbert": lambda _: fields.hilbert(),
    "Coulomb": lambda _: fields.coulomb(),
    "pulse": lambda _: fields.advected_pulse(),
    "heat": lambda rng: fields.heat(rng),
    "Vlasov": lambda _: fields.vlasov(),
    "hidden order": lambda rng: fields.hidden_order(rng),
    "turbulence": lambda rng: fields.turbulence(rng),
    "dead leaves": lambda rng: fields.dead_leaves(rng, (210, 320)),
    "Coulomb, nearer": lambda _: fields.coulomb((80, 80, 80), nearest=0.01),
    "pulse, narrower": lambda _: fields.advected_pulse((64, 64, 96), width=0.05),
    "Vlasov, sheared": lambda _: fields.vlasov(9, (0.9, 0.2, -0.7)),
    "hidden order 2": lambda rng: fields.hidden_order(rng, 5, 12, 4, 0.003),
    "MiniLM Q": lambda _: _minilm(),
}


def main(argv: list[str] | None = None) -> None:
    """Print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=TENSORS, metavar="NAME", help=f"of {', '.join(TENSORS)}")
    parser.add_argument("--errors", nargs="+", type=float, help=f"instead of {', '.join(map(str, ERRORS))}")
    parser.add_argument("--all", action="store_true", help="all tensors, all errors")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args(argv)
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / "networks.json"
    told: dict[str, object] = json.loads(path.read_text()) if path.is_file() else {}
    names = options.only or (TENSORS if options.all else TABLED)
    errors = options.errors or list(ALL_ERRORS if options.all else ERRORS)
    tables: dict[str, Callable[[], object]] = {
        "cells": lambda: cells(list(names), errors),
        "orders": lambda: network_orders.orders(options.seeds, FOLDER),
        "noise": lambda: network_orders.noise(min(5, options.seeds)),
        "twin": network_twin.twin,
    }
    for table in options.tables:
        told[table] = tables[table]()
        path.write_text(json.dumps(told, indent=1) + "\n")  # what takes minutes is kept whatever happens next


def cells(names: list[str], errors: list[float]) -> list[dict[str, object]]:
    """Return archive bytes of every method on every tensor and error, and print factors and gains."""
    reason = network_peers.missing()
    methods = {name: method for name, method in METHODS.items() if reason is None or name not in ("SZ3", "zfp")}
    print("raw bytes over bytes of the finished archive, at equal relative Frobenius error measured after decoding")
    if reason:
        print(f"SZ3 and zfp are left out: {reason}")
    print(f"{'tensor':17}{'error':>7}" + "".join(f"{name:>14}" for name in methods))
    rows: list[dict[str, object]] = []
    for number, name in enumerate(TENSORS):
        if name not in names:
            continue
        try:
            tensor = TENSORS[name](np.random.default_rng([SEED, number]))
        except ModuleNotFoundError as error:
            print(f"{name:17}left out: {error}")
            continue
        digest = hashlib.sha256(tensor.tobytes()).hexdigest()
        for error_bound in errors:
            started = time.monotonic()
            kept = {
                label: method(tensor, error_bound, np.random.default_rng(SEED)) for label, method in methods.items()
            }
            _check(kept, error_bound)
            told = {label: asdict(one) for label, one in kept.items() if one is not None}
            rows.append({"tensor": name, "sha256": digest, "raw_bytes": tensor.nbytes, "error": error_bound, **told})
            factors = "".join(f"{_factor(tensor.nbytes, kept[label]):>14}" for label in methods)
            print(f"{name:17}{error_bound:7g}{factors}   {time.monotonic() - started:.0f} s", flush=True)
    gains(rows)
    return rows


def _check(kept: dict[str, Kept | None], error_bound: float) -> None:
    for label, one in kept.items():
        if one is not None and one.error > error_bound:
            raise ValueError(f"{label}: expected an error of at most {error_bound}, measured {one.error}")


def _factor(raw_bytes: int, kept: Kept | None) -> str:
    return "-" if kept is None else f"{raw_bytes / kept.archive_bytes:.1f}"


def gains(rows: list[dict[str, object]]) -> None:
    """Print how much smaller ours is in each cell, and the medians beside the goals."""
    print(
        "\nhow much smaller, in %: (a) than TT with one rank, (b) than the best fixed network, (c) than the best codec"
    )
    print(f"{'tensor':17}{'error':>7}{'32 bit: (a)':>13}{'(b)':>8}{'coded: (a)':>13}{'(b)':>8}{'(c)':>8}{'gain':>9}")
    told = []
    for row in rows:
        size = {label: one["archive_bytes"] for label, one in row.items() if isinstance(one, dict)}
        if PLAIN not in size or OURS not in size:
            continue
        best_fixed = min(size[label] for label in FIXED if label in size)
        best = min(size[label] for label in CODECS if label in size)
        gain = [
            100.0 * (1.0 - size[ours] / other)
            for ours, other in (
                (PLAIN, size.get(DEFAULT, best_fixed)), (PLAIN, best_fixed),
                (OURS, size.get(DEFAULT, best_fixed)), (OURS, best_fixed), (OURS, best),
            )
        ]  # fmt: skip
        told.append((row["tensor"], *gain, size[PLAIN] / size[OURS]))
        print(f"{row['tensor']:17}{row['error']:7g}{gain[0]:13.1f}{gain[1]:8.1f}{gain[2]:13.1f}{gain[3]:8.1f}"
              f"{gain[4]:8.1f}{size[PLAIN] / size[OURS]:8.2f}x")  # fmt: skip
    functions = [one for one in told if one[0] in FUNCTIONS]
    if functions:
        a, coded = np.array([one[1] for one in functions]), np.array([one[3] for one in functions])
        print(f"(a) on {a.size} function cells: least {a.min():.1f} % in 32 bit, {coded.min():.1f} % coded; goal 35 %")
    if told:
        table = np.array([one[1:] for one in told], dtype=np.float64)
        names = ("(a) 32 bit", "(b) 32 bit", "(a) coded", "(b) coded", "(c) coded")
        for column, name in enumerate(names):
            at_least = int((table[:, column] >= 20.0).sum())
            print(f"median {name}: {np.median(table[:, column]):.1f} %; >= 20 % on {at_least} of {len(told)} cells")
        print(f"coded over 32 bit: median {np.median(table[:, 5]):.2f}x, least {table[:, 5].min():.2f}x; goal 1.7x")


def _minilm() -> np.ndarray:
    """Return the query weights of the six layers as ``(layer, head, row of the head, column)``."""
    from tests.benchmarks.checkpoint import minilm

    if reason := minilm.missing():
        raise ModuleNotFoundError(reason)
    weights = minilm.weights()
    stack = [weights[f"encoder.layer.{layer}.attention.self.query.weight"].numpy() for layer in range(6)]
    return np.stack(stack).reshape(6, 12, 32, 384)


if __name__ == "__main__":
    main()
